"""A Spark session with what the engine needs: Delta, Avro and Arrow, on any Spark that PySpark can reach.

The session that is already there is taken as it is. Otherwise one is built from what the environment says
(spark-submit, spark-defaults.conf, PYSPARK_SUBMIT_ARGS), and only what is missing there is added: so a plain
`spark-submit job.py` works as well as one with `--properties-file conf/spark-defaults.conf`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glue_ml.class_archive import find_archive, find_java, name_options
from glue_ml.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

OLDEST_JAVA = 17
JAR_CACHE = "GLUE_ML_JAR_CACHE"  #: The variable that names a file where resolved packages are kept.
#: The work is done in Python: most runs are over before what the JVM's second compiler costs has paid. Without it the
#: JVM keeps room for a fifth of the code, and where that is full it compiles no more: a long session would crawl.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"

#: Delta and Avro by PySpark's minor version; one patch release of Avro serves all of its minor version.
_PACKAGES = {
    "4.1": ("io.delta:delta-spark_4.1_2.13:4.4.0", "org.apache.spark:spark-avro_2.13:4.1.1"),
    "3.5": ("io.delta:delta-spark_2.12:3.3.2", "org.apache.spark:spark-avro_2.12:3.5.7"),
}
#: Comes with Spark itself; a second copy on the class path costs 100 MB of download and can shadow Spark's own.
_EXCLUDES = (
    "com.fasterxml.jackson.core:*",
    "com.github.luben:*",
    "org.antlr:antlr4-runtime",
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.logging.log4j:*",
    "org.apache.parquet:*",
    "org.scala-lang:*",
    "org.slf4j:*",
    "org.xerial.snappy:*",
)
_DEFAULTS = {
    "spark.sql.extensions": DELTA_EXTENSION,
    "spark.sql.catalog.spark_catalog": DELTA_CATALOG,
    "spark.driver.maxResultSize": "0",  # the whole table comes to the driver: its size is no mistake
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.showConsoleProgress": "false",
}
_LOCAL_DEFAULTS = {
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": str(max(8, 4 * (os.cpu_count() or 2))),
    "spark.ui.enabled": "false",
}


def packages_for(version: str) -> tuple[str, ...]:
    """The Maven coordinates of Delta and Avro for a PySpark version; InputError for one that is not supported."""
    minor = ".".join(version.split(".")[:2])
    if minor not in _PACKAGES:
        raise InputError(f"PySpark {version} is not supported; install PySpark {' or '.join(_PACKAGES)}")
    return _PACKAGES[minor]


def delta_settings(version: str) -> dict[str, str]:
    """What a script that makes its own session must be submitted with to have Delta and Avro, for a PySpark version.

    Extensions are fixed when a session starts, so nothing that the script calls later can add them.
    """
    return {
        "spark.jars.excludes": ",".join(_EXCLUDES),
        "spark.jars.packages": ",".join(packages_for(version)),
        "spark.sql.catalog.spark_catalog": DELTA_CATALOG,
        "spark.sql.extensions": DELTA_EXTENSION,
    }


def open_session(
    app_name: str, *, master: str | None = None, settings: Mapping[str, str] | None = None
) -> SparkSession:
    """The session of this process, untouched; or a new one with Delta, Avro and Arrow.

    A new one is built for `master` (by default what the environment says, else `local[*]`). `settings` win over the
    environment's configuration, and that wins over the defaults of this module. Sets PYSPARK_PYTHON for a local
    master where it is unset, so that a virtual environment works without being activated.

    Raises InputError when Java or PySpark is missing or of an unsupported version, UnavailableError when Spark or its
    packages cannot be had.
    """
    session = find_session()
    if session is not None:
        return session
    try:
        import pyspark
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError("PySpark is not installed; install it with: pip install 'pyspark>=4.1,<4.2'") from error
    packages = packages_for(pyspark.__version__)
    log = _ensure_jvm()
    try:
        conf = _complete_conf(packages, master=master, settings=dict(settings or {}))
        return SparkSession.builder.config(conf=conf).appName(app_name).getOrCreate()
    finally:
        if log is not None:
            log.pass_on()


def find_session() -> SparkSession | None:
    """The active or default session of this process, or None; never starts one."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    try:
        return SparkSession.active()
    except PySparkRuntimeError:
        return None


def parse_java_version(text: str) -> int | None:
    """The major version in what `java -version` prints (8 for `1.8.0_392`), or None if there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def choose_driver_memory_mb(total_bytes: int) -> int:
    """The heap for a driver that is also the executor: 40 % of the machine, as the Python workers need the rest."""
    return min(max(int(total_bytes * 0.4) >> 20, 1024), 16384)


def merge_extension(extensions: str | None, extension: str) -> str:
    """A comma-separated list of session extensions with `extension` in it."""
    names = [name.strip() for name in (extensions or "").split(",") if name.strip()]
    return ",".join(names if extension in names else [*names, extension])


class _JvmLog:
    """The JVM's standard error: kept back while Spark starts, passed on to this process's own from then on."""

    def __init__(self) -> None:
        self._source, self.descriptor = os.pipe()
        self._kept = bytearray()
        self._passing = False
        threading.Thread(target=self._pump, name="spark-jvm-log", daemon=True).start()

    def _pump(self) -> None:
        while chunk := os.read(self._source, 1 << 16):
            if self._passing:
                with suppress(OSError):
                    os.write(2, chunk)
            else:
                self._kept += chunk

    def pass_on(self) -> None:
        self._passing = True

    def last_line(self) -> str:
        lines = [line.strip() for line in self._kept.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"


def _ensure_jvm() -> _JvmLog | None:
    """Start the JVM of this process unless it runs already, as it does under spark-submit."""
    from pyspark import SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.java_gateway import launch_gateway

    if SparkContext._gateway is not None or "PYSPARK_GATEWAY_PORT" in os.environ:
        SparkContext._ensure_initialized()
        return None
    _check_java()
    log = _JvmLog()
    try:
        gateway = launch_gateway(_launch_conf(), {"stderr": log.descriptor})  # type: ignore[no-untyped-call]
    except PySparkRuntimeError as error:
        log.pass_on()
        raise UnavailableError(f"Spark's JVM did not start: {log.last_line()}") from error
    finally:
        os.close(log.descriptor)
    SparkContext._ensure_initialized(gateway=gateway)
    return log


def _launch_conf() -> SparkConf:
    """What must be there before the JVM starts, unless the environment sets it: the heap, and no progress bar."""
    import pyspark
    from pyspark import SparkConf

    home = os.environ.get("SPARK_HOME", str(Path(pyspark.__file__).parent))
    folder = Path(os.environ.get("SPARK_CONF_DIR", str(Path(home) / "conf")))
    defaults = folder / "spark-defaults.conf"
    configured = defaults.read_text(encoding="utf-8") if defaults.is_file() else ""
    conf = SparkConf(loadDefaults=False)
    if "spark.driver.memory" not in configured and "SPARK_DRIVER_MEMORY" not in os.environ:
        conf.set("spark.driver.memory", f"{choose_driver_memory_mb(_machine_memory())}m")
    if "spark.driver.defaultJavaOptions" not in configured:
        conf.set("spark.driver.defaultJavaOptions", QUICK_JVM + name_options(find_archive()))
    if "spark.ui.showConsoleProgress" not in configured:
        conf.set("spark.ui.showConsoleProgress", "false")
    return conf


def _machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's where that is less."""
    amounts = []
    with suppress(AttributeError, ValueError, OSError):
        amounts.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            amounts.append(int(Path(limit).read_text(encoding="ascii")))
    return min(amounts, default=4 << 30)


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = find_java()
    advice = f"install Java {OLDEST_JAVA} or newer, or point JAVA_HOME to it"
    if java is None:
        raise InputError(f"Java was not found{f' in JAVA_HOME={home}' if home else ''}; {advice}")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603 - the user's own Java
    version = parse_java_version(shown.stderr + shown.stdout)
    if version is None or version < OLDEST_JAVA:
        raise InputError(f"{java} is Java {version if version else 'of an unknown version'}; {advice}")


def _complete_conf(packages: Sequence[str], *, master: str | None, settings: dict[str, str]) -> SparkConf:
    """The environment's configuration with `settings` over it and the defaults under it."""
    from pyspark import SparkConf, SparkContext

    jvm: Any = SparkContext._jvm
    settings |= {"spark.master": master} if master else {}
    conf = SparkConf()
    conf.setAll(list(settings.items()))
    conf.setIfMissing("spark.master", "local[*]")
    _add_packages(jvm, conf, packages)
    if jars := jvm.System.getProperty("spark.jars"):
        conf.set("spark.jars", jars)
    conf.set("spark.sql.extensions", merge_extension(conf.get("spark.sql.extensions", None), DELTA_EXTENSION))
    local = (conf.get("spark.master") or "").startswith("local")
    for name, value in (_DEFAULTS | _LOCAL_DEFAULTS if local else _DEFAULTS).items():
        conf.setIfMissing(name, value)
    if not _logging_is_configured(jvm):
        conf.setIfMissing("spark.log.level", "ERROR")
    if local:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    return conf


def _class_loader(jvm: Any) -> Any:
    return jvm.java.lang.Thread.currentThread().getContextClassLoader()


def _logging_is_configured(jvm: Any) -> bool:
    loader = _class_loader(jvm)
    files = ("log4j2.properties", "log4j2.xml", "log4j2.yaml", "log4j2.json")
    return jvm.System.getProperty("log4j2.configurationFile") is not None or any(map(loader.getResource, files))


def _add_packages(jvm: Any, conf: SparkConf, packages: Sequence[str]) -> None:
    """Put Delta and Avro on the class path of the running JVM and its executors, where they are not there yet.

    The JVM runs before any Python does under spark-submit, too late for `spark.jars.packages`. What that setting does
    at the start is done here: Spark's own resolver (Ivy, with its cache), then the loader that takes `--jars`.
    """
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]

    loader = _class_loader(jvm)
    classes = ("io/delta/sql/DeltaSparkSessionExtension.class", "org/apache/spark/sql/v2/avro/AvroDataSourceV2.class")
    missing = [package for package, name in zip(packages, classes, strict=True) if loader.getResource(name) is None]
    if not missing:
        return
    try:
        cache = os.environ.get(JAR_CACHE, "")
        jars = recall_jars(missing, cache) or _resolve_packages(jvm, conf, missing)
        _remember_jars(missing, jars, cache)
        for jar in jars:
            loader.addURL(jvm.java.io.File(jar).toURI().toURL())
    except Py4JError as error:
        option = f"--packages {','.join(missing)}"
        raise UnavailableError(
            f"Spark could not fetch {' and '.join(missing)} (is the network there?): {_first_line(error)}; "
            f"where they are at hand, start with: spark-submit {option}"
        ) from error
    known = [jar for jar in (conf.get("spark.jars", None) or "").split(",") if jar]
    # A system property, so that a later session of this JVM hands the files to its executors too.
    jvm.System.setProperty("spark.jars", ",".join([*known, *jars]))


def recall_jars(packages: Sequence[str], cache: str) -> list[str]:
    """The files that these packages were resolved to before, by the file `cache`; none unless all are still there.

    Resolving costs seconds even where every file is at hand.
    """
    jars = _read_jar_cache(cache).get(",".join(packages), [])
    return jars if all(Path(jar).is_file() for jar in jars) else []


def _remember_jars(packages: Sequence[str], jars: Sequence[str], cache: str) -> None:
    known, name = _read_jar_cache(cache), ",".join(packages)
    if not cache or known.get(name) == jars:
        return
    draft = Path(f"{cache}.{os.getpid()}")
    with suppress(OSError):  # the next run resolves them again
        draft.write_text(json.dumps({**known, name: list(jars)}), encoding="utf-8")
        draft.replace(cache)


def _read_jar_cache(cache: str) -> dict[str, list[str]]:
    try:
        known = json.loads(Path(cache).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _resolve_packages(jvm: Any, conf: SparkConf, packages: Sequence[str]) -> list[str]:
    excludes = [*filter(None, (conf.get("spark.jars.excludes", None) or "").split(",")), *_EXCLUDES]
    found = jvm.org.apache.spark.util.DependencyUtils.resolveMavenDependencies(
        True,
        ",".join(excludes),
        ",".join(packages),
        conf.get("spark.jars.repositories", None),
        conf.get("spark.jars.ivy", None),
        jvm.scala.Option.apply(conf.get("spark.jars.ivySettings", None)),
    )
    return str(found.mkString(",")).split(",")


def _first_line(error: Exception) -> str:
    java = getattr(error, "java_exception", None)
    text = str(error) if java is None else str(java.getMessage())
    return text.strip().splitlines()[0]
