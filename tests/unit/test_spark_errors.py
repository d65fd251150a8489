from __future__ import annotations

import pytest

from glue_ml.errors import (
    AccessError,
    ErrorKind,
    GlueMLError,
    InputError,
    LabelError,
    NotFoundError,
    NotReadyError,
    UnavailableError,
)
from glue_ml.spark_errors import classify_error, redact, summarize


class AnalysisException(Exception):
    """Named as PySpark's, which cannot be made without a JVM."""

    def __init__(self, message: str, state: str | None = None) -> None:
        super().__init__(message)
        self.desc = message
        self._state = state

    def getSqlState(self) -> str | None:
        return self._state


class FakeThrowable:
    """What py4j shows of a Java throwable."""

    def __init__(self, class_name: str, message: str, cause: FakeThrowable | None = None) -> None:
        self.class_name, self.message, self.cause = class_name, message, cause

    def getClass(self) -> FakeThrowable:
        return self

    def getName(self) -> str:
        return self.class_name

    def getMessage(self) -> str:
        return self.message

    def getCause(self) -> FakeThrowable | None:
        return self.cause

    def getSqlState(self) -> None:
        return None


class JavaError(Exception):
    """A raw Java error, as py4j raises it."""

    def __init__(self, java_exception: FakeThrowable) -> None:
        super().__init__("An error occurred while calling o1.save.\n\tat a.b.C")
        self.java_exception = java_exception


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("m"), ErrorKind.INPUT),
        (LabelError("m"), ErrorKind.INPUT),
        (NotReadyError("m"), ErrorKind.NOT_READY),
        (NotFoundError("m"), ErrorKind.NOT_FOUND),
        (AccessError("m"), ErrorKind.ACCESS),
        (UnavailableError("m"), ErrorKind.UNAVAILABLE),
        (GlueMLError("m"), ErrorKind.INTERNAL),
    ],
)
def test_an_error_of_the_project_keeps_its_kind_and_words(error: GlueMLError, kind: ErrorKind) -> None:
    told = classify_error(error)
    assert (told.kind, told.message) == (kind, "m")


def test_a_label_error_keeps_its_line() -> None:
    assert classify_error(LabelError("the key is missing", line=7)).message == "line 7: the key is missing"


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("42K03", ErrorKind.NOT_FOUND),
        ("42P01", ErrorKind.NOT_FOUND),
        ("42703", ErrorKind.INPUT),
        ("22018", ErrorKind.INPUT),
        ("KD001", ErrorKind.INPUT),
        (None, ErrorKind.INPUT),
    ],
)
def test_a_spark_error_is_read_by_its_sqlstate(state: str | None, kind: ErrorKind) -> None:
    error = AnalysisException(
        "[PATH_NOT_FOUND] Path does not exist: file:/none. SQLSTATE: 42K03;\n'Project [a]\n+- Relation", state
    )
    told = classify_error(error)
    assert told.kind is kind
    assert told.message == "[PATH_NOT_FOUND] Path does not exist: file:/none."


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("java.nio.file.AccessDeniedException", ErrorKind.ACCESS),
        ("java.io.FileNotFoundException", ErrorKind.NOT_FOUND),
        ("java.net.UnknownHostException", ErrorKind.UNAVAILABLE),
        ("org.apache.hadoop.fs.UnsupportedFileSystemException", ErrorKind.INPUT),
    ],
)
def test_a_java_error_is_read_by_its_causes(class_name: str, kind: ErrorKind) -> None:
    inner = FakeThrowable(class_name, "s3a://bucket/data: refused\n\tat x.y.Z")
    told = classify_error(JavaError(FakeThrowable("org.apache.spark.SparkException", "Job aborted.", inner)))
    assert (told.kind, told.message) == (kind, "s3a://bucket/data: refused")


def test_anything_else_is_internal_and_names_its_class() -> None:
    told = classify_error(ZeroDivisionError("division by zero"))
    assert (told.kind, told.message) == (ErrorKind.INTERNAL, "ZeroDivisionError: division by zero")
    assert classify_error(KeyError()).message == "KeyError was raised without a message."


def test_a_lost_driver_is_told_as_such() -> None:
    told = classify_error(ConnectionRefusedError(111, "Connection refused"))
    assert told.kind is ErrorKind.INTERNAL
    assert "driver ended before the job was done" in told.message


def test_a_stopped_run_says_so() -> None:
    assert classify_error(KeyboardInterrupt()).message == "The run was stopped before it was done."


def test_an_error_raised_in_a_python_worker_keeps_its_kind() -> None:
    trace = (
        "Traceback (most recent call last):\n  File x\nglue_ml.errors.InputError: the cell is over 1 MB\n\nDriver stack"
    )
    told = classify_error(RuntimeError(trace))
    assert (told.kind, told.message) == (ErrorKind.INPUT, "the cell is over 1 MB")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key AKIAIOSFODNN7EXAMPLE was refused", "AKIAIOSFODNN7EXAMPLE"),
        ("https://user:hunter2@host/x failed", "hunter2"),
        ("https://b.s3/x?X-Amz-Signature=abcdef12&a=1", "abcdef12"),
        ("fs.s3a.secret.key=wJalrXUtnFEMI/K7MDENG is wrong", "wJalrXUtnFEMI/K7MDENG"),
        ("aws_session_token: 'FwoGZXIvYXdz'", "FwoGZXIvYXdz"),
        ('{"password": "letmein"}', "letmein"),
        ("spark.hadoop.fs.s3a.access.key abc=1, access_key=xyz1", "xyz1"),
    ],
)
def test_credentials_are_taken_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)
    assert "***" in redact(text)
    assert secret not in classify_error(InputError(text)).message


def test_other_words_stay() -> None:
    text = "The column 'token' of s3://bucket/people?x=1 has 3 nulls; the primary key: id"
    assert redact(text) == text


def test_a_summary_is_one_line_of_bounded_length() -> None:
    assert summarize("java.lang.IllegalArgumentException: no\n\tat a.B") == "no"
    assert summarize("") == ""
    assert len(summarize("x" * 5000)) == 600
