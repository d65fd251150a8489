"""`import glue_ml` must cost next to nothing: the server and every tool import it, most of them without Spark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
begun = time.perf_counter()
import glue_ml, glue_ml.errors, glue_ml.domain.job, glue_ml.domain.labels
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""
LONGEST = 0.2


def _import(*, site_packages: bool) -> tuple[float, set[str]]:
    flags = ["-I"] if site_packages else ["-I", "-S"]
    ran = subprocess.run(
        [sys.executable, *flags, "-c", SCRIPT, str(ROOT)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    return told["seconds"], {name.partition(".")[0] for name in told["modules"]}


def test_it_imports_without_site_packages() -> None:
    _import(site_packages=False)


def test_it_imports_no_third_party_module_where_they_are_installed() -> None:
    _, imported = _import(site_packages=True)
    assert "glue_ml" in imported
    assert imported - set(sys.stdlib_module_names) == {"glue_ml"}


def test_it_imports_in_less_than_a_fifth_of_a_second() -> None:
    assert min(_import(site_packages=True)[0] for _ in range(3)) < LONGEST
