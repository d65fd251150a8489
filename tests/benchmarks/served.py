"""A server in a process of its own, as `glue-ml serve` starts it, for as long as a benchmark needs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_COMMAND = [sys.executable, "-c", "from glue_ml.cli import main; main()", "serve"]
_READY = re.compile(r"AWS_ENDPOINT_URL_GLUE=(\S+)")
_STOP_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """Where the API answers, and the number of its process."""

    endpoint: str
    pid: int


@contextmanager
def serve(
    home: Path, *, options: Sequence[str] = (), settings: Mapping[str, object] = {}, core: int | None = None
) -> Iterator[Server]:
    """Run `glue-ml serve` on a free port, on one core of the machine if it is named; its log is `home`/server.log.

    `settings` are given by their names, `options` are those of the command line. RuntimeError if it does not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    given = {f"GLUE_ML_{name.upper()}": str(value) for name, value in settings.items()}
    command = [*_COMMAND, "--home", str(home), "--port", "0", *options]
    with (home / "server.log").open("wb") as log, _pinned(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **given})
    try:
        yield Server(_wait_until_ready(process, home / "server.log"), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        finally:
            process.kill()


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Let processes that are started meanwhile run on one core only; they pass it on to their threads."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := _READY.search(line):
            # what it prints later must not fill the pipe and hold it up
            threading.Thread(target=process.stdout.read, name="server-output", daemon=True).start()
            return found.group(1)
    raise RuntimeError(f"the server did not start: {log.read_text(encoding='utf-8')[-2000:]}")
