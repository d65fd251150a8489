"""A Python environment of its own for each peer, made by one command and kept from run to run.

    python -m tests.benchmarks.peers.environments --environments ~/.cache/glue-ml-peers [PEER...]

What goes into an environment is written in requirements/PEER.txt; packages that are put in without what their
metadata asks for are in requirements/PEER.bare.txt. An environment is made anew when one of the two has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = ("splink", "dedupe", "zingg", "goldenmatch")
_DONE = "glue-ml-peer"  #: The file in an environment that says it is complete, and by which requirements.


def default_folder() -> Path:
    """Return where environments are kept: GLUE_ML_PEERS, or a folder among the temporary files."""
    return Path(os.environ.get("GLUE_ML_PEERS", str(Path(tempfile.gettempdir()) / "glue-ml-peers")))


def fingerprint(peer: str, requirements: Path = REQUIREMENTS) -> str:
    """Return a hash of all that decides what a peer's environment holds."""
    texts = [path.read_bytes() for path in requirement_files(peer, requirements)]
    return hashlib.sha256(b"\0".join([sys.version.encode(), *texts])).hexdigest()


def requirement_files(peer: str, requirements: Path = REQUIREMENTS) -> list[Path]:
    """Return the requirement files of a peer. FileNotFoundError if there is no such peer."""
    full, bare = requirements / f"{peer}.txt", requirements / f"{peer}.bare.txt"
    if not full.exists():
        raise FileNotFoundError(f"no peer is called {peer!r}: {full} does not exist; there are {', '.join(PEERS)}")
    return [full, bare] if bare.exists() else [full]


def make_environment(peer: str, folder: Path) -> Path:
    """Return the interpreter of a peer's environment, made first if it is absent or out of date.

    CalledProcessError with pip's own words on the terminal if a package cannot be had.
    """
    wanted, place = fingerprint(peer), folder / peer
    python = place / "bin" / "python"
    done = place / _DONE
    if done.exists() and done.read_text(encoding="ascii") == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(place)])
    for path in requirement_files(peer):
        bare = ["--no-deps"] if path.name.endswith(".bare.txt") else []
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *bare, "-r", str(path)])
    done.write_text(wanted, encoding="ascii")
    return python


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": ""})


def main() -> None:
    """Make the environments from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", default=list(PEERS))
    parser.add_argument("--environments", type=Path, default=default_folder())
    arguments = parser.parse_args()
    for peer in arguments.peers:
        Console().print(f"{peer}: {make_environment(peer, arguments.environments)}", highlight=False)


if __name__ == "__main__":
    main()
