"""The local launcher alone: its supervisor, its environment, and a real spark-submit."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from glue_ml.domain.capacity import SparkResources
from glue_ml.domain.task_run import ApplicationState
from glue_ml.launchers.launcher import Application
from glue_ml.launchers.local import LocalLauncher
from tests.launchers.conftest import Bench, wait_for, wait_for_end


def _supervisor(bench: Bench, token: str) -> int:
    place = bench.folder / "launcher" / token / "process.json"
    wait_for(place.exists)
    return int(json.loads(place.read_bytes())["pid"])


def test_a_supervisor_that_is_killed_leaves_an_application_that_is_gone(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("succeeds")
    sleeping = replace(bench.application("sleeps"), token="tsk-900-1")
    for one in (application, sleeping):
        bench.submit(launcher, one)
    bench.pids(sleeping, 1)
    os.kill(_supervisor(bench, sleeping.token), signal.SIGKILL)
    assert wait_for_end(launcher, sleeping.token).state is ApplicationState.GONE
    launcher.cancel(sleeping.token, force=True)  # its process is still there, and is found by its mark
    (pid,) = bench.pids(sleeping, 1)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_process_number_that_is_used_again_is_no_application(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("succeeds")
    handle = bench.submit(launcher, application)
    wait_for_end(launcher, handle)
    place = bench.folder / "launcher" / application.token
    (place / "exit.json").unlink()
    (place / "process.json").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}), encoding="utf-8")
    later = bench.make()
    assert later.poll(handle).state is ApplicationState.GONE
    later.cancel(handle, force=True)  # this test's own process must live through it


def test_secrets_of_the_server_do_not_reach_an_application(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUE_ML_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    application = replace(bench.application("sleeps"), environment={"GLUE_ML_STORAGE_URI": "file:///x"})
    launcher = bench.make()
    bench.submit(launcher, application)
    (pid,) = bench.pids(application, 1)
    environment = psutil.Process(pid).environ()
    assert "GLUE_ML_DATABASE_URL" not in environment
    assert (environment["AWS_REGION"], environment["GLUE_ML_STORAGE_URI"]) == ("eu-west-3", "file:///x")


def test_what_the_environment_holds_is_not_written_down(bench: Bench) -> None:
    application = replace(bench.application("succeeds"), environment={"GLUE_ML_SECRET_ACCESS_KEY": "very-secret"})
    launcher = bench.make()
    wait_for_end(launcher, bench.submit(launcher, application))
    kept = [file for file in bench.folder.rglob("*") if file.is_file()]
    assert kept
    assert [file for file in kept if b"very-secret" in file.read_bytes()] == []


def test_a_command_that_does_not_exist_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    launcher = LocalLauncher(tmp_path, cores=1, memory_mb=512, command=lambda _: [str(tmp_path / "nothing")])
    resources = SparkResources(1, 1, 512, 512, 1, 512, 512)
    application = Application("tsk-1-1", "n", "s.py", (), tmp_path.as_uri() + "/run", resources)
    told = wait_for_end(launcher, launcher.submit(application))
    assert told.state is ApplicationState.FAILED
    assert "cannot be started: No such file or directory" in told.message


def test_spark_submit_runs_a_script_with_the_sizes_it_was_given(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys\n"
        "from pyspark.sql import SparkSession\n"
        "import awsglueml.transforms, glue_ml\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "conf = spark.sparkContext.getConf()\n"
        "names = ('spark.master', 'spark.driver.memory', 'spark.app.name', 'spark.x')\n"
        "told = {name: conf.get(name) for name in names}\n"
        "told['sum'] = spark.range(10).selectExpr('sum(id)').head()[0]\n"
        "open(sys.argv[1], 'w').write(json.dumps(told))\n",
        encoding="utf-8",
    )
    launcher = LocalLauncher(tmp_path / "launcher", cores=2, memory_mb=2048)
    application = Application(
        "tsk-1-1", "a name; with $signs", str(script), (str(tmp_path / "told.json"),), (tmp_path / "run").as_uri(),
        SparkResources(4, 4, 7372, 9012, 4, 7372, 9012), conf={"spark.x": "a b"},
    )  # fmt: skip
    handle = launcher.submit(application)
    wait_for(lambda: launcher.poll(handle).state is not ApplicationState.RUNNING, patience=120)
    assert launcher.poll(handle).state is ApplicationState.SUCCEEDED, (tmp_path / "run/spark.log").read_text()
    assert json.loads((tmp_path / "told.json").read_text(encoding="utf-8")) == {
        "spark.master": "local[2]",
        "spark.driver.memory": "921m",
        "spark.app.name": "a name; with $signs",
        "spark.x": "a b",
        "sum": 45,
    }
