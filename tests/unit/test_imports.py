"""Who may import whom, and what nobody may use: read from the source, so that it holds for code no test runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Import names of the libraries that the engine computes with.
NUMERIC = {"numpy", "onnxruntime", "pandas", "pyarrow", "rapidfuzz", "scipy", "sklearn", "sparse_dot_topn"}
SPARK = {"pyspark", "py4j", "delta"}
AWS = {"boto3", "botocore", "mypy_boto3_glue", "mypy_boto3_s3"}
DATA_HALF = {
    "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.session", "glue_ml.spark_errors", "glue_ml.catalog",
    "glue_ml.matching",
}  # fmt: skip

#: What those that run runs work with.
SCHEDULING = {"glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.store", "glue_ml.launchers"}

#: By module (the longest prefix counts): what it may import besides the standard library and itself.
MAY_IMPORT: dict[str, set[str]] = {
    "glue_ml": set(),
    "glue_ml.errors": set(),
    "glue_ml.settings": {"glue_ml.errors"},
    "glue_ml.event_logs": {"glue_ml.errors"},
    "glue_ml.domain": {"glue_ml.errors"},
    # the rim of the data half
    "glue_ml.storage": {"glue_ml.errors", *AWS},
    "glue_ml.class_archive": set(SPARK),
    "glue_ml.session": {"glue_ml.errors", "glue_ml.class_archive", *SPARK},
    "glue_ml.spark_errors": {"glue_ml.errors", "glue_ml.domain", *SPARK},
    "glue_ml.job_runner": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.session", "glue_ml.spark_errors",
        "glue_ml.catalog", *SPARK, *AWS,
    },
    "glue_ml.catalog": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.spark_errors", "pyarrow", *SPARK, *AWS,
    },
    "glue_ml.matching": {
        "glue_ml", "glue_ml.matching.report_charts", "glue_ml.errors", "glue_ml.domain", "glue_ml.storage",
        "glue_ml.session", *SPARK, *NUMERIC,
    },
    # the one module that draws: its libraries come with an extra
    "glue_ml.matching.report_charts": {"altair", "vl_convert"},
    "glue_ml.synthetic": {"glue_ml.errors", "glue_ml.domain", *NUMERIC},
    "glue_ml.tasks": {
        "glue_ml.domain", "glue_ml.errors", "glue_ml.storage", "glue_ml.catalog", "glue_ml.matching",
        "glue_ml.job_runner", *SPARK,
    },
    "jobs": {"glue_ml.domain", "glue_ml.job_runner", "glue_ml.tasks"},
    # the control half: neither Spark nor the engine
    "glue_ml.store": {"glue_ml.errors", "glue_ml.domain", "sqlalchemy", "alembic"},
    "glue_ml.operations": {"glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.store", "sqlalchemy"},
    "glue_ml.operations.remote_catalog": {
        "glue_ml.errors", "glue_ml.operations", "glue_ml.storage", "glue_ml.store", *AWS,
    },
    "glue_ml.protocol": {"glue_ml.errors", "botocore", "regex", "starlette", "uvicorn", "h11"},
    # which packages an application needs is known where it opens its session; PySpark is not imported for that
    "glue_ml.launchers": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.session", "glue_ml.class_archive", "psutil",
    },
    "glue_ml.applications": {"glue_ml.errors", "glue_ml.domain", "glue_ml.launchers", "glue_ml.session"},
    "glue_ml.run_files": {"glue_ml.errors", "glue_ml.domain", "glue_ml.storage"},
    "glue_ml.run_steps": {*SCHEDULING, "glue_ml.applications", "glue_ml.run_files", "sqlalchemy"},
    "glue_ml.housekeeping": {*SCHEDULING, "glue_ml.applications", "glue_ml.run_files", "sqlalchemy"},
    "glue_ml.scheduler": {
        *SCHEDULING, "glue_ml.applications", "glue_ml.run_files", "glue_ml.run_steps", "glue_ml.housekeeping",
        "sqlalchemy",
    },
    "glue_ml.web": {"glue_ml.errors", "glue_ml.domain", "glue_ml.store", "glue_ml.operations", "starlette"},
    "glue_ml.app": {
        "glue_ml", "glue_ml.settings", "glue_ml.protocol", "glue_ml.operations", "glue_ml.operations.remote_catalog",
        *SCHEDULING, "glue_ml.applications", "glue_ml.class_archive", "glue_ml.event_logs", "glue_ml.scheduler",
        "uvicorn", "psutil", "boto3",
    },
    "glue_ml.server_commands": {
        "glue_ml.app", "glue_ml.console", "glue_ml.errors", "glue_ml.settings", "typer",
    },
    # over the API, wherever it is served
    "glue_ml.table_types": {"glue_ml.errors", "pyarrow"},
    "glue_ml.table_files": {"glue_ml.errors", "glue_ml.storage", "glue_ml.table_types", "pyarrow", *AWS},
    "glue_ml.table_schema": {
        "glue_ml.errors", "glue_ml.storage", "glue_ml.table_types", "glue_ml.table_files", "pyarrow",
    },
    "glue_ml.connection": {"glue_ml.errors", "glue_ml.storage", *AWS},
    "glue_ml.client": {"glue_ml.errors", "glue_ml.table_schema", *AWS},
    "glue_ml.run_log": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.client", "glue_ml.connection", *AWS,
    },
    "glue_ml.run_outcome": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.client", "glue_ml.console", "glue_ml.run_log",
        *AWS,
    },
    "glue_ml.client_commands": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.client", "glue_ml.connection",
        "glue_ml.console", "glue_ml.progress_bars", "glue_ml.run_log", "glue_ml.run_outcome", "typer", "rich", *AWS,
    },
    # what a script of a user imports: the engine, for a transform of a control plane
    "glue_ml.awsglueml": {
        "glue_ml.errors", "glue_ml.domain", "glue_ml.storage", "glue_ml.session", "glue_ml.catalog",
        "glue_ml.matching", "pyarrow", *SPARK, *AWS,
    },
    "glue_ml.script_path": {"glue_ml.awsglueml"},
    # the commands run the engine in their own process: they meet the data half, and no store or server
    "glue_ml.console": {"glue_ml.domain", "glue_ml.errors", "glue_ml.spark_errors", "glue_ml.matching", "rich", *SPARK},
    "glue_ml.progress_bars": {"glue_ml.console", "glue_ml.domain", "rich"},
    "glue_ml.size_command": {"glue_ml.console", "glue_ml.domain", "typer"},
    "glue_ml.local_run": {*DATA_HALF, *SPARK},
    "glue_ml.quickstart_report": {"glue_ml.errors", "glue_ml.console", "glue_ml.synthetic", *NUMERIC},
    "glue_ml.quickstart": {
        "glue_ml.app", "glue_ml.client", "glue_ml.connection", "glue_ml.errors", "glue_ml.quickstart_report",
        "glue_ml.run_log", "glue_ml.settings", "glue_ml.storage", "glue_ml.synthetic", *AWS, *NUMERIC,
    },
    "glue_ml.cli": {
        "glue_ml", *DATA_HALF, "glue_ml.client_commands", "glue_ml.console", "glue_ml.event_logs", "glue_ml.local_run",
        "glue_ml.progress_bars", "glue_ml.quickstart", "glue_ml.quickstart_report", "glue_ml.server_commands",
        "glue_ml.size_command", "typer", *SPARK,
    },
}  # fmt: skip

FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}


def _sources() -> list[Path]:
    return sorted([*ROOT.glob("glue_ml/**/*.py"), *ROOT.glob("jobs/*.py")])


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each imported module with its line; `from glue_ml import storage` imports glue_ml.storage."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield node.lineno, full if _is_module(full) else module


def _rule_of(module: str) -> str | None:
    prefixes = [name for name in MAY_IMPORT if name != "glue_ml" and (f"{module}.").startswith(f"{name}.")]
    return max(prefixes, key=len, default="glue_ml" if module == "glue_ml" else None)


def _is_allowed(imported: str, rule: str) -> bool:
    top = imported.partition(".")[0]
    if top in sys.stdlib_module_names or _rule_of(imported) == rule:
        return True
    if top != "glue_ml":
        return top in MAY_IMPORT[rule]
    return _rule_of(imported) in MAY_IMPORT[rule]


def find_wrong_imports(module: str, source: str) -> list[str]:
    rule = _rule_of(module)
    if rule is None:
        return [f"{module} is not in the table of who may import whom"]
    return [
        f"{module}:{line} imports {imported}"
        for line, imported in _imported(ast.parse(source))
        if not _is_allowed(imported, rule)
    ]


def find_forbidden(source: str) -> list[str]:
    tree = ast.parse(source)
    found = [f"line {line}: {name}" for line, name in _imported(tree) if name.partition(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            shell = next((k.value for k in node.keywords if k.arg == "shell"), None)
            if called in FORBIDDEN_CALLS | SHELLS or called.endswith((".to_pickle", ".read_pickle")):
                found.append(f"line {node.lineno}: {called}")
            if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
                found.append(f"line {node.lineno}: shell")
    return found


@pytest.mark.parametrize("path", _sources(), ids=_module_name)
def test_a_module_imports_only_what_the_table_allows(path: Path) -> None:
    assert find_wrong_imports(_module_name(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", _sources(), ids=_module_name)
def test_a_module_uses_nothing_that_runs_data(path: Path) -> None:
    assert find_forbidden(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("glue_ml.domain.job", "import pyspark"),
        ("glue_ml.domain.job", "from glue_ml import storage"),
        ("glue_ml.domain.job", "def f():\n    from glue_ml.matching import FindMatches"),
        ("glue_ml.matching.profile", "from glue_ml.catalog import read_tables"),
        ("glue_ml.matching.profile", "import boto3"),
        ("glue_ml.catalog.read", "import glue_ml.matching.table"),
        ("glue_ml.errors", "import typer"),
        ("glue_ml.operations.transforms", "from glue_ml.launchers import local"),
        ("glue_ml.operations.transforms", "from pyspark.sql import DataFrame"),
        ("jobs.evaluation", "import boto3"),
        ("glue_ml.helpers", "import json"),
    ],
)
def test_a_wrong_arrow_is_found(module: str, source: str) -> None:
    assert len(find_wrong_imports(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("glue_ml.domain.job", "import json\nfrom glue_ml.domain.labels import LabeledRow"),
        ("glue_ml.matching.model", "from glue_ml import __version__, storage\nimport numpy as np"),
        ("glue_ml.cli", "from glue_ml.catalog import read_tables"),
    ],
)
def test_an_allowed_arrow_is_not(module: str, source: str) -> None:
    assert find_wrong_imports(module, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "eval('1')",
        "exec(code)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import os\nos.system('ls')",
        "frame.to_pickle('x')",
    ],
)
def test_what_runs_data_is_found(source: str) -> None:
    assert len(find_forbidden(source)) == 1


def test_a_name_that_only_looks_alike_is_not() -> None:
    assert find_forbidden("import re\nre.compile('x')\nmodel.eval()\nsubprocess.run(['ls'], shell=False)") == []
