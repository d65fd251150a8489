from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import NoCredentialsError, NoRegionError
from moto.s3.models import s3_backends

from glue_ml import storage
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An empty bucket `shelf`, with boto3 pointed to it by the environment as a user would do it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    set_credentials(monkeypatch)
    client = boto3.client("s3")
    client.create_bucket(Bucket="shelf")
    yield client
    s3_backends.reset()


def set_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture(params=["plain", "file", "s3", "s3a"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder URI of each kind that files can be in."""
    if request.param in ("s3", "s3a"):
        request.getfixturevalue("bucket")
        return f"{request.param}://shelf/some folder"
    return str(tmp_path) if request.param == "plain" else f"file://{tmp_path}"


@pytest.mark.parametrize("data", [b"", b"text\r\n", bytes(range(256)) * 5000], ids=["empty", "text", "binary"])
def test_what_is_written_is_read(root: str, data: bytes) -> None:
    uri = storage.join(root, "new", "ä %41 [1].bin")
    assert not storage.exists(uri)
    storage.write_bytes(uri, data)
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == data
    assert storage.size(uri) == len(data)


def test_a_write_replaces_what_was_there_and_leaves_nothing_else(root: str) -> None:
    uri = storage.join(root, "a", "progress.json")
    storage.write_bytes(uri, b"a longer first version")
    storage.write_bytes(uri, b"second")
    assert storage.read_bytes(uri) == b"second"
    assert storage.list_names(storage.join(root, "a")) == ["progress.json"]


def test_names_are_those_directly_below(root: str) -> None:
    for name in ("t/b.csv", "t/a.csv", "t/deep/c.csv", "t/deep/er/d.csv", "tea/e.csv"):
        storage.write_bytes(storage.join(root, name), b"x")
    assert storage.list_names(storage.join(root, "t")) == ["a.csv", "b.csv", "deep"]
    assert storage.list_names(storage.join(root, "t/")) == ["a.csv", "b.csv", "deep"]
    assert storage.exists(storage.join(root, "t/deep"))
    assert not storage.exists(storage.join(root, "te"))


def test_a_folder_is_removed_with_all_that_is_in_it_and_nothing_beside_it(root: str) -> None:
    for name in ("run/1/spec.json", "run/1/deep/er/log", "run/2/spec.json", "run-2/spec.json", "run.txt"):
        storage.write_bytes(storage.join(root, name), b"x")
    storage.remove(storage.join(root, "run"))
    assert storage.list_names(root) == ["run-2", "run.txt"]
    storage.remove(storage.join(root, "run-2/"))
    storage.remove(storage.join(root, "run.txt"))
    assert not storage.exists(storage.join(root, "run.txt"))
    assert not storage.exists(storage.join(root, "run-2"))


def test_removing_what_is_not_there_is_no_error(root: str) -> None:
    storage.remove(storage.join(root, "nothing", "here"))
    storage.write_bytes(storage.join(root, "file"), b"x")
    storage.remove(storage.join(root, "file", "below"))
    assert storage.read_bytes(storage.join(root, "file")) == b"x"


@pytest.mark.parametrize("act", [storage.read_bytes, storage.size, storage.list_names])
def test_what_is_missing_is_not_found(root: str, act: object) -> None:
    assert callable(act)
    uri = storage.join(root, "nothing", "here.csv")
    with pytest.raises(NotFoundError, match="does not exist") as caught:
        act(uri)
    assert uri in str(caught.value)


def test_a_missing_bucket_is_named(bucket: S3Client) -> None:
    for act in (storage.read_bytes, storage.list_names, lambda uri: storage.write_bytes(uri, b"")):
        with pytest.raises(NotFoundError, match="s3://no-such-shelf/x does not exist: there is no such bucket"):
            act("s3://no-such-shelf/x")
    assert not storage.exists("s3://no-such-shelf/x")


@pytest.mark.usefixtures("bucket")
def test_more_objects_than_one_page_are_listed() -> None:
    backend = s3_backends["123456789012"]["aws"]
    for i in range(1005):
        backend.put_object("shelf", f"many/{i:04}", b"")
    assert storage.list_names("s3://shelf/many") == [f"{i:04}" for i in range(1005)]
    assert storage.list_names("s3://shelf") == ["many"]


@pytest.mark.usefixtures("bucket")
def test_more_objects_than_one_page_are_removed() -> None:
    backend = s3_backends["123456789012"]["aws"]
    for i in range(1005):
        backend.put_object("shelf", f"many/{i:04}", b"")
    backend.put_object("shelf", "manyfold", b"")
    storage.remove("s3://shelf/many")
    assert storage.list_names("s3://shelf") == ["manyfold"]


def test_an_object_that_may_not_be_removed_is_told(bucket: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_bytes("s3://shelf/run/spec.json", b"x")
    denied = {"Errors": [{"Key": "run/spec.json", "Code": "AccessDenied", "Message": "No."}]}
    with monkeypatch.context() as patched:
        client = storage._open_client(os.environ["AWS_ENDPOINT_URL_S3"])
        patched.setattr(client, "delete_objects", lambda **_: denied)
        with pytest.raises(
            AccessError, match=r"s3://shelf/run cannot be removed: S3 answered AccessDenied No\. for run/"
        ):
            storage.remove("s3://shelf/run")
    with pytest.raises(NotFoundError, match="there is no such bucket"):
        storage.remove("s3://no-such-shelf/run")


@pytest.mark.parametrize("uri", ["/", "file:///", "/..", "s3://shelf", "s3://shelf/", "s3a://shelf//"])
@pytest.mark.usefixtures("bucket")
def test_a_whole_bucket_or_file_system_is_not_removed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda path: pytest.fail(f"{path} was about to go"))
    with pytest.raises(InputError):
        storage.remove(uri)


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "other").symlink_to(tmp_path / "kept")
    storage.remove(str(tmp_path / "folder"))
    storage.remove(str(tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_bytes() == b"x"


def test_two_may_remove_the_same_folder_at_once(tmp_path: Path) -> None:
    for i in range(300):
        storage.write_bytes(str(tmp_path / "folder" / str(i % 7) / str(i)), b"")
    failures: list[BaseException] = []

    def remove() -> None:
        try:
            storage.remove(str(tmp_path / "folder"))
        except GlueMLError as error:
            failures.append(error)

    threads = [threading.Thread(target=remove) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not (tmp_path / "folder").exists()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for act in (storage.read_bytes, storage.size, lambda uri: storage.write_bytes(uri, b"x")):
        with pytest.raises(InputError, match=r"is a folder; name a file in it"):
            act(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(InputError, match="is a file, not a folder"):
        storage.list_names(str(tmp_path / "f"))
    with pytest.raises(InputError, match="a part of its path is a file"):
        storage.write_bytes(str(tmp_path / "f" / "g"), b"y")
    with pytest.raises(NotFoundError):
        storage.read_bytes(str(tmp_path / "f" / "g"))
    assert not storage.exists(str(tmp_path / "f" / "g"))
    assert (tmp_path / "f").read_bytes() == b"x"


def test_a_written_file_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_bytes(b"")
    storage.write_bytes(str(tmp_path / "written"), b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "written")]
    assert modes[0] == modes[1]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "result.json"
    target.write_bytes(b"old")

    def run_out(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", run_out)
    with pytest.raises(UnavailableError, match=r"result.json cannot be written: No space left on device"):
        storage.write_bytes(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_readers_see_one_version_or_the_other(tmp_path: Path) -> None:
    uri, versions = str(tmp_path / "f"), [b"a" * 200_000, b"b" * 100_000]
    storage.write_bytes(uri, versions[0])
    seen, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(storage.read_bytes(uri))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        storage.write_bytes(uri, versions[i % 2])
    stop.set()
    reader.join()
    assert seen <= set(versions)


@pytest.mark.skipif(AS_ROOT, reason="permissions do not bind root")
def test_a_forbidden_local_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(AccessError, match="permission denied"):
        storage.read_bytes(str(tmp_path / "secret"))


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///key", "s3://bucket", "s3a:/bucket/key", "a\0b", "file://host/x",
                                 "hdfs://name/x", "gs://bucket/x", "https://example.org/x"])  # fmt: skip
def test_what_is_no_usable_uri_is_refused(uri: str) -> None:
    with pytest.raises(InputError):
        storage.read_bytes(uri)
    with pytest.raises(InputError):
        storage.write_bytes(uri, b"")


def test_a_path_is_taken_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_bytes(f"file://{tmp_path}/a%20b", b"1")
    assert (tmp_path / "a%20b").exists()
    assert storage.read_bytes(f"file:{tmp_path}/a%20b") == b"1"
    assert storage.read_bytes(f"file://localhost{tmp_path}/a%20b") == b"1"
    monkeypatch.chdir(tmp_path)
    assert storage.read_bytes("a%20b") == b"1"
    storage.write_bytes("c:d", b"2")
    assert (tmp_path / "c:d").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("uri", "names", "expected"),
    [
        ("/a", ("b",), "/a/b"),
        ("/a/", ("b", "c"), "/a/b/c"),
        ("/", ("b",), "/b"),
        ("s3://bucket", ("k",), "s3://bucket/k"),
        ("s3a://bucket/p/", ("k.json",), "s3a://bucket/p/k.json"),
        ("file:///a", ("b/",), "file:///a/b"),
        ("a", (), "a"),
    ],
)
def test_uris_are_joined(uri: str, names: tuple[str, ...], expected: str) -> None:
    assert storage.join(uri, *names) == expected


class _Refusal(BaseHTTPRequestHandler):
    """Answers every request as S3 does when it refuses: the bucket's name is the code and the status."""

    def do_GET(self) -> None:
        code, status = self.path.split("?")[0].split("/")[1].rsplit("-", 1)
        name = "".join(part.capitalize() for part in code.split("-"))
        body = f"<Error><Code>{name}</Code><Message>No.</Message></Error>".encode()
        self.send_response(int(status))
        self.send_header("Content-Length", str(0 if self.command == "HEAD" else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing_endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def refusals(refusing_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", refusing_endpoint)


@pytest.mark.parametrize(
    ("bucket_name", "expected"),
    [
        ("access-denied-403", AccessError),
        ("expired-token-400", AccessError),
        ("invalid-access-key-id-403", AccessError),
        ("slow-down-503", UnavailableError),
        ("internal-error-500", UnavailableError),
        ("invalid-bucket-state-409", InputError),
    ],
)
@pytest.mark.usefixtures("refusals")
def test_a_refusal_of_s3_says_what_to_do_about_it(bucket_name: str, expected: type[GlueMLError]) -> None:
    for act in (storage.read_bytes, storage.list_names, lambda uri: storage.write_bytes(uri, b"x")):
        with pytest.raises(expected, match=f"s3://{bucket_name}/key"):
            act(f"s3://{bucket_name}/key")


@pytest.mark.usefixtures("refusals")
def test_what_may_not_be_looked_at_is_not_taken_for_missing() -> None:
    with pytest.raises(AccessError):
        storage.exists("s3://access-denied-403/key")


def test_a_service_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    set_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    with pytest.raises(UnavailableError, match=r"s3://b/k cannot be read: Could not connect"):
        storage.read_bytes("s3://b/k")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(NoCredentialsError(), AccessError), (NoRegionError(), InputError), (OSError("x"), UnavailableError)],
)
def test_failures_before_any_answer_are_told_apart(error: Exception, expected: type[GlueMLError]) -> None:
    told = storage.explain_aws_failure("s3://b/k cannot be read", error)
    assert type(told) is expected
    assert str(told).startswith("s3://b/k cannot be read: ")


def test_only_s3_needs_boto3(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = """
import json, sys
from glue_ml import storage
storage.write_bytes(sys.argv[1], b"x")
assert storage.read_bytes(sys.argv[1]) == b"x" and storage.exists(sys.argv[1])
print(json.dumps([name for name in sys.modules if name.startswith("boto")]))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "f")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert json.loads(ran.stdout) == []
