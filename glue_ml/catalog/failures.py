"""Spark's and Hadoop's failures, raised again as glue-ml's errors: one sentence with the place, no Java stack trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException, PythonException

from glue_ml.errors import AccessError, ErrorKind, GlueMLError, InputError, NotFoundError, UnavailableError
from glue_ml.spark_errors import classify_error

_CLASSES: dict[ErrorKind, type[GlueMLError]] = {
    ErrorKind.INPUT: InputError,
    ErrorKind.NOT_FOUND: NotFoundError,
    ErrorKind.ACCESS: AccessError,
    ErrorKind.UNAVAILABLE: UnavailableError,
}
_HINTS = (
    ("No FileSystem for scheme", "Spark has no file system for it; use s3a://, or set spark.hadoop.fs.s3.impl"),
    ("S3AFileSystem not found", "Spark has no S3 file system; start it with --packages org.apache.hadoop:hadoop-aws"),
    ("AVRO is built-in but external", "Spark has no Avro; start it with --packages org.apache.spark:spark-avro"),
    ("data source: avro", "Spark has no Avro; start it with --packages org.apache.spark:spark-avro"),
    (
        "No module named 'glue_ml'",
        "Spark's workers cannot import glue_ml; install it on them, or pass it with --py-files",
    ),
    ("data source: delta", "Spark has no Delta; start it with --packages io.delta:delta-spark"),
)
_SOFT = ("COLUMN_ALREADY_EXISTS", "AMBIGUOUS_REFERENCE")


@contextmanager
def explain_failures(subject: str) -> Iterator[None]:
    """Raise what Spark, Py4J or Hadoop raise inside as a GlueMLError; `subject` begins its sentence."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise explain_failure(subject, error) from error


def explain_failure(subject: str, error: Exception) -> GlueMLError:
    """The GlueMLError for a failure of Spark, Py4J or Hadoop; what Spark cannot tell is taken for a bad input."""
    told = classify_error(error)
    text = f"{error} {told.message}"
    if any(name in text for name in _SOFT):
        return InputError(f"{subject}: two of its columns differ by upper and lower case only; rename one")
    for sign, hint in _HINTS:
        if sign in text:
            return InputError(f"{subject}: {hint}")
    if isinstance(error, PythonException) and told.kind is ErrorKind.INTERNAL:
        return GlueMLError(f"{subject}: {str(error).strip().splitlines()[-1]}")
    message = told.message.removeprefix(f"{type(error).__name__}: ")
    kind = ErrorKind.NOT_FOUND if "UnknownStoreException" in text else told.kind
    return _CLASSES.get(kind, InputError)(f"{subject}: {message}")
