"""Give every row of a table a match id: rows with equal ids are the same thing."""

from glue_ml.domain.job import TaskType
from glue_ml.job_runner import Task, run_script


def load_task() -> Task:
    """Import the task and what it works with."""
    from glue_ml.tasks.find_matches import find_matches

    return find_matches


if __name__ == "__main__":
    run_script(load_task, task_type=TaskType.FIND_MATCHES)
