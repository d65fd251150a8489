"""Every operation, request by request, against the answers that were recorded and read over.

A file of `golden/` is one story on an empty server. Each step is a request and its whole answer, or something that a
scheduler would have done meanwhile (`given`). Ids, tokens, times and folders are placeholders, such as <TransformId-1>;
later requests may use them. To record the answers again: GLUE_ML_TEST_RECORD=1 pytest tests/wire/test_golden.py
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from glue_ml.domain.job import JobResult
from glue_ml.domain.task_run import ENDED, RunStatus
from glue_ml.domain.transform import learn_from_run
from glue_ml.store import runs, transforms
from glue_ml.store.database import Database
from tests.wire.wire import CONTENT_TYPE, Answer, Wire

GOLDEN = Path(__file__).parent / "golden"
RECORD = "GLUE_ML_TEST_RECORD"
STORIES = sorted(GOLDEN.glob("*.json"))

#: Those of zeros only are in the requests, for what does not exist.
_IDS = re.compile(
    "(?P<TransformId>tfm-(?!0{40})[0-9a-f]{40})|(?P<TaskRunId>tsk-(?!0{40})[0-9a-f]{40})|(?P<JobRunId>jr_(?!0{64})[0-9a-f]{64})"
)
_TIMES = {"CreatedOn", "LastModifiedOn", "StartedOn", "CompletedOn", "CreateTime", "UpdateTime", "CreationTime"}
#: Headers that say nothing of the API.
_TRANSPORT = {"date", "content-length"}


@dataclass
class Replay:
    """One story on one server: `names` holds what each placeholder stands for."""

    wire: Wire
    database: Database
    names: dict[str, str]
    counts: dict[str, int] = field(default_factory=dict)

    def run(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """Do a step; the step as it went."""
        if "given" in step:
            self._arrange(step["given"])
            return dict(step)
        request = step["request"]
        headers = {"X-Amz-Target": request["target"], "Content-Type": CONTENT_TYPE, **request.get("headers", {})}
        body = self._fill_in(json.dumps(request["body"])).encode() if "body" in request else b""
        return {**step, "response": self._describe(self.wire.send(body, headers))}

    def _fill_in(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def _describe(self, answer: Answer) -> dict[str, Any]:
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert uuid.UUID(answer.headers["x-amzn-requestid"]).version == 4
        headers = {name: value for name, value in sorted(answer.headers.items()) if name not in _TRANSPORT}
        headers["x-amzn-requestid"] = "<RequestId>"
        return {"status": answer.status, "headers": headers, "body": self._hide(answer.members)}

    def _hide(self, value: Any, name: str = "") -> Any:
        """The value with placeholders for what differs from run to run."""
        if isinstance(value, dict):
            hidden = {key: self._hide(member, key) for key, member in value.items()}
            running = {"RUNNING", "STOPPING"} & {value.get("Status"), value.get("JobRunState")}
            return {**hidden, "ExecutionTime": "<seconds>"} if running and "ExecutionTime" in value else hidden
        if isinstance(value, list):
            return [self._hide(one, name) for one in value]
        if name in _TIMES:
            return self._hide_time(value)
        return self._hide_text(value, name) if isinstance(value, str) else value

    def _hide_time(self, value: Any) -> str:
        assert isinstance(value, int | float)
        assert value == round(value, 3)
        assert abs(datetime.now(UTC).timestamp() - value) < 600
        return "<timestamp>"

    def _hide_text(self, text: str, name: str) -> str:
        if name == "NextToken":
            return self._name("NextToken", text)
        text = _IDS.sub(lambda found: self._name(str(found.lastgroup), found[0]), text)
        for placeholder in ("<storage>", "<files>"):
            text = text.replace(self.names[placeholder], placeholder)
        return text

    def _name(self, kind: str, value: str) -> str:
        for name, known in self.names.items():
            if known == value:
                return name
        self.counts[kind] = self.counts.get(kind, 0) + 1
        name = f"<{kind}-{self.counts[kind]}>"
        self.names[name] = value
        return name

    def _arrange(self, given: Mapping[str, Any]) -> None:
        """Move a run as a scheduler does, and let the transform learn from its result."""
        now = datetime.now(UTC)
        status = RunStatus(given["status"])
        with self.database.writing() as connection:
            run = runs.find_run(connection, self._fill_in(given["run"]))
            assert run is not None
            if RunStatus.RUNNING not in (status, run.status):
                assert runs.move_run(connection, run, RunStatus.RUNNING, now=now, note="it runs")
                run = replace(run, status=RunStatus.RUNNING)
            changes: dict[str, Any] = {"running_on": now}
            if status in ENDED:
                began = now - timedelta(seconds=given["seconds"])
                changes = {"running_on": began, "completed_on": now, "released": True, "error": given.get("error")}
            assert runs.move_run(connection, run, status, now=now, note="arranged", changes=changes)
            if "result" in given:
                assert run.transform_id is not None
                assert run.task_type is not None
                before = transforms.find_transform(connection, run.transform_id, lock=True)
                assert before is not None
                after = learn_from_run(before, run.task_type, JobResult(succeeded=True, **given["result"]), now)
                transforms.update_transform(connection, after)


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    """An empty server, and a folder with two label files: one of a line, one that is empty."""
    from glue_ml.app import open_server
    from glue_ml.settings import Settings

    files = tmp_path / "files"
    files.mkdir()
    (files / "labels.csv").write_text("labeling_set_id,label,id\n1,A,1\n", encoding="utf-8")
    (files / "empty.csv").touch()
    settings = Settings(home=str(tmp_path / "home"), port=0)
    with open_server(settings, with_scheduler=False) as endpoint:
        database = Database(settings.store_url)
        yield Replay(Wire(endpoint), database, {"<storage>": settings.root_uri, "<files>": files.as_uri()})
        database.dispose()


def read_story(path: Path) -> list[dict[str, Any]]:
    steps = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(steps, list)
    return steps


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_every_answer_is_as_it_was_recorded(path: Path, replay: Replay) -> None:
    story = read_story(path)
    told = [replay.run(step) for step in story]
    if os.environ.get(RECORD):
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    for step, now in zip(story, told, strict=True):
        assert now == step


def list_operations(*, failed: bool) -> set[str]:
    exchanges = [step for path in STORIES for step in read_story(path) if "request" in step]
    return {
        exchange["request"]["target"].partition(".")[2]
        for exchange in exchanges
        if (exchange["response"]["status"] != 200) == failed
    }


def test_every_operation_that_is_served_has_been_recorded() -> None:
    from glue_ml.operations import databases, job_runs, jobs, partitions, tables, tags, task_runs
    from glue_ml.operations import transforms as transform_operations

    modules = (databases, tables, partitions, transform_operations, task_runs, tags, jobs, job_runs)
    served = {name for module in modules for name in module.OPERATIONS}
    assert served - list_operations(failed=False) == set()
    assert served - list_operations(failed=True) == set()
