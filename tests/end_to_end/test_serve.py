"""The commands that run the control plane, as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

COMMAND = [sys.executable, "-c", "from glue_ml.cli import main; main()"]


class Served:
    """A `glue-ml serve` that runs, with what it said when it was ready."""

    def __init__(self, process: subprocess.Popen[str], said: list[str]) -> None:
        self.process = process
        self.said = said
        found = re.search(r"http://\S+?:\d+", said[0])
        assert found is not None, said
        self.endpoint = found.group()

    def client(self, key: str = "any", secret: str = "any") -> Any:
        return boto3.client("glue", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=key,
                            aws_secret_access_key=secret)  # fmt: skip

    def stop(self) -> tuple[int, str]:
        """Ask it to end; its exit code, and what it logged."""
        self.process.send_signal(signal.SIGTERM)
        _, logged = self.process.communicate(timeout=30)
        return self.process.returncode, logged


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, lines: int = 4, **environment: str) -> Served:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--home", str(tmp_path / "home"), "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        if not said[0]:
            pytest.fail(f"it did not start: {process.communicate()[1]}")
        return Served(process, said)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environment})  # fmt: skip


def health(endpoint: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{endpoint}/health", timeout=10) as response:
        told: dict[str, Any] = json.load(response)
    return told


def test_it_says_where_it_is_and_how_to_call_it(serve: Serve) -> None:
    served = serve()
    assert served.said[0].startswith(f"glue-ml is ready at {served.endpoint}, and keeps everything in ")
    assert f"export AWS_ENDPOINT_URL_GLUE={served.endpoint}" in served.said[1]
    assert served.client().get_ml_transforms()["Transforms"] == []
    assert health(served.endpoint) == {**health(served.endpoint), "status": "ok", "threads": ["scheduler", "api"]}


def test_it_stops_when_asked_and_has_kept_everything(serve: Serve) -> None:
    first = serve()
    first.client().create_database(DatabaseInput={"Name": "kept"})
    code, logged = first.stop()
    assert code == 0
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["operation"] for line in lines if "operation" in line] == ["CreateDatabase"]
    second = serve("--no-scheduler")
    assert [database["Name"] for database in second.client().get_databases()["DatabaseList"]] == ["kept"]
    assert health(second.endpoint)["threads"] == ["api"]


def test_with_a_key_only_its_owner_may_call(serve: Serve) -> None:
    served = serve(lines=3, GLUE_ML_ACCESS_KEY_ID="AKIDEXAMPLE", GLUE_ML_SECRET_ACCESS_KEY="s3cr3t")
    assert served.client("AKIDEXAMPLE", "s3cr3t").get_ml_transforms()["Transforms"] == []
    with pytest.raises(Exception, match="UnrecognizedClientException"):
        served.client().get_ml_transforms()
    assert "s3cr3t" not in served.stop()[1]


def test_it_does_not_listen_to_others_without_a_key(tmp_path: Path) -> None:
    done = run("serve", "--home", str(tmp_path), "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "0.0.0.0 can be reached from other machines, and no access key is set" in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--home", str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot be had: Address already in use. Name another with --port" in done.stderr


def test_a_setting_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    done = run("serve", "--home", str(tmp_path), GLUE_ML_MAX_RUNNING="none")
    assert done.returncode == 1
    assert "GLUE_ML_MAX_RUNNING: max_running cannot be 'none'; it takes a whole number" in done.stderr


def test_migrate_makes_the_store_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = run("migrate", "--home", str(tmp_path))
        assert (done.returncode, "has schema 0001" in done.stdout) == (0, True), done.stderr


def test_a_scheduler_runs_alone_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    command = [*COMMAND, "scheduler", "--home", str(tmp_path), "--endpoint-url", "http://127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "The scheduler is ready; its jobs call http://127.0.0.1:1.\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.parametrize("command", ["serve", "scheduler", "migrate"])
def test_help_teaches_without_loading_the_server(command: str) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", *COMMAND[1:], command, "--help"],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert "--home" in done.stdout
    assert "sqlalchemy" not in done.stderr
