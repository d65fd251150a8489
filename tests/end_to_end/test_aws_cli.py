"""The walk-through of the README with the real AWS CLI, as it stands there, on a real server and real Spark."""

from __future__ import annotations

import csv
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
HEADING = "## From the AWS CLI"
AWS = "GLUE_ML_TEST_AWS"
LONGEST = 1500  #: Seconds, on a machine that is busy with other things too.


def find_aws() -> Path:
    """The AWS CLI; skips where there is none."""
    named = os.environ.get(AWS) or shutil.which("aws")
    if named is None:
        pytest.skip(f"no AWS CLI: install awscli, or set {AWS} to the path of `aws`")
    return Path(named)


def read_walkthrough() -> str:
    """The one bash block of the README's section."""
    section = README.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"README.md needs one bash block under {HEADING!r}"
    return str(blocks[0])


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """`glue-ml serve` in a process of its own; yields its address."""
    code = "from glue_ml.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--home", str(home), "--port", "0"],
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "GLUE_ML_LOCAL_CORES": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield next(address for line in process.stdout for address in re.findall(r"http://[\w.:]+", line))
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


@dataclass(frozen=True)
class Walk:
    """What the walk-through printed and wrote."""

    stdout: str
    work: Path

    def read(self, pattern: str) -> list[dict[str, str]]:
        rows = []
        for path in sorted(self.work.glob(pattern)):
            with path.open(encoding="utf-8", newline="") as file:
                rows += list(csv.DictReader(file))
        return rows


def make_environment(aws: Path, endpoint: str, work: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "PATH": os.pathsep.join([str(aws.parent), os.environ["PATH"]]),
        "AWS_ENDPOINT_URL_GLUE": endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "WORK": str(work),
    }


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The walk-through, done once; any command that fails fails it."""
    aws, script = find_aws(), read_walkthrough()
    folder = tmp_path_factory.mktemp("walk through")  # a space in a path is nothing special
    with serving(folder / "home") as endpoint:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=make_environment(aws, endpoint, folder / "work"),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Walk(done.stdout, folder / "work")


def test_every_run_succeeded_but_the_cancelled_one(walk: Walk) -> None:
    ended = re.findall(r"^([A-Z_]+)\t([A-Z]+)\t\d+\tNone$", walk.stdout, re.MULTILINE)
    tasks = ["LABELING_SET_GENERATION", "IMPORT_LABELS", "EVALUATION", "EXPORT_LABELS"]
    assert ended == [*((task, "SUCCEEDED") for task in tasks), ("EVALUATION", "STOPPED")]
    assert "FIND_MATCHES\tSUCCEEDED" in walk.stdout


def test_the_labels_taught_the_transform(walk: Walk) -> None:
    labeled = walk.read("labeled.csv")
    assert f"READY\t{len(labeled)}\n" in walk.stdout
    exported = walk.read("labels/*.csv")
    assert sorted((row["id"], row["label"]) for row in exported) == sorted((r["id"], r["label"]) for r in labeled)


def test_the_metrics_are_told(walk: Walk) -> None:
    for name in ("AreaUnderPRCurve", "Precision", "Recall", "F1"):
        told = re.search(rf'"{name}": ([\d.]+)', walk.stdout)
        assert told is not None
        assert 0.8 <= float(told[1]) <= 1.0
    assert '"ColumnImportances"' in walk.stdout


def test_the_matches_are_those_of_the_truth(walk: Walk) -> None:
    matches = walk.read("matches/*.csv")
    assert sorted(row["id"] for row in matches) == sorted(row["id"] for row in walk.read("customers.csv"))
    found = true = right = 0
    for one, other in itertools.combinations(matches, 2):
        is_found, is_true = one["match_id"] == other["match_id"], one["id"].split("-")[0] == other["id"].split("-")[0]
        found, true, right = found + is_found, true + is_true, right + (is_found and is_true)
    assert 2 * right / (found + true) > 0.95


def test_the_transform_is_gone_at_the_end(walk: Walk) -> None:
    assert "(EntityNotFoundException)" in walk.stdout
    assert list((walk.work.parent / "home").glob("storage/transforms/*")) == []
