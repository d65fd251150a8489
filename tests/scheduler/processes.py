"""Schedulers in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_worker(url: str, folder: Path, name: str, launcher: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler at work; it ends with the block, in order unless the test killed it."""
    arguments = [sys.executable, "-m", "tests.scheduler.worker", url, str(folder), name, launcher]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        wait_until(lambda: (folder / f"{name}.ready").exists() or process.poll() is not None)
        yield process
        process.terminate()
        assert process.wait(30) in (0, -9), (folder / f"{name}.log").read_text()
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does; AssertionError after two minutes."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass within two minutes")
