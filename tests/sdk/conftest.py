"""A server that checks signatures, and the clients in other languages, each built once outside this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

if TYPE_CHECKING:
    from mypy_boto3_glue.type_defs import StorageDescriptorTypeDef

WANTED, CACHE = "GLUE_ML_TEST_SDKS", "GLUE_ML_TEST_SDKS_CACHE"
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

_SOURCES = Path(__file__).parent
_BUILD_SECONDS, _CALL_SECONDS = 900, 120

Client = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def _wanted() -> None:
    if os.environ.get(WANTED) != "1":
        pytest.skip(f"needs go, npm and mvn, and fetches SDKs with them: set {WANTED}=1 to run it")


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that knows one key, with a table `crm.people` of three columns."""
    from glue_ml.app import open_server
    from glue_ml.settings import Settings

    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=str(home), port=0, access_key_id=KEY, secret_access_key=SECRET)
    with open_server(settings, with_scheduler=False) as url:
        glue = boto3.client(
            "glue", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        storage: StorageDescriptorTypeDef = {"Columns": [{"Name": n, "Type": "string"} for n in ("id", "name", "town")]}
        glue.create_database(DatabaseInput={"Name": "crm"})
        glue.create_table(DatabaseName="crm", TableInput={"Name": "people", "StorageDescriptor": storage})
        yield url
        glue.close()


@pytest.fixture(scope="session", params=["go", "javascript", "java"])
def client(request: pytest.FixtureRequest, endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Runs the client of one language with a name for its transform, and a secret if it is not the right one."""
    folder = Path(os.environ.get(CACHE) or tmp_path_factory.mktemp("clients")) / request.param
    shutil.copytree(_SOURCES / request.param, folder, dirs_exist_ok=True)
    command = _BUILDERS[request.param](folder)

    def call(name: str, *, secret: str = SECRET) -> subprocess.CompletedProcess[str]:
        environment = _make_environment(endpoint, secret, folder)
        return subprocess.run(
            [*command, name], cwd=folder, env=environment, capture_output=True, text=True, timeout=_CALL_SECONDS
        )

    return call


def _make_environment(endpoint: str, secret: str, folder: Path) -> Mapping[str, str]:
    """What a user sets, and nothing of this machine's own configuration for AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "AWS_ENDPOINT_URL_GLUE": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _build_go(folder: Path) -> Sequence[str]:
    _run(folder, "go", "build", "-o", "client", ".")
    return [str(folder / "client")]


def _build_javascript(folder: Path) -> Sequence[str]:
    _run(folder, "npm", "ci", "--no-audit", "--no-fund")
    return ["node", "client.mjs"]


def _build_java(folder: Path) -> Sequence[str]:
    _run(folder, "mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath.txt")
    jars = (folder / "classpath.txt").read_text(encoding="utf-8").strip()
    return ["java", "-cp", os.pathsep.join([str(folder / "target" / "classes"), jars]), "Client"]


_BUILDERS: Mapping[str, Callable[[Path], Sequence[str]]] = {
    "go": _build_go,
    "javascript": _build_javascript,
    "java": _build_java,
}


def _run(folder: Path, tool: str, *arguments: str) -> None:
    found = shutil.which(tool)
    if found is None:
        pytest.fail(f"{tool} is not on the path; install it, or unset {WANTED}")
    done = subprocess.run([found, *arguments], cwd=folder, capture_output=True, text=True, timeout=_BUILD_SECONDS)
    if done.returncode != 0:
        pytest.fail(f"{tool} failed: {(done.stdout + done.stderr)[-3000:]}")
