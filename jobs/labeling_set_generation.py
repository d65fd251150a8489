"""Write a file of labelling sets: the rows whose labels would teach a transform most, for people to judge."""

from glue_ml.domain.job import TaskType
from glue_ml.job_runner import Task, run_script


def load_task() -> Task:
    """Import the task and what it works with."""
    from glue_ml.tasks.labeling_set_generation import generate_labeling_sets

    return generate_labeling_sets


if __name__ == "__main__":
    run_script(load_task, task_type=TaskType.LABELING_SET_GENERATION)
