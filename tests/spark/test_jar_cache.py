"""What packages were resolved to is kept, so that the next run does not resolve them again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glue_ml.session import JAR_CACHE, _remember_jars, packages_for, recall_jars

# One try to open a session for each argument, all in one fresh process; what came of the last that succeeds is used.
FRESH_PROCESS = """
import json, sys
from glue_ml.errors import GlueMLError
from glue_ml.session import open_session

folder, told = sys.argv[1], []
offline = {"spark.jars.ivy": f"{folder}/ivy", "spark.jars.ivySettings": f"{folder}/settings.xml"}
for network in sys.argv[2:]:
    try:
        spark = open_session("jar cache", master="local[1]", settings=offline if network == "offline" else {})
    except GlueMLError as error:
        told.append(error.kind)
        continue
    spark.range(3).coalesce(1).write.format("avro").mode("overwrite").save(f"{folder}/table")
    told.append(len(spark.read.format("avro").load(f"{folder}/table").take(9)))
    loader = spark._jvm.java.lang.Thread.currentThread().getContextClassLoader()
    told.append(loader.getResource("io/delta/sql/DeltaSparkSessionExtension.class") is not None)
print(json.dumps(told))
"""
NO_REPOSITORY = """
<ivysettings>
  <settings defaultResolver="nothing"/>
  <resolvers><filesystem name="nothing"><artifact pattern="/nonexistent/[artifact].[ext]"/></filesystem></resolvers>
</ivysettings>
"""


def _open_sessions(folder: Path, *networks: str) -> Any:
    (folder / "settings.xml").write_text(NO_REPOSITORY, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(folder), *networks],
        env={**os.environ, JAR_CACHE: str(folder / "jars.json")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder whose cache named a file that is gone, and what a process told that resolved the packages then."""
    import pyspark

    folder = tmp_path_factory.mktemp("cache")
    stale = {",".join(packages_for(pyspark.__version__)): [str(folder / "gone.jar")]}
    (folder / "jars.json").write_text(json.dumps(stale), encoding="utf-8")
    return folder, _open_sessions(folder, "offline", "online")


def test_a_cache_that_names_a_file_that_is_gone_is_not_used(resolved: tuple[Path, list[Any]]) -> None:
    _, told = resolved
    assert told == ["UNAVAILABLE", 3, True]


def test_what_was_resolved_is_kept(resolved: tuple[Path, list[Any]]) -> None:
    folder, _ = resolved
    ((packages, jars),) = json.loads((folder / "jars.json").read_bytes()).items()
    assert packages.startswith("io.delta:delta-spark_")
    assert all(Path(jar).is_file() for jar in jars)
    assert [path.name for path in folder.glob("jars.json*")] == ["jars.json"]


def test_the_next_process_resolves_nothing(resolved: tuple[Path, list[Any]]) -> None:
    folder, _ = resolved
    assert _open_sessions(folder, "offline") == [3, True]  # it could not resolve anything


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b"\xff"])
def test_a_cache_that_cannot_be_read_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    cache, jar = tmp_path / "jars.json", tmp_path / "a.jar"
    jar.touch()
    cache.write_bytes(content)
    assert recall_jars(["a:b:1"], str(cache)) == []
    _remember_jars(["a:b:1"], [str(jar)], str(cache))
    assert recall_jars(["a:b:1"], str(cache)) == [str(jar)]
    assert recall_jars(["a:b:2"], str(cache)) == []


def test_packages_are_kept_beside_others(tmp_path: Path) -> None:
    cache, jar = str(tmp_path / "jars.json"), tmp_path / "a.jar"
    jar.touch()
    for package in ("a:b:1", "a:b:2"):
        _remember_jars([package], [str(jar)], cache)
    assert [recall_jars([package], cache) for package in ("a:b:1", "a:b:2")] == [[str(jar)], [str(jar)]]
    jar.unlink()
    assert recall_jars(["a:b:1"], cache) == []


@pytest.mark.parametrize("cache", ["", "/nonexistent/jars.json"])
def test_a_cache_that_is_not_named_or_cannot_be_written_does_not_end_the_run(cache: str) -> None:
    _remember_jars(["a:b:1"], [__file__], cache)
    assert recall_jars(["a:b:1"], cache) == []
