"""Watches one local application: starts it, waits for its end, and writes down how it ended.

It is a process of its own, so that an application outlives the control plane and its end is known all the same. The
folder that it is given holds `task.json` (what to run); it adds `process.json` once, which also keeps a second
supervisor of the same application from starting it again, and `exit.json` at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from glue_ml import storage
from glue_ml.errors import GlueMLError

TASK, PROCESS, EXIT = "task.json", "process.json", "exit.json"
MODULE = "glue_ml.launchers.supervisor"  #: What `python -m` is told; a supervisor is known by it and its folder.


def main(folder: Path) -> int:
    """Run the task of `folder` to its end; do nothing if another supervisor has it."""
    os.umask(0o077)
    os.chdir(folder)  # what Spark and scripts leave beside them, and find modules in, is the application's alone
    task = json.loads((folder / TASK).read_bytes())
    if not _take(folder):
        return 0
    with Path(task["log"]).open("ab") as log:
        code = _run(task, log)
    try:
        if task["upload"] is not None:
            with suppress(GlueMLError):  # how it ended must be told, wherever its log is
                storage.write_bytes(task["upload"], Path(task["log"]).read_bytes())
    finally:
        _write(folder, EXIT, {"code": code})
    return 0


def _take(folder: Path) -> bool:
    """Make this process the application's supervisor; a link is made by one process only."""
    draft = _draft(folder, PROCESS, {"pid": os.getpid()})
    try:
        os.link(draft, folder / PROCESS)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _run(task: dict[str, Any], log: Any) -> int:
    try:
        return subprocess.run(  # noqa: S603 - what the launcher wrote down, with its rights
            task["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    except OSError as error:
        log.write(f"{task['command'][0]} cannot be started: {error.strerror}\n".encode())
        return 127


def _write(folder: Path, name: str, members: dict[str, Any]) -> None:
    _draft(folder, name, members).replace(folder / name)


def _draft(folder: Path, name: str, members: dict[str, Any]) -> Path:
    draft = folder / f".{name}.{os.getpid()}"
    draft.write_text(json.dumps(members), encoding="utf-8")
    return draft


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
