"""Write the labels of a transform as one CSV, in the form in which they can be imported again."""

from glue_ml.domain.job import TaskType
from glue_ml.job_runner import Task, run_script


def load_task() -> Task:
    """Import the task and what it works with."""
    from glue_ml.tasks.export_labels import export_label_file

    return export_label_file


if __name__ == "__main__":
    run_script(load_task, task_type=TaskType.EXPORT_LABELS)
