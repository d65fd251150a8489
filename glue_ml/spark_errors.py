"""What went wrong in a job, as a kind and one sentence: Spark's errors read by their SQLSTATE and Java classes."""

from __future__ import annotations

import re
from typing import Any

from glue_ml import errors
from glue_ml.domain.job import JobError
from glue_ml.errors import ErrorKind, GlueMLError

#: SQLSTATEs by prefix, the more special ones first (Spark's error-states.json): 22 is bad data, 42 a bad reference.
_SQL_STATES = (
    ("42K03", ErrorKind.NOT_FOUND),
    ("42P01", ErrorKind.NOT_FOUND),
    ("42501", ErrorKind.ACCESS),
    ("22", ErrorKind.INPUT),
    ("42", ErrorKind.INPUT),
    ("KD", ErrorKind.INPUT),
)
#: Ends of Java class names; the first that occurs in the chain of causes decides.
_JAVA_CLASSES = (
    ("AccessDeniedException", ErrorKind.ACCESS),
    ("AccessControlException", ErrorKind.ACCESS),
    ("NoAuthWithAWSException", ErrorKind.ACCESS),
    ("FileNotFoundException", ErrorKind.NOT_FOUND),
    ("NoSuchFileException", ErrorKind.NOT_FOUND),
    ("UnknownHostException", ErrorKind.UNAVAILABLE),
    ("ConnectException", ErrorKind.UNAVAILABLE),
    ("SocketTimeoutException", ErrorKind.UNAVAILABLE),
    ("UnsupportedFileSystemException", ErrorKind.INPUT),
    ("AnalysisException", ErrorKind.INPUT),
    ("ParseException", ErrorKind.INPUT),
    ("CharConversionException", ErrorKind.INPUT),
    ("MalformedInputException", ErrorKind.INPUT),
)
_USER_ERRORS = ("AnalysisException", "ParseException", "DateTimeException", "NumberFormatException")
_LONGEST = 600
_GUARDED_NAME = r"[\w.-]*(?:secret|token|password|passwd|signature|credential|access[._-]?key)[\w.-]*"
_SECRETS = (
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(rf"(?i)({_GUARDED_NAME}['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;)]+"),
)
# An error that glue-ml raised in a Python worker comes back as the text of a traceback.
_RAISED_IN_WORKER = re.compile(r"^glue_ml\.errors\.(\w+): (.+)$", re.MULTILINE)


def classify_error(error: BaseException) -> JobError:
    """The kind of any error and one sentence without a stack trace or a secret."""
    if isinstance(error, GlueMLError):
        return _describe(error.kind, str(error))
    if isinstance(error, KeyboardInterrupt):
        return _describe(ErrorKind.INTERNAL, "The run was stopped before it was done.")
    if (raised := _RAISED_IN_WORKER.search(str(error))) is not None:
        kind = getattr(getattr(errors, raised.group(1), None), "kind", ErrorKind.INTERNAL)
        return _describe(kind, raised.group(2))
    return _classify_foreign(error)


def redact(text: str) -> str:
    """`text` with what looks like a credential replaced by `***`."""
    for secret in _SECRETS:
        text = secret.sub(lambda found: f"{found.group(1) if found.re.groups else ''}***", text)
    return text


def summarize(text: str) -> str:
    """The first line of an error message, without Spark's SQLSTATE and Java class names, at most 600 characters."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    first = lines[0] if lines else ""
    first = re.sub(r"^(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error): ", "", first)
    first = re.sub(r"\s*SQLSTATE: \w{5}.*$", "", first)
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1]}…"


def _describe(kind: ErrorKind, message: str) -> JobError:
    return JobError(kind, redact(message))


def _classify_foreign(error: BaseException) -> JobError:
    name = type(error).__name__
    if name in ("Py4JNetworkError", "ConnectionRefusedError", "BrokenPipeError"):
        return _describe(
            ErrorKind.INTERNAL, "Spark's driver ended before the job was done: it was stopped or ran out of memory."
        )
    kind = _kind_of_spark_error(error)
    if kind is not None:
        return _describe(kind, summarize(_message(error)))
    detail = summarize(_message(error))
    return _describe(ErrorKind.INTERNAL, f"{name}: {detail}" if detail else f"{name} was raised without a message.")


def _message(error: BaseException) -> str:
    """A Spark error's own text; for a raw Java one that of the innermost cause, which names the real trouble."""
    java = getattr(error, "java_exception", None)
    if java is None:
        return str(getattr(error, "desc", None) or error)
    return str(_causes(java)[-1].getMessage())


def _kind_of_spark_error(error: BaseException) -> ErrorKind | None:
    state = getattr(error, "getSqlState", lambda: None)()
    causes = _causes(getattr(error, "java_exception", None) or getattr(error, "_origin", None))
    states = [state, *(_call(cause, "getSqlState") for cause in causes)]
    for known, kind in _SQL_STATES:
        if any(isinstance(s, str) and s.startswith(known) for s in states):
            return kind
    names = [cause.getClass().getName() for cause in causes]
    for known, kind in _JAVA_CLASSES:
        if any(name.endswith(known) for name in names):
            return kind
    return ErrorKind.INPUT if type(error).__name__ in _USER_ERRORS else None


def _causes(java: Any) -> list[Any]:
    """A Java throwable and its causes, outermost first."""
    chain: list[Any] = []
    while java is not None and len(chain) < 20:
        chain.append(java)
        java = java.getCause()
    return chain


def _call(java: Any, method: str) -> object:
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]

    try:
        return getattr(java, method)()
    except Py4JError:  # most throwables have no SQLSTATE
        return None
