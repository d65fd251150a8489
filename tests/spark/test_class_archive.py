"""The archive of classes: made whole or not at all, found by who may use it, and mapped by the JVMs of this Spark."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glue_ml.class_archive import CLASS_ARCHIVE, PATIENCE, find_archive, make_archive, name_options
from glue_ml.launchers.local import LocalLauncher

#: Prints the files that the JVM of a session has mapped.
MAPPED = """
import psutil
from glue_ml.session import open_session

spark = open_session("classes", master="local[1]")
assert spark.range(3).count() == 3
(jvm,) = (child for child in psutil.Process().children(recursive=True) if child.name() == "java")
print(*(found.path for found in jvm.memory_maps()), sep="\\n")
spark.stop()
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("classes with a space") / "kept" / "spark.jsa"
    assert make_archive(made)
    return made


def list_mapped(archive: Path, folder: Path) -> list[str]:
    told = {**os.environ, CLASS_ARCHIVE: str(archive)}
    ended = subprocess.run(
        [sys.executable, "-c", MAPPED], cwd=folder, env=told, capture_output=True, text=True, check=True
    )
    return ended.stdout.splitlines()


def test_a_session_maps_the_archive(archive: Path, tmp_path: Path) -> None:
    assert str(archive) in list_mapped(archive, tmp_path)
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_a_file_that_is_no_archive_changes_nothing(tmp_path: Path) -> None:
    damaged = tmp_path / "spark.jsa"
    damaged.write_bytes(b"no archive")
    assert str(damaged) not in list_mapped(damaged, tmp_path)


def test_one_that_was_cut_off_is_not_kept(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # in the place of Spark, whose disk is full
    cut = (
        "import sys; from pathlib import Path; Path(sys.argv[2]).write_bytes(Path(sys.argv[1]).read_bytes()[:999_999])"
    )
    monkeypatch.setattr(
        "glue_ml.class_archive._submit_command",
        lambda spark, script, draft: [sys.executable, "-c", cut, str(archive), str(draft)],
    )
    assert not make_archive(tmp_path / "spark.jsa")
    assert list(tmp_path.iterdir()) == []


def test_archives_that_nobody_uses_any_more_go(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, days in (("spark-old", 31), ("spark-new", 29), ("other", 31)):
        (tmp_path / f"{name}.jsa").touch()
        os.utime(tmp_path / f"{name}.jsa", (time.time() - days * 86_400,) * 2)
    monkeypatch.setattr(
        "glue_ml.class_archive._submit_command", lambda spark, script, draft: ["cp", str(archive), str(draft)]
    )
    assert make_archive(tmp_path / "spark-made.jsa")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.jsa", "spark-made.jsa", "spark-new.jsa"]


def test_who_finds_another_at_it_leaves_it(tmp_path: Path) -> None:
    lock = tmp_path / "spark.lock"
    lock.touch()
    assert not make_archive(tmp_path / "spark.jsa")
    assert [path.name for path in tmp_path.iterdir()] == ["spark.lock"]


def test_who_was_killed_at_it_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "spark.lock"
    lock.touch()
    long_ago = time.time() - PATIENCE - 1
    os.utime(lock, (long_ago, long_ago))
    monkeypatch.setattr("glue_ml.class_archive._submit_command", lambda *_: ["false"])
    assert not make_archive(tmp_path / "spark.jsa")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("setting", "variable"), [("off", None), (None, "off"), ("off", "/somewhere")])
def test_it_may_be_switched_off(setting: str | None, variable: str | None) -> None:
    assert find_archive(setting, {} if variable is None else {CLASS_ARCHIVE: variable}) is None


def test_a_place_of_its_own_for_each_spark_and_java(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "java").chmod(0o700)
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.environ["PATH"]}
    usual, other = (find_archive("auto", told) for told in (variables, {**variables, "JAVA_HOME": str(tmp_path)}))
    assert usual is not None
    assert other is not None
    assert usual.parent == other.parent == tmp_path / "cache" / "glue-ml"
    assert usual != other
    assert find_archive(str(tmp_path / "mine.jsa"), variables) == tmp_path / "mine.jsa"


def test_what_is_not_there_or_cannot_be_quoted_is_not_named(tmp_path: Path) -> None:
    quoted = tmp_path / 'a"b.jsa'
    quoted.touch()
    assert [name_options(path) for path in (None, tmp_path / "nothing.jsa", quoted)] == ["", "", ""]


def test_the_launcher_makes_it_after_the_first_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("glue_ml.launchers.local.start_making", asked.append)
    archive = tmp_path / "spark.jsa"
    launcher = LocalLauncher(tmp_path, cores=1, memory_mb=512, archive=archive)
    launcher._make_archive()
    assert asked == [archive]
    archive.touch()
    LocalLauncher(tmp_path, cores=1, memory_mb=512, archive=archive)._make_archive()
    LocalLauncher(tmp_path, cores=1, memory_mb=512)._make_archive()
    assert asked == [archive]
