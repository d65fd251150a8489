"""The store under random sequences of requests, ticks, ends of applications, outages, crashes and restarts."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glue_ml.domain.job import JobError, JobResult, TaskType
from glue_ml.domain.task_run import ACTIVE, ENDED, MOVES, ApplicationState, Run
from glue_ml.domain.transform import TransformStatus
from glue_ml.errors import ErrorKind, UnavailableError
from glue_ml.store import runs
from tests.scheduler.world import BROKEN, Killed, World, import_result

MAX_RUNNING = 3
WRONG = JobResult(False, error=JobError(ErrorKind.INPUT, "No such column"))
ENDS = ("ok", "ok", "broken", "wrong", "silent", "gone", "corrupt")
KINDS = (TaskType.EVALUATION, TaskType.IMPORT_LABELS, None)


class StoreMachine(RuleBasedStateMachine):
    """Two schedulers of one store, either of which may die between any two of its effects."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder, max_running=MAX_RUNNING)
        self.world.add_transform()
        self.schedulers = [self.world.make_scheduler(), self.world.make_scheduler()]
        self.run_ids: list[str] = []
        self.kinds: dict[str, TaskType | None] = {}
        self.ended: dict[str, Run] = {}
        self.written: set[str] = set()  # attempts that have a result: a job writes it once
        self.committed: set[str] = set()  # imports whose labels are in the table
        self.version = 0

    # --- what happens ---

    @rule(kind=st.sampled_from(KINDS), max_retries=st.integers(0, 2))
    def start_run(self, kind: TaskType | None, max_retries: int) -> None:
        transform = self.world.transform()
        if kind is None:
            run_id = self.world.add_script_run(max_retries=max_retries)
        elif transform is not None and transform.status is not TransformStatus.DELETING:
            run_id = self.world.add_run(kind, max_retries=max_retries)
        else:
            return
        self.run_ids.append(run_id)
        self.kinds[run_id] = kind

    @precondition(lambda self: self.run_ids)
    @rule(data=st.data())
    def stop_run(self, data: st.DataObject) -> None:
        self.world.stop_run(data.draw(st.sampled_from(self.run_ids)))

    @rule(which=st.integers(0, 1))
    def pass_over_all(self, which: int) -> None:
        self.schedulers[which].tick()

    @rule(which=st.integers(0, 1), effects=st.integers(0, 15))
    def pass_over_all_and_die(self, which: int, effects: int) -> None:
        self.world.fuse.left = effects
        try:
            self.schedulers[which].tick()
        except Killed:
            self.schedulers[which] = self.world.make_scheduler()
        self.world.fuse.left = None

    @rule(which=st.integers(0, 1))
    def close_and_open(self, which: int) -> None:
        self.schedulers[which].close()
        self.schedulers[which] = self.world.make_scheduler()

    @precondition(lambda self: self.world.cluster.alive())
    @rule(data=st.data(), end=st.sampled_from(ENDS), lingers=st.booleans())
    def end_application(self, data: st.DataObject, end: str, lingers: bool) -> None:
        token = data.draw(st.sampled_from(sorted(self.world.cluster.alive())))
        run_id, _, attempt = token.rpartition("-")
        is_import = self.kinds[run_id] is TaskType.IMPORT_LABELS
        results: dict[str, JobResult | bytes] = {
            "ok": import_result(self.version, self.version + 2) if is_import else JobResult(True),
            "broken": BROKEN,
            "wrong": WRONG,
            "corrupt": b"{",
        }
        if end in results and token not in self.written:
            self.written.add(token)
            self.world.write_result(run_id, results[end], int(attempt))
            if end == "ok" and is_import:
                self.committed.add(run_id)
                self.version += 1
        if not lingers or end not in results:
            states = {"ok": ApplicationState.SUCCEEDED, "gone": ApplicationState.GONE}
            self.world.cluster.applications[token].state = states.get(end, ApplicationState.FAILED)

    @precondition(lambda self: self.world.cluster.alive())
    @rule(data=st.data(), state=st.sampled_from([None, "PENDING", "UNKNOWN", "RUNNING"]))
    def trouble_application(self, data: st.DataObject, state: str | None) -> None:
        one = self.world.cluster.applications[data.draw(st.sampled_from(sorted(self.world.cluster.alive())))]
        one.stubborn = one.stubborn or state is None
        one.state = ApplicationState(state) if state else one.state

    @rule(method=st.sampled_from(["submit", "find", "poll", "cancel"]))
    def break_or_mend_cluster(self, method: str) -> None:
        if self.world.cluster.failures.pop(method, None) is None:
            self.world.cluster.failures[method] = UnavailableError("no answer")

    @rule(seconds=st.sampled_from([0.2, 3, 11, 31, 601, 1801]))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: len(self.run_ids) > 3)
    @rule()
    def delete_transform(self) -> None:
        self.world.delete_transform()

    # --- what always holds ---

    @invariant()
    def every_run_is_in_order(self) -> None:
        with self.world.database.reading() as connection:
            for run_id in self.run_ids:
                run = runs.find_run(connection, run_id)
                if run is not None:
                    check_run(run)
                    check_events(run, runs.list_events(connection, run_id))
                    self.check_ended(run)

    def check_ended(self, run: Run) -> None:
        if run.status in ENDED:
            before = self.ended.setdefault(run.run_id, run)
            assert replace(run, released=False, handle=None) == replace(before, released=False, handle=None)
            assert run.released or not before.released

    @invariant()
    def each_attempt_is_launched_once(self) -> None:
        assert set(Counter(self.world.cluster.submissions).values()) <= {1}
        runs_alive = Counter(token.rpartition("-")[0] for token in self.world.cluster.alive())
        assert set(runs_alive.values()) <= {1}

    @invariant()
    def no_application_outlives_its_release(self) -> None:
        for token in self.world.cluster.alive():
            run = self.world.find(token.rpartition("-")[0])
            assert run is not None
            assert not run.released

    @invariant()
    def the_limit_holds(self) -> None:
        with self.world.database.reading() as connection:
            found = runs.list_unreleased(connection)
            assert runs.count_launched(connection) <= MAX_RUNNING
            assert runs.count_active(connection) == sum(run.status in ACTIVE for run in found)
        assert len(self.world.cluster.alive()) <= MAX_RUNNING

    @invariant()
    def a_transform_is_ready_by_an_import(self) -> None:
        transform = self.world.transform()
        if transform is None or transform.status is TransformStatus.DELETING:
            return
        assert (transform.label_count > 0) == (transform.status is TransformStatus.READY)
        if transform.status is TransformStatus.READY:
            assert self.committed
        over = [run for run in map(self.world.find, self.committed) if run is not None and run.released]
        if over or any(run.status == "SUCCEEDED" for run in map(self.world.run, self.committed)):
            assert transform.status is TransformStatus.READY

    def teardown(self) -> None:
        try:
            self.check_that_all_ends()
        finally:
            self.world.database.dispose()
            shutil.rmtree(self.folder)

    def check_that_all_ends(self) -> None:
        """Once nothing is broken any more every run ends by itself, by its timeout in the last resort."""
        self.world.cluster.failures.clear()
        for one in self.world.cluster.applications.values():
            one.state = ApplicationState.RUNNING if one.state is ApplicationState.UNKNOWN else one.state
        for _ in range(60 * (len(self.run_ids) + 1)):
            if all(run is None or run.released for run in map(self.world.find, self.run_ids)):
                break
            self.world.clock.advance(61)
            self.schedulers[0].tick()
        self.schedulers[0].tick()
        self.every_run_is_in_order()
        assert self.world.cluster.alive() == set()
        assert all(run is None or run.released for run in map(self.world.find, self.run_ids))
        transform = self.world.transform()
        assert transform is None or transform.status is not TransformStatus.DELETING


def check_run(run: Run) -> None:
    assert (run.completed_on is not None) == (run.status in ENDED)
    assert run.status in ENDED or not run.released
    assert 1 <= run.attempt <= run.max_retries + 1
    assert run.running_on is None or run.launched_on is not None
    assert (run.error is not None) == (run.status in ("FAILED", "TIMEOUT"))
    assert run.status != "RUNNING" or run.running_on is not None
    assert run.handle in (None, f"app-{run.token}")
    assert run.handle is None or run.launched_on is not None


def check_events(run: Run, events: list[runs.RunEvent]) -> None:
    assert events[0].from_status is None
    assert events[-1].to_status is run.status
    for before, after in pairwise(events):
        assert after.from_status is before.to_status
        assert after.to_status is after.from_status or after.to_status in MOVES[before.to_status]
        assert before.at <= after.at
        assert before.attempt <= after.attempt


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
