"""Tell how well a transform matches, by its labels: train the model if need be, and report its held-out scores."""

from glue_ml.domain.job import TaskType
from glue_ml.job_runner import Task, run_script


def load_task() -> Task:
    """Import the task and what it works with."""
    from glue_ml.tasks.evaluation import evaluate

    return evaluate


if __name__ == "__main__":
    run_script(load_task, task_type=TaskType.EVALUATION)
