"""The local launcher alone: its supervisor, its environment, and a real spark-submit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from glue_ml import storage
from glue_ml.domain.capacity import SparkResources
from glue_ml.domain.task_run import ApplicationState
from glue_ml.errors import UnavailableError
from glue_ml.launchers import local, supervisor
from glue_ml.launchers.launcher import Application
from glue_ml.launchers.local import LocalLauncher
from tests.launchers.conftest import Bench, run_python, wait_for, wait_for_end


def _supervisor(bench: Bench, token: str) -> int:
    place = bench.folder / "launcher" / token / "process.json"
    wait_for(place.exists)
    return int(json.loads(place.read_bytes())["pid"])


def _place(bench: Bench, token: str) -> Path:
    return bench.folder / "launcher" / token


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_killed_supervisor_leaves_is_ended_before_it_is_told_as_gone(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("has_children")
    handle = bench.submit(launcher, application)
    pids = bench.pids(application, 4)
    os.kill(_supervisor(bench, handle), signal.SIGKILL)
    assert wait_for_end(launcher, handle).state is ApplicationState.GONE
    wait_for(lambda: not any(map(_is_alive, pids)))


def test_what_another_launcher_runs_under_the_same_token_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    mine, application = bench.make(), bench.application("sleeps")
    handle = bench.submit(mine, application)
    other = Bench(lambda: LocalLauncher(tmp_path / "other", cores=2, memory_mb=1024, command=run_python), tmp_path)
    assert other.make().poll(handle).state is ApplicationState.GONE
    for force in (False, True):
        other.make().cancel(handle, force=force)
    bench.pids(application, 1)
    assert mine.poll(handle).state is ApplicationState.RUNNING


def test_an_application_is_found_by_another_name_of_its_folder(bench: Bench, tmp_path: Path) -> None:
    handle = bench.submit(bench.make(), bench.application("sleeps"))
    (tmp_path / "link").symlink_to(tmp_path / "launcher")
    again = LocalLauncher(tmp_path / "link", cores=2, memory_mb=1024, command=run_python)
    assert again.poll(handle).state is ApplicationState.RUNNING
    again.cancel(handle, force=True)
    assert wait_for_end(again, handle).state is ApplicationState.GONE


def test_a_process_number_that_is_used_again_is_no_application(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("succeeds")
    handle = bench.submit(launcher, application)
    wait_for_end(launcher, handle)
    (_place(bench, handle) / "exit.json").unlink()
    (_place(bench, handle) / "process.json").write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
    later = bench.make()
    assert later.poll(handle).state is ApplicationState.GONE
    later.cancel(handle, force=True)  # this test's own process must live through it


def test_the_session_of_another_program_is_left_alone_though_its_number_was_an_applications(bench: Bench) -> None:
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    leader = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert leader.stdout is not None
    child = psutil.Process(int(leader.stdout.readline()))
    try:
        place = _place(bench, "tsk-1-1")
        place.mkdir(parents=True)
        (place / "process.json").write_text(json.dumps({"pid": leader.pid}), encoding="utf-8")
        for force in (False, True):
            bench.make().cancel("tsk-1-1", force=force)
        assert bench.make().poll("tsk-1-1").state is ApplicationState.GONE
        with pytest.raises(psutil.TimeoutExpired):
            child.wait(0.2)
        assert leader.poll() is None
    finally:
        child.kill()
        leader.communicate()


def test_a_clock_that_is_set_does_not_make_an_application_gone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    application = bench.application("sleeps")
    handle = bench.submit(bench.make(), application)
    bench.pids(application, 1)
    started = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: started(process) + 3600)
    assert bench.make().poll(handle).state is ApplicationState.RUNNING


def test_an_application_is_running_from_its_submission_on_for_every_launcher(bench: Bench) -> None:
    handle = bench.submit(bench.make(), bench.application("sleeps"))
    assert bench.make().poll(handle).state is ApplicationState.RUNNING


def test_a_supervisor_that_has_no_command_line_yet_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system shows it a moment after the process is there; here it takes three looks."""
    read, nameless = psutil.Process.cmdline, Counter[int]()

    def read_late(process: psutil.Process) -> list[str]:
        command = read(process)
        if command[-2:-1] != [supervisor.MODULE]:
            return command
        nameless[process.pid] += 1
        return command if nameless[process.pid] > 3 else []

    monkeypatch.setattr(psutil.Process, "cmdline", read_late)
    handle = bench.submit(bench.make(), bench.application("sleeps"))
    assert bench.make().poll(handle).state is ApplicationState.RUNNING


def test_an_application_that_is_cancelled_at_once_ends(bench: Bench) -> None:
    launcher = bench.make()
    handle = bench.submit(launcher, bench.application("sleeps"))
    while launcher.poll(handle).state is ApplicationState.RUNNING:
        bench.make().cancel(handle, force=False)
    assert launcher.poll(handle).state in (ApplicationState.FAILED, ApplicationState.GONE)


def test_an_end_between_two_looks_is_told_as_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, application = bench.make(), bench.application("sleeps")
    handle = bench.submit(launcher, application)
    (pid,) = bench.pids(application, 1)
    look = local._find_supervisor

    def look_late(place: Path) -> psutil.Process | None:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: (place / "exit.json").exists() and look(place) is None)
        return look(place)

    monkeypatch.setattr(local, "_find_supervisor", look_late)
    assert bench.make().poll(handle).state is ApplicationState.FAILED


@pytest.mark.parametrize("name", ["process.json", "exit.json"])
def test_a_file_that_lost_its_content_with_the_power_is_no_file(bench: Bench, name: str) -> None:
    launcher = bench.make()
    handle = bench.submit(launcher, bench.application("succeeds"))
    wait_for_end(launcher, handle)
    (_place(bench, handle) / "exit.json").unlink()
    (_place(bench, handle) / name).write_bytes(b"")
    assert wait_for_end(bench.make(), handle).state is ApplicationState.GONE


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    launcher = LocalLauncher(tmp_path / "file", cores=1, memory_mb=512, command=lambda _: ["true"])
    application = Application("tsk-1-1", "n", "s.py", (), tmp_path.as_uri(), SparkResources(1, 1, 1, 1, 1, 1, 1))
    with pytest.raises(UnavailableError, match="tsk-1-1 cannot be written: Not a directory"):
        launcher.submit(application)


def test_an_application_works_in_a_folder_of_its_own(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "glue_ml.py").write_text("raise SystemExit('a module of anybody')", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}/elsewhere")
    application = bench.application("sleeps")
    handle = bench.submit(bench.make(), application)
    (pid,) = bench.pids(application, 1)
    process = psutil.Process(pid)
    assert Path(process.cwd()) == _place(bench, handle).resolve()
    assert process.environ()["PYTHONPATH"].split(os.pathsep)[-2:] == [str(tmp_path / "here/lib"), "/elsewhere"]


def test_what_an_application_leaves_is_for_its_owner_only(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("sleeps")
    handle = bench.submit(launcher, application)
    bench.pids(application, 1)
    place = _place(bench, handle)
    log = Path(application.run_directory.removeprefix("file://")) / "spark.log"
    assert place.stat().st_mode & 0o077 == 0
    assert [path.name for path in (place / "process.json", log) if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}", "file://localhost{}", "FILE://{}"])
def test_the_log_is_in_a_run_directory_of_this_machine(tmp_path: Path, form: str) -> None:
    launcher = LocalLauncher(tmp_path / "launcher", cores=1, memory_mb=512, command=lambda _: ["echo", "hello"])
    run = tmp_path / "a run%20"
    resources = SparkResources(1, 1, 1, 1, 1, 1, 1)
    wait_for_end(launcher, launcher.submit(Application("tsk-1-1", "n", "s", (), form.format(run), resources)))
    assert (run / "spark.log").read_text(encoding="utf-8") == "hello\n"


def test_the_log_of_a_run_elsewhere_is_copied_there_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, bytes] = {}
    task = {
        "command": ["echo", "hello"],
        "script": "s",
        "log": str(tmp_path / "spark.log"),
        "upload": "s3://b/1/spark.log",
    }
    (tmp_path / "task.json").write_text(json.dumps(task), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "write_bytes", written.__setitem__)
    mask = os.umask(0o022)
    try:
        assert supervisor.main(tmp_path) == 0
    finally:
        os.umask(mask)
    assert written == {"s3://b/1/spark.log": b"hello\n"}
    assert json.loads((tmp_path / "exit.json").read_bytes()) == {"code": 0}


def test_an_end_is_told_though_its_log_cannot_be_copied(tmp_path: Path) -> None:
    launcher = LocalLauncher(tmp_path, cores=1, memory_mb=512, command=lambda _: ["true"])
    resources = SparkResources(1, 1, 1, 1, 1, 1, 1)
    application = Application("tsk-1-1", "n", "s", (), "nowhere://b/run", resources)
    assert wait_for_end(launcher, launcher.submit(application)).state is ApplicationState.SUCCEEDED


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


def _read_conf(command: list[str]) -> dict[str, str]:
    pairs = [command[i + 1].partition("=") for i, part in enumerate(command) if part == "--conf"]
    return {name: value for name, _, value in pairs}


def test_packages_are_submitted_as_the_files_that_an_earlier_run_has_resolved(tmp_path: Path) -> None:
    jar = tmp_path / "a.jar"
    conf = {"spark.jars.packages": "a:b:1,c:d:2", "spark.jars": "/own.jar"}
    resources = SparkResources(1, 1, 512, 512, 1, 512, 512)
    application = Application("tsk-1-1", "n", "s.py", (), "/run", resources, conf=conf)
    launcher = LocalLauncher(tmp_path, cores=1, memory_mb=1024)
    assert conf.items() <= _read_conf(launcher._submit_command(application)).items()
    (tmp_path / "jars.json").write_text(json.dumps({"a:b:1,c:d:2": [str(jar)]}), encoding="utf-8")
    assert conf.items() <= _read_conf(launcher._submit_command(application)).items()  # as the file is not there
    jar.touch()
    found = _read_conf(launcher._submit_command(application))
    assert found["spark.jars"] == f"/own.jar,{jar}"
    assert "spark.jars.packages" not in found


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
    wait_for(lambda: launcher.poll(handle).state is not ApplicationState.RUNNING, patience=300)
    assert launcher.poll(handle).state is ApplicationState.SUCCEEDED, (tmp_path / "run/spark.log").read_text()
    assert json.loads((tmp_path / "told.json").read_text(encoding="utf-8")) == {
        "spark.master": "local[2]",
        "spark.driver.memory": "921m",
        "spark.app.name": "a name; with $signs",
        "spark.x": "a b",
        "sum": 45,
    }
