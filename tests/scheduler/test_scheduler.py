from __future__ import annotations

import json
import logging
import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from glue_ml import storage
from glue_ml.domain.job import JobError, JobResult, JobSpec, TaskType
from glue_ml.domain.task_run import ApplicationState, RunStatus, execution_seconds
from glue_ml.domain.transform import TransformStatus
from glue_ml.errors import AccessError, ErrorKind, InputError, NotFoundError, UnavailableError
from glue_ml.launchers.launcher import Application
from glue_ml.store import runs, tags
from tests.scheduler.world import BROKEN, START, Killed, World, import_result, open_world


def moves_of(world: World, run_id: str) -> list[str]:
    """The statuses that a run went through, with repetitions left out."""
    told = [event.to_status.value for event in world.events(run_id)]
    return [status for i, status in enumerate(told) if i == 0 or told[i - 1] != status]


def kill_in_launch(world: World, *, after_submission: bool) -> None:
    """Let the scheduler die after it has noted that it launches a run: before or after it hands it to the cluster."""
    submit = world.cluster.submit

    def die(application: Application) -> str:
        if after_submission:
            submit(application)
        raise Killed

    world.cluster.submit = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.tick()
    world.cluster.submit = submit  # type: ignore[method-assign]


# --- the ordinary way ---


def test_a_run_is_launched_and_seen_running_in_one_pass(world: World) -> None:
    run_id = world.add_run()
    world.tick(1)
    run = world.run(run_id)
    assert (run.status, run.handle) == (RunStatus.RUNNING, "app-tsk-1-1")
    assert run.launched_on == run.running_on == world.clock()
    assert world.cluster.submissions == ["tsk-1-1"]


def test_an_application_is_given_all_that_its_job_needs(tmp_path: Path) -> None:
    with open_world(tmp_path, credentials={"AKID": "hush"}, conf={"spark.a": "b"}) as world:
        world.add_transform()
        world.add_run(TaskType.IMPORT_LABELS)
        world.tick()
        application = world.application("tsk-1").application
        directory = f"file://{tmp_path}/storage/runs/tsk-1/1"
        assert application.script == "/opt/jobs/import_labels.py"
        assert application.arguments == ("--run-directory", directory)
        assert application.run_directory == directory
        assert application.conf == {"spark.a": "b"}
        assert application.environment == {
            "GLUE_ML_STORAGE_URI": f"file://{tmp_path}/storage",
            "AWS_ENDPOINT_URL_GLUE": "http://127.0.0.1:8420",
            "GLUE_ML_ACCESS_KEY_ID": "AKID",
            "GLUE_ML_SECRET_ACCESS_KEY": "hush",
        }
        text = (world.path_of("tsk-1") / "spec.json").read_text()
        spec = JobSpec.from_json(text)
        assert spec.input_uri == "s3://b/labels.csv"
        assert spec.labels_uri == f"file://{tmp_path}/storage/transforms/tfm-1/labels"
        assert "hush" not in text
        assert "hush" not in str(application.arguments) + repr(world.settings)


def test_a_run_that_succeeds_is_finished_and_released(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.end(run_id)
    world.tick(5)
    run = world.run(run_id)
    assert (run.status, run.released, run.error) == (RunStatus.SUCCEEDED, True, None)
    assert run.completed_on == world.clock()
    assert execution_seconds(run, world.clock()) == 5
    assert moves_of(world, run_id) == ["STARTING", "RUNNING", "SUCCEEDED"]


def test_a_result_counts_before_its_application_has_ended(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.write_result(run_id, JobResult(True))
    world.tick(1)
    assert (world.status(run_id), world.run(run_id).released) == ("SUCCEEDED", False)
    world.tick(29)
    assert world.application(run_id).asked == []  # it is given the time to end by itself
    world.tick(1)
    assert world.application(run_id).asked == [True]
    modified_on = world.run(run_id).last_modified_on
    world.tick(1)
    assert world.run(run_id).released
    assert world.run(run_id).last_modified_on == modified_on


def test_nothing_is_done_about_a_run_that_was_released(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.end(run_id)
    world.tick()
    before = world.run(run_id)
    world.tick(100)
    assert world.run(run_id) == before


def test_an_application_may_end_before_it_was_seen_running(world: World) -> None:
    run_id = world.add_run()
    world.cluster.failures["poll"] = UnavailableError("no answer")
    world.tick()
    assert world.status(run_id) == "STARTING"
    world.cluster.failures.clear()
    world.end(run_id)
    world.tick(1)
    assert moves_of(world, run_id) == ["STARTING", "SUCCEEDED"]


def test_a_script_speaks_by_its_exit_code(world: World) -> None:
    good, bad = world.add_script_run(), world.add_script_run()
    world.tick()
    application = world.application(good).application
    assert application.script == "file:///s.py"
    assert application.arguments[:4] == ("--JOB_NAME", "nightly", "--JOB_ID", "nightly")
    assert application.arguments[-2:] == ("--n", "1")
    assert not world.path_of(good).exists()
    world.end(good, None, state="SUCCEEDED")
    world.end(bad, None, state="FAILED")
    world.application(bad).message = "exit code 3"
    world.tick()
    assert (world.status(good), world.status(bad)) == ("SUCCEEDED", "FAILED")
    assert world.run(bad).error == "The script failed: exit code 3"


def test_a_script_that_writes_a_result_is_not_believed(world: World) -> None:
    run_id = world.add_script_run()
    world.tick()
    world.end(run_id, JobResult(True), state="FAILED")
    world.tick()
    assert world.status(run_id) == "FAILED"


# --- what a transform learns ---


def test_an_import_makes_the_transform_ready_in_the_same_instant(world: World) -> None:
    run_id = world.add_run(TaskType.IMPORT_LABELS)
    world.tick()
    world.end(run_id, import_result(0, 12))
    world.tick(1)
    transform = world.transform()
    assert transform is not None
    assert (world.status(run_id), transform.status) == ("SUCCEEDED", TransformStatus.READY)
    assert (transform.label_count, transform.label_version) == (12, 0)
    assert transform.last_modified_on == world.run(run_id).completed_on


def test_two_imports_count_the_labels_that_are_there_whichever_ends_first(world: World) -> None:
    first, second = world.add_run(TaskType.IMPORT_LABELS), world.add_run(TaskType.IMPORT_LABELS)
    world.tick()
    world.end(second, import_result(1, 30))
    world.tick()
    world.end(first, import_result(0, 12))
    world.tick()
    transform = world.transform()
    assert transform is not None
    assert (world.status(first), world.status(second)) == ("SUCCEEDED", "SUCCEEDED")
    assert (transform.label_count, transform.label_version) == (30, 1)


def test_labels_that_were_committed_count_though_their_run_was_given_up(world: World) -> None:
    stopped, late = world.add_run(TaskType.IMPORT_LABELS), world.add_run(TaskType.IMPORT_LABELS)
    world.tick()
    world.stop_run(stopped)
    world.end(stopped, import_result(0, 12))
    world.tick()
    transform = world.transform()
    assert transform is not None
    assert (world.status(stopped), transform.status, transform.label_count) == ("STOPPED", TransformStatus.READY, 12)
    world.tick(600)
    assert world.status(late) == "TIMEOUT"
    world.end(late, import_result(1, 20))
    world.tick()
    transform = world.transform()
    assert transform is not None
    assert (world.status(late), transform.label_count) == ("TIMEOUT", 20)


def test_an_evaluation_leaves_its_metrics(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    metrics = {"precision": 0.9, "column_importances": [{"column": "name", "importance": 1.0}]}
    world.end(run_id, JobResult(True, metrics=metrics))
    world.tick()
    transform = world.transform()
    assert transform is not None
    assert (transform.metrics, transform.status) == (metrics, TransformStatus.NOT_READY)


def test_a_failed_import_teaches_nothing(world: World) -> None:
    run_id = world.add_run(TaskType.IMPORT_LABELS)
    world.tick()
    world.end(run_id, BROKEN)
    world.tick()
    transform = world.transform()
    assert transform is not None
    assert (world.status(run_id), transform.status) == ("FAILED", TransformStatus.NOT_READY)


# --- failures and retries ---


def test_a_failure_is_tried_again_until_the_retries_are_used_up(world: World) -> None:
    run_id = world.add_run(max_retries=2)
    for attempt in (1, 2, 3):
        world.tick()
        assert world.run(run_id).attempt == attempt
        world.clock.advance(10)
        world.end(run_id, BROKEN, attempt=attempt)
        world.tick()
    run = world.run(run_id)
    assert (run.status, run.error, run.attempt) == (RunStatus.FAILED, "It broke", 3)
    assert world.cluster.submissions == ["tsk-1-1", "tsk-1-2", "tsk-1-3"]
    assert execution_seconds(run, world.clock()) == 30
    assert moves_of(world, run_id) == ["STARTING", "RUNNING", "STARTING", "RUNNING", "STARTING", "RUNNING", "FAILED"]


def test_the_next_attempt_may_succeed(world: World) -> None:
    run_id = world.add_run(max_retries=1)
    world.tick()
    world.end(run_id, BROKEN)
    world.tick()
    assert (world.status(run_id), world.run(run_id).error) == ("RUNNING", None)
    assert (world.path_of(run_id, 2) / "spec.json").exists()
    world.end(run_id, attempt=2)
    world.tick()
    assert (world.status(run_id), world.run(run_id).error) == ("SUCCEEDED", None)


def test_an_attempt_that_fails_before_it_was_seen_running_is_tried_again(world: World) -> None:
    run_id = world.add_run(max_retries=1)
    world.cluster.failures["poll"] = UnavailableError("no answer")
    world.tick()
    world.cluster.failures.clear()
    world.end(run_id, BROKEN)
    world.tick(1)
    assert (world.status(run_id), world.run(run_id).attempt) == ("RUNNING", 2)


def test_a_failed_attempt_is_ended_before_the_next_begins(world: World) -> None:
    run_id = world.add_run(max_retries=1)
    world.tick()
    world.write_result(run_id, BROKEN)
    world.tick()
    assert (world.application(run_id).asked, world.run(run_id).attempt) == ([True], 1)
    world.tick()
    assert (world.status(run_id), world.run(run_id).attempt) == ("RUNNING", 2)
    assert world.cluster.alive() == {"tsk-1-2"}


def test_a_bad_input_is_not_tried_again(world: World) -> None:
    run_id = world.add_run(max_retries=5)
    world.tick()
    world.end(run_id, JobResult(False, error=JobError(ErrorKind.INPUT, "Column id is not there")))
    world.tick()
    run = world.run(run_id)
    assert (run.status, run.error, run.attempt) == (RunStatus.FAILED, "Column id is not there", 1)


@pytest.mark.parametrize("state", [ApplicationState.SUCCEEDED, ApplicationState.FAILED, ApplicationState.GONE])
def test_an_application_that_ends_without_a_result_has_failed(world: World, state: ApplicationState) -> None:
    run_id = world.add_run()
    world.tick()
    world.end(run_id, None, state=state)
    world.application(run_id).message = "node lost"
    world.tick()
    assert world.run(run_id).error == "The application ended without a result: node lost"


def test_an_application_that_the_cluster_forgot_has_failed(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.cluster.applications.clear()
    world.tick()
    assert (world.status(run_id), world.run(run_id).released) == ("FAILED", True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"succeeded": true, "surprise": 1}',
        b'{"succeeded": true, "error": {"kind": "INPUT", "message": "x"}}',
        b'{"succeeded": false, "error": {"kind": "NO SUCH KIND", "message": "x"}}',
        b'{"succeeded": false, "error": {"kind": "INPUT", "message": 5}}',
        b'{"succeeded": false, "error": "text"}',
        b'{"succeeded": true, "metrics": {"precision": NaN}}',
        b'{"succeeded": true, "counts": 5}',
        b'{"succeeded": 1}',
        b'{"succeeded": true, "counts": {}}',
        b'{"succeeded": true, "counts": {"version": "1", "total_rows": 1}}',
        b'{"succeeded": true, "counts": {"version": 1, "total_rows": 99999999999999999999}}',
    ],
)
def test_a_result_that_cannot_be_used_is_a_failure_that_says_so(world: World, data: bytes) -> None:
    run_id = world.add_run(TaskType.IMPORT_LABELS)
    world.tick()
    world.end(run_id, data, state="SUCCEEDED")
    world.tick()
    run = world.run(run_id)
    assert (run.status, run.released) == (RunStatus.FAILED, True)
    assert run.error is not None
    assert run.error.startswith("The result of the job cannot be used: ")
    assert run.error.endswith(f"(file://{world.path_of(run_id)}/result.json)")


def test_a_message_is_kept_in_a_form_that_any_store_takes(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    message = "bad \0 \ud800 " + "x" * 5000
    world.end(run_id, json.dumps({"succeeded": False, "error": {"kind": "INPUT", "message": message}}).encode())
    world.tick()
    error = world.run(run_id).error
    assert error is not None
    assert error.startswith("bad   ? xxx")
    assert len(error) == 2048


def test_while_the_storage_does_not_answer_nothing_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.add_run()
    world.tick()
    world.end(run_id)
    read = storage.read_bytes

    def refuse(uri: str) -> bytes:
        raise UnavailableError(f"{uri} cannot be read now")

    monkeypatch.setattr(storage, "read_bytes", refuse)
    world.tick(60)
    assert world.status(run_id) == "RUNNING"
    monkeypatch.setattr(storage, "read_bytes", read)
    world.tick()
    assert world.status(run_id) == "SUCCEEDED"


def test_a_result_that_may_not_be_read_is_a_failure_once_the_application_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = world.add_run(max_retries=1)
    world.tick()

    def refuse(uri: str) -> bytes:
        raise AccessError("denied")

    monkeypatch.setattr(storage, "read_bytes", refuse)
    world.tick()
    assert world.status(run_id) == "RUNNING"
    world.end(run_id)
    world.tick()
    assert world.run(run_id).error == "The result of the job cannot be read: denied"


def test_a_distant_result_is_looked_for_at_most_every_two_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = world.add_run(log_group="s3://b/runs/tsk-1")
    stored: dict[str, bytes] = {}
    looked: list[float] = []

    def read(uri: str) -> bytes:
        looked.append((world.clock() - START).total_seconds())
        if uri not in stored:
            raise NotFoundError(uri)
        return stored[uri]

    monkeypatch.setattr(storage, "write_bytes", stored.__setitem__)
    monkeypatch.setattr(storage, "read_bytes", read)
    for _ in range(8):
        world.tick(0.5)
    assert [round(seconds, 3) for seconds in looked] == [0.501, 2.501]
    stored["s3://b/runs/tsk-1/1/result.json"] = JobResult(True).to_json().encode()
    world.application(run_id).state = ApplicationState.SUCCEEDED
    world.tick(0.1)  # what has ended is looked for at once
    assert world.status(run_id) == "SUCCEEDED"


# --- time ---


def test_a_run_that_takes_longer_than_its_timeout_is_ended(world: World) -> None:
    run_id = world.add_run(timeout=1, max_retries=3)
    world.tick()
    world.tick(59)
    assert world.status(run_id) == "RUNNING"
    world.tick(1)
    run = world.run(run_id)
    assert (run.status, run.error) == (RunStatus.TIMEOUT, "The run took longer than its Timeout of 1 min.")
    assert world.application(run_id).asked == [False]
    world.tick()
    assert world.run(run_id).released
    assert world.cluster.submissions == ["tsk-1-1"]


def test_an_application_that_outlives_its_timeout_is_forced_to_end(world: World) -> None:
    run_id = world.add_run(timeout=1)
    world.tick()
    world.application(run_id).stubborn = True
    world.tick(60)
    world.tick(29)
    assert world.application(run_id).asked == [False]
    world.tick(1)
    world.tick()
    assert world.application(run_id).asked == [False, True]
    assert world.run(run_id).released


def test_an_application_that_finds_no_machines_fails_in_the_end(world: World) -> None:
    run_id = world.add_run()
    world.cluster.failures["poll"] = UnavailableError("no answer")
    world.tick()
    world.cluster.failures.clear()
    world.application(run_id).state = ApplicationState.PENDING
    world.tick(60)
    assert world.status(run_id) == "STARTING"
    world.tick(29 * 60)
    run = world.run(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith("The application did not start within 30 min.")
    world.tick()
    assert world.cluster.alive() == set()
    assert world.run(run_id).released


def test_an_application_of_which_nothing_is_known_is_waited_for(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.application(run_id).state = ApplicationState.UNKNOWN
    world.tick(100)
    assert world.status(run_id) == "RUNNING"
    world.end(run_id)
    world.tick()
    assert world.status(run_id) == "SUCCEEDED"


# --- stopping ---


def test_a_run_that_was_not_launched_stops_at_once(world: World) -> None:
    run_id = world.add_run()
    world.stop_run(run_id)
    world.tick(1)
    run = world.run(run_id)
    assert (run.status, run.released, run.completed_on) == (RunStatus.STOPPED, True, world.clock())
    assert world.cluster.submissions == []


def test_a_run_that_is_stopped_ends_once_its_application_is_gone(world: World) -> None:
    run_id = world.add_run(max_retries=3)
    world.tick()
    world.stop_run(run_id)
    world.tick()
    assert (world.status(run_id), world.application(run_id).asked) == ("STOPPING", [False])
    world.tick()
    run = world.run(run_id)
    assert (run.status, run.released, run.error) == (RunStatus.STOPPED, True, None)
    assert moves_of(world, run_id) == ["STARTING", "RUNNING", "STOPPING", "STOPPED"]


def test_an_application_that_does_not_stop_is_asked_once_and_then_forced(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.application(run_id).stubborn = True
    world.stop_run(run_id)
    for _ in range(29):
        world.tick(1)
    assert (world.status(run_id), world.application(run_id).asked) == ("STOPPING", [False])
    world.tick(1)
    assert world.application(run_id).asked == [False, True]
    world.tick()
    assert world.status(run_id) == "STOPPED"


def test_force_is_used_again_while_nobody_can_tell_whether_it_helped(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.stop_run(run_id)
    world.clock.advance(30)
    world.cluster.failures["poll"] = UnavailableError("no answer")
    for _ in range(7):
        world.tick(1)
    assert world.application(run_id).asked == [True, True]


def test_a_cancel_that_the_launcher_refuses_is_repeated(world: World) -> None:
    run_id = world.add_run()
    world.tick()
    world.stop_run(run_id)
    world.cluster.failures["cancel"] = UnavailableError("no answer")
    world.tick()
    world.cluster.failures.clear()
    world.tick(1)
    assert world.application(run_id).asked == [False]


def test_a_run_that_is_stopped_while_it_is_launched_is_stopped_all_the_same(world: World) -> None:
    run_id = world.add_run()
    submit = world.cluster.submit

    def stop_meanwhile(application: Any) -> str:
        handle = submit(application)
        world.stop_run(run_id)
        return handle

    world.cluster.submit = stop_meanwhile  # type: ignore[method-assign]
    world.tick()
    assert (world.run(run_id).handle, world.application(run_id).asked) == ("app-tsk-1-1", [False])
    world.tick()
    assert world.status(run_id) == "STOPPED"


# --- the launcher fails ---


def test_a_launch_that_is_refused_fails_the_run(world: World) -> None:
    run_id = world.add_run(max_retries=2)
    world.cluster.failures["submit"] = InputError("There is no spark-submit; install pyspark")
    world.tick()
    run = world.run(run_id)
    assert (run.status, run.error) == (RunStatus.FAILED, "There is no spark-submit; install pyspark")
    assert run.released


def test_a_launcher_that_does_not_answer_is_tried_again_and_not_in_every_pass(world: World) -> None:
    run_id = world.add_run()
    tries: list[str] = []

    def refuse(application: Any) -> str:
        tries.append(application.token)
        raise UnavailableError("no answer")

    submit, world.cluster.submit = world.cluster.submit, refuse  # type: ignore[method-assign]
    for _ in range(300):
        world.tick(0.2)
    assert world.status(run_id) == "STARTING"
    assert 8 <= len(tries) <= 12  # twice as long between them each time, and ten seconds at most
    world.cluster.submit = submit  # type: ignore[method-assign]
    world.tick(10)
    assert world.status(run_id) == "RUNNING"


def test_a_launcher_that_never_answers_fails_the_run_in_the_end(world: World) -> None:
    run_id = world.add_run()
    world.cluster.failures["submit"] = UnavailableError("The cluster cannot be reached")
    world.tick()
    world.tick(30 * 60)
    assert world.status(run_id) == "FAILED"
    assert world.run(run_id).released


def test_a_launcher_that_cannot_tell_what_it_has_keeps_the_run_until_the_deadline(world: World) -> None:
    run_id = world.add_run()
    kill_in_launch(world, after_submission=True)
    world.restart()
    world.cluster.failures["find"] = AccessError("The token has expired")
    world.tick()
    assert world.status(run_id) == "STARTING"
    world.tick(30 * 60)
    assert (world.status(run_id), world.run(run_id).error) == ("FAILED", "The token has expired")
    assert world.cluster.submissions == ["tsk-1-1"]
    assert not world.run(run_id).released  # its application may still be there
    world.cluster.failures.clear()
    world.tick(11)
    world.tick(1)
    world.tick(1)
    assert world.run(run_id).released
    assert world.cluster.alive() == set()


def test_a_run_without_its_transform_fails(world: World) -> None:
    run_id = world.add_run(transform_id="tfm-none")
    world.tick()
    assert world.run(run_id).error == "There is no transform tfm-none any more"


def test_a_job_run_with_a_wrong_argument_fails_with_its_name(world: World) -> None:
    run_id = world.add_run(TaskType.FIND_MATCHES, properties={"arguments": {}})
    world.tick()
    error = world.run(run_id).error
    assert error is not None
    assert "--OutputPath" in error


def test_one_bad_run_does_not_stop_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = world.add_run(), world.add_run()
    submit = world.cluster.submit

    def break_for_bad(application: Any) -> str:
        if application.token.startswith(f"{bad}-"):
            raise KeyError("a defect")
        return submit(application)

    world.cluster.submit = break_for_bad  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        world.tick()
    assert (world.status(bad), world.status(good)) == ("STARTING", "RUNNING")
    assert f"run {bad}: failed, and will be tried again in 0.2 s: 'a defect'" in caplog.text
    world.tick(30 * 60)
    assert world.status(bad) == "FAILED"


# --- claims ---


def test_a_scheduler_leaves_alone_what_another_has_claimed(world: World) -> None:
    run_id = world.add_run()
    other = world.make_scheduler()
    world.tick()
    world.end(run_id)
    other.tick()
    assert world.status(run_id) == "RUNNING"
    world.clock.advance(9)
    other.tick()
    assert world.status(run_id) == "RUNNING"
    world.tick()
    assert world.status(run_id) == "SUCCEEDED"


def test_a_claim_is_kept_up_while_its_scheduler_lives(world: World) -> None:
    run_id = world.add_run()
    other = world.make_scheduler()
    for _ in range(30):
        world.tick(4)
        other.tick()
    assert world.status(run_id) == "RUNNING"
    world.application(run_id).stubborn = True
    world.stop_run(run_id)
    world.tick()
    other.tick()
    assert world.application(run_id).asked == [False]  # by its owner alone


def test_another_scheduler_takes_over_when_the_claim_has_run_out(world: World) -> None:
    run_id = world.add_run()
    other = world.make_scheduler()
    world.tick()
    world.end(run_id)
    world.clock.advance(10.1)
    other.tick()
    assert world.status(run_id) == "SUCCEEDED"


def test_a_scheduler_that_closes_lets_go_at_once(world: World) -> None:
    run_id = world.add_run()
    other = world.make_scheduler()
    world.tick()
    world.scheduler.close()
    world.end(run_id)
    other.tick()
    assert world.status(run_id) == "SUCCEEDED"


def test_a_scheduler_that_was_held_up_changes_nothing_any_more(world: World) -> None:
    run_id = world.add_run()
    late, other = world.make_scheduler(), world.make_scheduler()
    submit = world.cluster.submit

    def hang(application: Any) -> str:
        handle = submit(application)
        world.cluster.submit = submit  # type: ignore[method-assign]
        world.clock.advance(20)
        other.tick()
        return handle

    world.cluster.submit = hang  # type: ignore[method-assign]
    late.tick()
    assert world.status(run_id) == "RUNNING"
    assert [event.note for event in world.events(run_id)].count("launched as app-tsk-1-1") == 1
    world.end(run_id)
    late.tick()
    assert world.status(run_id) == "RUNNING"  # it is the other's now
    other.tick()
    assert world.status(run_id) == "SUCCEEDED"


def test_a_run_is_looked_at_again_once_it_is_claimed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.add_run()
    other, writing = world.make_scheduler(), world.database.writing
    world.cluster.failures["poll"] = UnavailableError("no answer")  # it stays STARTING

    def launch_meanwhile() -> AbstractContextManager[Connection]:
        monkeypatch.setattr(world.database, "writing", writing)
        world.tick()
        world.scheduler.close()
        return writing()

    monkeypatch.setattr(world.database, "writing", launch_meanwhile)
    other.tick()
    assert world.cluster.submissions == ["tsk-1-1"]
    assert world.run(run_id).handle == "app-tsk-1-1"


def test_no_more_applications_than_allowed_exist_and_the_oldest_run_goes_first(tmp_path: Path) -> None:
    with open_world(tmp_path, max_running=2) as world:
        world.add_transform()
        first, second, third = (world.add_run(started_on=START - timedelta(seconds=i)) for i in range(3))
        world.tick()
        assert world.cluster.submissions == [f"{third}-1", f"{second}-1"]
        assert world.status(first) == "STARTING"
        world.write_result(third, JobResult(True))
        world.tick()
        assert (world.status(third), world.status(first)) == ("SUCCEEDED", "STARTING")  # it has not gone yet
        world.end(third)
        world.tick()
        world.tick()
        assert world.status(first) == "RUNNING"


def test_the_limit_holds_over_all_schedulers(tmp_path: Path) -> None:
    with open_world(tmp_path, max_running=1) as world:
        world.add_transform()
        world.add_run()
        world.tick()
        waiting = world.add_run()
        world.make_scheduler().tick()
        assert world.status(waiting) == "STARTING"
        assert len(world.cluster.submissions) == 1


# --- the scheduler dies ---


@pytest.mark.parametrize("after_submission", [False, True])
def test_a_scheduler_killed_while_it_launches_leaves_one_application(world: World, after_submission: bool) -> None:
    run_id = world.add_run()
    kill_in_launch(world, after_submission=after_submission)
    assert (world.run(run_id).launched_on, world.run(run_id).handle) == (world.clock(), None)
    world.restart()
    world.tick()
    assert world.status(run_id) == "RUNNING"
    assert world.cluster.submissions == ["tsk-1-1"]


def test_a_run_stopped_after_its_launch_was_cut_off_leaves_no_application(world: World) -> None:
    run_id = world.add_run()
    kill_in_launch(world, after_submission=True)
    world.stop_run(run_id)
    world.restart()
    world.tick()
    world.tick()
    assert world.status(run_id) == "STOPPED"
    assert world.cluster.alive() == set()


def test_an_application_that_ended_while_no_scheduler_lived_is_noticed(world: World) -> None:
    good, bad = world.add_run(), world.add_run()
    world.tick()
    world.end(good)
    world.cluster.applications.pop(f"{bad}-1")
    world.restart()
    world.tick()
    assert (world.status(good), world.status(bad)) == ("SUCCEEDED", "FAILED")


# --- deletion and retention ---


def test_a_deleted_transform_goes_with_all_that_is_its_own(world: World) -> None:
    run_id = world.add_run(TaskType.IMPORT_LABELS)
    world.tick()
    world.end(run_id, import_result(0, 3))
    world.tick()
    labels = world.folder / "storage" / "transforms" / "tfm-1" / "labels"
    labels.mkdir(parents=True)
    (labels / "part").write_bytes(b"x")
    with world.database.writing() as connection:
        tags.put_tags(connection, "mlTransform/tfm-1", {"team": "a"})
    world.delete_transform()
    world.tick()
    assert (world.transform(), world.find(run_id), world.events(run_id)) == (None, None, [])
    with world.database.reading() as connection:
        assert tags.read_tags(connection, "mlTransform/tfm-1") == {}
    assert [path for path in (world.folder / "storage").rglob("*") if path.is_file()] == []


def test_a_transform_goes_only_when_its_applications_have(world: World) -> None:
    world.add_transform("tfm-2")
    run_id = world.add_run()
    world.tick()
    world.application(run_id).stubborn = True
    world.delete_transform()
    world.tick()
    assert world.transform() is not None
    world.tick(30)
    world.tick()
    assert world.transform() is None
    assert world.cluster.alive() == set()
    assert world.transform("tfm-2") is not None


def test_a_deletion_that_was_cut_short_is_taken_up_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.add_run()
    world.tick()
    world.end(run_id)
    world.tick()
    remove = storage.remove

    def die(uri: str) -> None:
        remove(uri)
        raise Killed

    world.delete_transform()
    monkeypatch.setattr(storage, "remove", die)
    with pytest.raises(Killed):
        world.tick()
    transform = world.transform()
    assert transform is not None
    assert transform.status is TransformStatus.DELETING
    monkeypatch.setattr(storage, "remove", remove)
    world.restart()
    world.tick()
    assert (world.transform(), world.find(run_id)) == (None, None)


def test_a_transform_whose_files_cannot_be_removed_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(uri: str) -> None:
        raise AccessError(f"{uri} may not be removed")

    monkeypatch.setattr(storage, "remove", refuse)
    world.delete_transform()
    world.tick()
    assert world.transform() is not None
    assert "deletion of transform tfm-1: failed" in caplog.text


def test_runs_are_forgotten_after_the_time_they_are_kept(tmp_path: Path) -> None:
    with open_world(tmp_path, retention=timedelta(days=1)) as world:
        world.add_transform()
        old, active = world.add_run(), world.add_run(timeout=10000)
        world.tick()
        world.end(old)
        world.tick()
        world.tick(86400)
        assert world.find(old) is not None
        world.tick(30)  # not yet a minute since the last look
        assert world.find(old) is not None
        world.tick(30)
        assert (world.find(old), world.events(old)) == (None, [])
        assert not world.path_of(old).parent.exists()
        assert world.status(active) == "RUNNING"
        assert world.path_of(active).exists()


def test_runs_are_kept_for_ever_where_that_is_wanted(tmp_path: Path) -> None:
    with open_world(tmp_path, retention=None) as world:
        world.add_transform()
        run_id = world.add_run()
        world.tick()
        world.end(run_id)
        world.tick()
        world.tick(1e9)
        assert world.find(run_id) is not None


# --- the loop ---


def test_the_loop_goes_on_until_it_is_stopped_and_lets_go_then(world: World) -> None:
    world.scheduler = type(world.scheduler)(
        world.database,
        world.cluster,
        name="looping",
        settings=replace(world.settings, interval=0.001),
        clock=world.clock,
    )
    stop, seen = threading.Event(), threading.Event()
    submit = world.cluster.submit

    def tell(application: Any) -> str:
        seen.set()
        return submit(application)

    world.cluster.submit = tell  # type: ignore[method-assign]
    thread = threading.Thread(target=world.scheduler.run, args=(stop,))
    thread.start()
    run_id = world.add_run()
    assert seen.wait(30)
    stop.set()
    thread.join()
    with world.database.writing() as connection:
        assert runs.claim_run(connection, run_id, owner="next", now=world.clock(), until=world.clock())


def test_the_loop_outlives_a_store_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.add_run()

    def refuse() -> None:
        raise UnavailableError("The store did not answer")

    with monkeypatch.context() as broken:
        broken.setattr(world.database, "reading", refuse)
        world.tick()
    world.tick(1)
    assert world.status(run_id) == "RUNNING"
