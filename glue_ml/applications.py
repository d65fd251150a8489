"""From a run to the application that a launcher starts for it, and the settings that this and the scheduler share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from glue_ml.domain.capacity import size_for
from glue_ml.domain.run_spec import RunSettings, locate_attempt, make_script_arguments
from glue_ml.domain.task_run import Deadlines, Run
from glue_ml.errors import InputError
from glue_ml.launchers.launcher import Application
from glue_ml.session import delta_settings

#: A client wants a key to sign with, also where the control plane takes any.
_ANY_KEY = {"local": "local"}


@dataclass(frozen=True)
class SchedulerSettings:
    """How a scheduler works.

    Labels, models and run directories are below `storage_uri`, the jobs' entry points in `jobs_folder`. Applications
    call the control plane at `endpoint` and sign for `region`, with one of `credentials` (secrets by access key) if
    there are any; these reach them by their environment only.

    At most `max_running` applications exist at once, over all schedulers of a store; further runs wait in the order in
    which they were asked for. A run is a scheduler's for `lease` after it last said so; `interval` is the seconds
    between two passes. Runs are forgotten when `retention` has gone by since their end, never if that is None.
    """

    storage_uri: str
    jobs_folder: Path
    endpoint: str | None = None
    region: str = "us-east-1"
    credentials: Mapping[str, str] | None = field(default=None, repr=False)
    conf: Mapping[str, str] = field(default_factory=dict)  #: Further Spark configuration of every application.
    label_file_limit_mb: int = 10
    semantic_encoder: str = "auto"
    connected_components: str = "auto"
    blocking_plan: str = "auto"
    max_running: int = 2
    deadlines: Deadlines = field(default_factory=Deadlines)
    lease: timedelta = timedelta(seconds=10)
    interval: float = 0.2
    retention: timedelta | None = timedelta(days=90)

    @property
    def runs(self) -> RunSettings:
        """What the jobs are told of these."""
        return RunSettings(
            self.storage_uri, self.endpoint, self.region, self.label_file_limit_mb, self.semantic_encoder,
            self.connected_components, self.blocking_plan,
        )  # fmt: skip


def make_application(run: Run, settings: SchedulerSettings) -> Application:
    """The present attempt of `run`. InputError if it is of no task type and names no script."""
    directory = locate_attempt(run, settings.runs)
    return Application(
        token=run.token,
        name=f"glue-ml {run.job_name or run.task_type} {run.run_id}",
        script=_find_script(run, settings),
        arguments=make_script_arguments(run) if run.is_script else ("--run-directory", directory),
        run_directory=directory,
        resources=size_for(run.capacity),
        environment=_make_environment(settings),
        conf={**(delta_settings(version("pyspark")) if run.is_script else {}), **settings.conf},
    )


def _find_script(run: Run, settings: SchedulerSettings) -> str:
    if run.is_script:
        return str(run.properties["script"])
    if run.task_type is None:
        raise InputError(f"The run {run.run_id} has neither a task type nor a script")
    return str(settings.jobs_folder / f"{run.task_type.lower()}.py")


def _make_environment(settings: SchedulerSettings) -> dict[str, str]:
    """What the application finds in its environment; AWS's own variables stay as they are, they are for the data."""
    environment = {"GLUE_ML_STORAGE_URI": settings.storage_uri}
    if settings.endpoint is not None:
        environment["AWS_ENDPOINT_URL_GLUE"] = settings.endpoint
    key, secret = next(iter((settings.credentials or _ANY_KEY).items()))
    return environment | {"GLUE_ML_ACCESS_KEY_ID": key, "GLUE_ML_SECRET_ACCESS_KEY": secret}
