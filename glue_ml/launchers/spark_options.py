"""What spark-submit is told of an application, as a list of arguments: no shell ever sees them."""

from __future__ import annotations

from glue_ml.domain.capacity import LocalResources
from glue_ml.launchers.launcher import Application


def render_local(application: Application, resources: LocalResources) -> list[str]:
    """The arguments that run an application in this machine's `local[N]`, where the driver is the executor too."""
    return [
        *("--master", f"local[{resources.cores}]"),
        *("--driver-memory", f"{resources.heap_mb}m"),
        *("--name", application.name),
        *render_conf(application),
        *render_script(application),
    ]


def render_conf(application: Application) -> list[str]:
    """The application's own Spark configuration, sorted by name."""
    return [part for name, value in sorted(application.conf.items()) for part in ("--conf", f"{name}={value}")]


def render_script(application: Application) -> list[str]:
    """The script and its arguments; they come last."""
    return [application.script, *application.arguments]
