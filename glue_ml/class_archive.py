"""The classes of Spark's JVM, loaded and checked once and kept in a file: JVMs that map it start in half the time.

Java calls it a dynamic archive of class data (JEP 350). A JVM that it was not made for starts as it would without one;
one that was cut off would kill it, so an archive is checked before it is put in its place, whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

CLASS_ARCHIVE = "GLUE_ML_CLASS_ARCHIVE"  #: The variable that names the file, see `find_archive`.
MODULE = "glue_ml.class_archive"  #: What `python -m` is told to make the archive.
PATIENCE = 600.0  #: Seconds after which whoever began to make an archive is taken for dead.
UNUSED = 30 * 86_400.0  #: Seconds after which an archive is taken for that of a Spark or a Java that is gone.

_SCRIPT = f"from {MODULE} import use_spark\n\nuse_spark()\n"
_UNQUOTABLE = '"\\'

logger = logging.getLogger(__name__)


def find_archive(setting: str | None = None, variables: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the archive for this Spark and this Java is, or is to be; None if there is to be none.

    `setting`: "auto", "off" or a path; without one the variable CLASS_ARCHIVE says it.
    """
    told = setting or variables.get(CLASS_ARCHIVE) or "auto"
    if told == "off":
        return None
    if told != "auto":
        return Path(told).expanduser().absolute()
    spark, java = find_spark(), find_java(variables)
    if spark is None or java is None or not (spark / "jars").is_dir():
        return None
    # another one for what is installed later in the same places
    parts = (f"{path} {path.stat().st_mtime_ns}" for path in (spark / "jars", Path(java).resolve()))
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    cache = variables.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "glue-ml" / f"spark-{name}.jsa"


def find_spark() -> Path | None:
    """Return the folder of the Spark that PySpark brings; None if it is not installed."""
    found = find_spec("pyspark")
    return None if found is None or found.origin is None else Path(found.origin).parent


def name_options(archive: Path | None) -> str:
    """Return the options of a JVM that maps the archive, with a space before them; nothing where there is no file."""
    # Spark takes options apart as a shell would
    if archive is None or not archive.is_file() or any(sign in str(archive) for sign in _UNQUOTABLE):
        return ""
    # a JVM that cannot use it says so on standard output, where scripts print
    return f' -Xlog:cds=off -Xlog:cds+dynamic=off "-XX:SharedArchiveFile={archive}"'


def start_making(archive: Path) -> threading.Thread:
    """Make the archive in a process of its own that gives way to all others, and outlives this one. None need wait."""

    def run() -> None:
        subprocess.run(  # noqa: S603 - this very module
            [sys.executable, "-P", "-m", MODULE, str(archive)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=_choose_variables(os.environ), check=False,
        )  # fmt: skip

    thread = threading.Thread(target=run, name="class-archive", daemon=True)
    thread.start()
    return thread


def make_archive(archive: Path) -> bool:
    """Make the archive by a small Spark application, whole or not at all; tell whether it was made here.

    Another process may be at it: then nothing is done. Raises OSError where a file cannot be written.
    """
    spark = find_spark()
    archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if spark is None or not _take(archive.with_suffix(".lock")):
        return False
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            draft = Path(folder) / "draft.jsa"
            script = Path(folder) / "use_spark_once.py"
            script.write_text(_SCRIPT, encoding="utf-8")
            ended = subprocess.run(  # noqa: S603 - no shell, and this very Spark
                _submit_command(spark, script, draft), capture_output=True, text=True, check=False, cwd=folder,
                env=_choose_variables(os.environ) | {"SPARK_HOME": str(spark)},
            )  # fmt: skip
            if ended.returncode != 0 or not _is_whole(draft):
                logger.warning("no archive of classes was made: %s", (ended.stderr or ended.stdout).strip()[-500:])
                return False
            _keep(draft, archive)
        return True
    finally:
        archive.with_suffix(".lock").unlink(missing_ok=True)


def use_spark() -> None:
    """Do a little of what applications do, so that the classes for it are loaded. Runs in Spark, in an empty folder."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    spark = SparkSession.builder.appName("glue-ml classes").getOrCreate()
    rows = spark.range(0, 1000, 1, 2).select(F.col("id").cast("string").alias("key"), "id")
    for kind in ("parquet", "csv", "json"):
        rows.write.format(kind).save(kind)
    spark.read.csv("csv", schema="key string, id long").join(F.broadcast(spark.read.json("json")), on="key").count()
    read = spark.read.parquet("parquet")
    named = spark.createDataFrame(rows.toPandas()).withColumnRenamed("id", "match_id")
    joined = read.join(F.broadcast(named), on="key", how="left").repartition(2, "key")
    joined.mapInArrow(lambda batches: batches, joined.schema).write.parquet("written")
    spark.createDataFrame([("a", 1)], "key string, id int").join(read, on="key").groupBy("key").count().collect()
    spark.stop()


def _submit_command(spark: Path, script: Path, draft: Path) -> list[str]:
    conf = {
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.defaultJavaOptions": f'"-XX:ArchiveClassesAtExit={draft}"',
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    told = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
    return [str(spark / "bin" / "spark-submit"), "--master", "local[1]", "--driver-memory", "512m", *told, str(script)]


def _choose_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment without secrets of the control plane, and with what finds this package and this Python."""
    kept = {
        name: value for name, value in variables.items() if not name.startswith("GLUE_ML_") and name != "SPARK_HOME"
    }
    paths = [str(Path(__file__).parent.parent), *filter(None, [kept.get("PYTHONPATH")])]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def find_java(variables: Mapping[str, str] = os.environ) -> str | None:
    """Return the Java that Spark starts, of JAVA_HOME or on the path; None where there is none."""
    home = variables.get("JAVA_HOME")
    return shutil.which(str(Path(home) / "bin" / "java")) if home else shutil.which("java")


def _is_whole(draft: Path) -> bool:
    """Whether a JVM maps the draft: one that was cut off would kill it."""
    java = find_java()
    if java is None or not draft.is_file():
        return False
    checked = [java, "-XX:+VerifySharedSpaces", f"-XX:SharedArchiveFile={draft}", "-version"]
    return subprocess.run(checked, capture_output=True, check=False, cwd=draft.parent).returncode == 0  # noqa: S603


def _keep(draft: Path, archive: Path) -> None:
    """Put the draft in its place once it is on the disk; archives that nobody has used for long go."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(archive)
    for other in archive.parent.glob("spark-*.jsa"):
        if time.time() - other.stat().st_atime > UNUSED:
            other.unlink(missing_ok=True)


def _take(lock: Path) -> bool:
    """Make the lock this process's; False where another one has it."""
    if lock.exists() and time.time() - lock.stat().st_mtime > PATIENCE:
        lock.unlink(missing_ok=True)
    try:
        lock.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    return True


def main(arguments: Sequence[str]) -> int:
    """Make the archive at the place that is named, or where `find_archive` looks; return the exit code."""
    archive = Path(arguments[0]).absolute() if arguments else find_archive()
    if archive is None:
        sys.stderr.write("no archive is wanted, or Java or Spark is not there\n")
        return 1
    os.nice(19)
    return 0 if make_archive(archive) else 1


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr)
    sys.exit(main(sys.argv[1:]))
