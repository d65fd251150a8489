from __future__ import annotations

import re
from pathlib import Path

import pytest

from glue_ml.errors import InputError
from glue_ml.session import (
    choose_driver_memory_mb,
    merge_extension,
    open_session,
    packages_for,
    parse_java_version,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("version", "packages"),
    [
        ("4.1.4", ("io.delta:delta-spark_4.1_2.13:4.4.0", "org.apache.spark:spark-avro_2.13:4.1.1")),
        ("4.1.0.dev1", ("io.delta:delta-spark_4.1_2.13:4.4.0", "org.apache.spark:spark-avro_2.13:4.1.1")),
        ("3.5.9", ("io.delta:delta-spark_2.12:3.3.2", "org.apache.spark:spark-avro_2.12:3.5.7")),
    ],
)
def test_packages_are_those_of_the_minor_version(version: str, packages: tuple[str, ...]) -> None:
    assert packages_for(version) == packages


@pytest.mark.parametrize("version", ["4.0.1", "3.4.4", "4.10.0", "5.0.0", ""])
def test_another_version_is_refused_with_those_that_work(version: str) -> None:
    with pytest.raises(InputError, match=f"PySpark {re.escape(version)} is not supported.*4.1 or 3.5"):
        packages_for(version)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2"', 11),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_the_java_version_is_read_from_what_java_prints(text: str, version: int | None) -> None:
    assert parse_java_version(text) == version


@pytest.mark.parametrize(("gigabytes", "megabytes"), [(1, 1024), (8, 3276), (24, 9830), (256, 16384)])
def test_the_driver_gets_a_share_of_the_machine(gigabytes: int, megabytes: int) -> None:
    assert choose_driver_memory_mb(gigabytes << 30) == megabytes


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "a.B"), ("", "a.B"), ("a.B", "a.B"), ("c.D", "c.D,a.B"), ("c.D, a.B", "c.D,a.B")],
)
def test_an_extension_joins_those_of_the_environment(before: str | None, after: str) -> None:
    assert merge_extension(before, "a.B") == after


def _without_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fresh process: no session, no JVM."""
    from pyspark import SparkContext

    monkeypatch.setattr("glue_ml.session.find_session", lambda: None)
    monkeypatch.setattr(SparkContext, "_gateway", None)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)


def test_missing_java_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _without_spark(monkeypatch)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="Java was not found; install Java 17 or newer"):
        open_session("test")


def test_a_java_home_without_java_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _without_spark(monkeypatch)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"Java was not found in JAVA_HOME={re.escape(str(tmp_path))}"):
        open_session("test")


def test_java_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _without_spark(monkeypatch)
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InputError, match="is Java 11; install Java 17 or newer"):
        open_session("test")


def test_the_defaults_file_names_the_packages_of_the_code() -> None:
    from glue_ml.session import _EXCLUDES

    lines = (ROOT / "conf" / "spark-defaults.conf").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#"))
    assert settings["spark.jars.packages"] == ",".join(packages_for("4.1.0"))
    assert settings["spark.jars.excludes"] == ",".join(_EXCLUDES)
    assert settings["spark.sql.extensions"] == merge_extension(None, "io.delta.sql.DeltaSparkSessionExtension")
