"""Several schedulers, each in a process of its own, on one store: no run is launched twice and none is forgotten."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from glue_ml.domain.task_run import RunStatus
from glue_ml.store import runs
from glue_ml.store.database import Database
from tests.scheduler.processes import open_worker, wait_until
from tests.scheduler.world import World

POSTGRES = os.environ.get("GLUE_ML_TEST_POSTGRES", "")
RUNS = 42
WAVE = 14


@contextmanager
def sqlite_store(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'shared.db'}"


@contextmanager
def postgres_store(folder: Path) -> Iterator[str]:
    """A database of its own, dropped at the end."""
    url, name = make_url(POSTGRES), f"schedulers_{secrets.token_hex(6)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


def is_over(database: Database) -> bool:
    with database.reading() as connection:
        return not runs.list_unreleased(connection)


@pytest.mark.parametrize(
    ("store", "schedulers"),
    [
        pytest.param(sqlite_store, 2, id="sqlite"),
        pytest.param(
            postgres_store,
            4,
            id="postgresql",
            marks=pytest.mark.skipif(not POSTGRES, reason="GLUE_ML_TEST_POSTGRES is not set"),
        ),
    ],
)
def test_no_run_is_launched_twice_and_all_end(
    tmp_path: Path, store: Callable[[Path], AbstractContextManager[str]], schedulers: int
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(store(tmp_path))
        world = World(tmp_path, url=url)
        stack.callback(world.database.dispose)
        world.add_transform()
        for i in range(schedulers):
            stack.enter_context(open_worker(url, tmp_path, f"s{i}", "ledger"))
        run_ids = feed_schedulers(world, tmp_path / "ledger")
        check_runs(world, run_ids)
        check_ledger(tmp_path / "ledger", run_ids)


def feed_schedulers(world: World, ledger: Path) -> list[str]:
    """Waves of runs while all look for work, until two took part: one may have taken a whole wave alone."""
    run_ids: list[str] = []
    while len(run_ids) < RUNS or len(read_owners(ledger)) < 2:
        assert len(run_ids) < 10 * RUNS, "one scheduler takes everything"
        run_ids += [world.add_run(max_retries=1) for _ in range(WAVE)]
        wait_until(lambda: is_over(world.database))
    return run_ids


def read_owners(ledger: Path) -> set[str]:
    return {line.split()[1] for line in ledger.read_text().splitlines()}


def check_runs(world: World, run_ids: list[str]) -> None:
    for run_id in run_ids:
        assert world.run(run_id).status is RunStatus.SUCCEEDED
        retried = int(run_id.removeprefix("tsk-")) % 3 == 0
        assert world.run(run_id).attempt == (2 if retried else 1)
        launches = [event.note for event in world.events(run_id) if event.note.startswith("launched as")]
        assert len(launches) == world.run(run_id).attempt


def check_ledger(ledger: Path, run_ids: list[str]) -> None:
    lines = [line.split() for line in ledger.read_text().splitlines()]
    tokens = Counter(token for token, _ in lines)
    wanted = {f"{run_id}-1" for run_id in run_ids} | {f"{i}-2" for i in run_ids if int(i.removeprefix("tsk-")) % 3 == 0}
    assert tokens == Counter(wanted)
