"""What every launcher must do, whatever it runs applications on."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from glue_ml.domain.task_run import ApplicationState
from glue_ml.errors import InputError
from tests.launchers.conftest import Bench, wait_for, wait_for_end

ENDED = (ApplicationState.SUCCEEDED, ApplicationState.FAILED, ApplicationState.GONE)


def test_an_application_runs_and_succeeds(bench: Bench) -> None:
    launcher = bench.make()
    handle = bench.submit(launcher, bench.application("succeeds"))
    assert wait_for_end(launcher, handle).state is ApplicationState.SUCCEEDED
    assert launcher.poll(handle).state is ApplicationState.SUCCEEDED  # and stays so


def test_a_running_application_is_told_as_running(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("sleeps")
    handle = bench.submit(launcher, application)
    bench.pids(application, 1)
    assert launcher.poll(handle).state is ApplicationState.RUNNING


def test_a_failure_is_told_with_its_reason(bench: Bench) -> None:
    launcher = bench.make()
    told = wait_for_end(launcher, bench.submit(launcher, bench.application("fails")))
    assert told.state is ApplicationState.FAILED
    assert "exit code 3" in told.message
    assert "it broke" in told.message


def test_the_same_token_is_started_once(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("sleeps")
    handle = bench.submit(launcher, application)
    assert launcher.submit(application) == handle
    bench.pids(application, 1)
    assert bench.make().submit(application) == handle
    launcher.cancel(handle, force=True)
    wait_for_end(launcher, handle)
    assert len(bench.pids(application, 1)) == 1


def test_what_was_submitted_before_a_crash_is_found(bench: Bench) -> None:
    application = bench.application("sleeps")
    assert bench.make().find(application.token) is None
    handle = bench.submit(bench.make(), application)
    bench.pids(application, 1)
    again = bench.make()
    assert again.find(application.token) == handle
    assert again.poll(handle).state is ApplicationState.RUNNING


def test_the_end_is_known_to_a_launcher_that_came_later(bench: Bench) -> None:
    first = bench.make()
    succeeded, failed = (bench.submit(first, bench.application(script)) for script in ("succeeds", "fails"))
    wait_for_end(first, succeeded)
    wait_for_end(first, failed)
    later = bench.make()
    assert later.poll(succeeded).state is ApplicationState.SUCCEEDED
    assert later.poll(failed).state is ApplicationState.FAILED


@pytest.mark.parametrize("script", ["sleeps", "ends_when_asked", "has_children"])
def test_an_application_that_is_cancelled_ends(bench: Bench, script: str) -> None:
    launcher, application = bench.make(), bench.application(script)
    handle = bench.submit(launcher, application)
    bench.pids(application, 4 if script == "has_children" else 1)
    launcher.cancel(handle, force=False)
    assert wait_for_end(launcher, handle).state in ENDED


def test_one_that_does_not_listen_is_ended_by_force(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("is_deaf")
    handle = bench.submit(launcher, application)
    (pid,) = bench.pids(application, 1)
    launcher.cancel(handle, force=False)
    assert launcher.poll(handle).state is ApplicationState.RUNNING
    launcher.cancel(handle, force=True)
    assert wait_for_end(launcher, handle).state in ENDED
    wait_for(lambda: not _is_alive(pid))


def test_force_ends_the_whole_tree_of_processes(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("has_children")
    handle = bench.submit(launcher, application)
    pids = bench.pids(application, 4)
    assert all(map(_is_alive, pids))
    launcher.cancel(handle, force=True)
    wait_for(lambda: not any(map(_is_alive, pids)))


def test_force_works_for_a_launcher_that_came_later(bench: Bench) -> None:
    application = bench.application("has_children")
    handle = bench.submit(bench.make(), application)
    pids = bench.pids(application, 4)
    bench.make().cancel(handle, force=True)
    wait_for(lambda: not any(map(_is_alive, pids)))


def test_cancelling_what_has_ended_or_never_was_is_harmless(bench: Bench) -> None:
    launcher = bench.make()
    handle = bench.submit(launcher, bench.application("succeeds"))
    wait_for_end(launcher, handle)
    for force in (False, True, False):
        launcher.cancel(handle, force=force)
        launcher.cancel("tsk-0-1", force=force)
    assert launcher.poll(handle).state is ApplicationState.SUCCEEDED


def test_an_application_that_never_was_is_gone(bench: Bench) -> None:
    assert bench.make().poll("tsk-0-1").state is ApplicationState.GONE
    assert bench.make().find("tsk-0-1") is None


def test_an_application_that_is_killed_is_not_told_as_running(bench: Bench) -> None:
    launcher, application = bench.make(), bench.application("sleeps")
    handle = bench.submit(launcher, application)
    (pid,) = bench.pids(application, 1)
    os.kill(pid, signal.SIGKILL)
    assert wait_for_end(launcher, handle).state in (ApplicationState.FAILED, ApplicationState.GONE)


@pytest.mark.parametrize("token", ["../x", "a/b", "", ".", "..", "x" * 300, "a\0b", "-rf"])
def test_a_token_that_could_be_a_path_is_refused(bench: Bench, token: str) -> None:
    launcher = bench.make()
    for use in (launcher.find, launcher.poll):
        with pytest.raises(InputError, match="cannot be the token"):
            use(token)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
