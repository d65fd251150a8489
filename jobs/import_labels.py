"""Add a label file to the labels of a transform, or put it in their place; a broken file changes nothing."""

from glue_ml.domain.job import TaskType
from glue_ml.job_runner import Task, run_script


def load_task() -> Task:
    """Import the task and what it works with."""
    from glue_ml.tasks.import_labels import import_label_file

    return import_label_file


if __name__ == "__main__":
    run_script(load_task, task_type=TaskType.IMPORT_LABELS)
