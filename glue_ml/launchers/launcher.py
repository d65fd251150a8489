"""What every launcher does: start an application, tell how it is, and end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from glue_ml.domain.capacity import SparkResources
from glue_ml.domain.task_run import ApplicationState, Observation


@dataclass(frozen=True)
class Application:
    """One attempt of a run, ready to be submitted.

    `token` is unique for each attempt: submitting it twice starts it once. `run_directory` is the URI of the attempt's
    directory. `environment` may hold secrets and goes to the application's environment only.
    """

    token: str
    name: str
    script: str
    arguments: tuple[str, ...]
    run_directory: str
    resources: SparkResources
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    conf: Mapping[str, str] = field(default_factory=dict)


class Launcher(Protocol):
    """Three verbs and a search; none of them waits for an application. Each may raise GlueMLError."""

    def submit(self, application: Application) -> str:
        """Start an application; the handle is opaque text that the store keeps."""
        ...

    def find(self, token: str) -> str | None:
        """The handle of an application that was submitted before a crash, or None."""
        ...

    def poll(self, handle: str) -> Observation:
        """How an application is; GONE for one that is not known.

        Also GONE where nothing tells how it ended. Nothing of it runs then: another attempt may follow at once.
        """
        ...

    def cancel(self, handle: str, *, force: bool) -> None:
        """Ask an application to end, or with `force` end it for certain, with all of its processes. Repeatable."""
        ...


__all__ = ["Application", "ApplicationState", "Launcher", "Observation"]
