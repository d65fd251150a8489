"""What spark-submit is told of an application, as a list of arguments: no shell ever sees them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from glue_ml.class_archive import name_options
from glue_ml.domain.capacity import LocalResources, SparkResources
from glue_ml.launchers.launcher import Application
from glue_ml.session import QUICK_JVM

#: Without these, a script that builds its own session opens Spark's pages and ports to the network, with no password.
_LOCAL_CONF = {
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
}


def render_local(application: Application, resources: LocalResources, *, archive: Path | None = None) -> list[str]:
    """The arguments that run an application in this machine's `local[N]`, where the driver is the executor too.

    The application's own configuration wins over what local mode sets. `archive`: see `class_archive`.
    """
    options = {"spark.driver.defaultJavaOptions": QUICK_JVM + name_options(archive)}
    return [
        *("--master", f"local[{resources.cores}]"),
        *("--driver-memory", f"{resources.heap_mb}m"),
        *("--name", application.name),
        *render_conf({**_LOCAL_CONF, **options, **application.conf}),
        *render_script(application),
    ]


def render_standalone(application: Application, resources: SparkResources, *, master: str) -> list[str]:
    """The arguments that run an application on a standalone cluster; its driver stays on this machine.

    Such a cluster takes no number of executors: it starts as many as fit into `spark.cores.max`. Of memory it counts
    the heap only. The application's own configuration wins over all of it.
    """
    sized = {
        "spark.cores.max": str(resources.executors * resources.executor_cores),
        "spark.driver.memory": f"{resources.driver_memory_mb}m",
        "spark.executor.cores": str(resources.executor_cores),
        "spark.executor.memory": f"{resources.executor_memory_mb}m",
    }
    return [
        *("--master", master),
        *("--name", application.name),
        *render_conf({**sized, **application.conf}),
        *render_script(application),
    ]


def render_conf(conf: Mapping[str, str]) -> list[str]:
    """Spark configuration, sorted by name."""
    return [part for name, value in sorted(conf.items()) for part in ("--conf", f"{name}={value}")]


def render_script(application: Application) -> list[str]:
    """The script and its arguments; they come last."""
    return [application.script, *application.arguments]
