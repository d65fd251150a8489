"""The errors that glue-ml raises on purpose, each with a kind that a caller can act on."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorKind(StrEnum):
    """What sort of failure it was; a retry can help only for INTERNAL and UNAVAILABLE."""

    INPUT = "INPUT"  #: The data, the labels or the settings are wrong; the message says which and where.
    NOT_READY = "NOT_READY"  #: The transform has no usable labels yet.
    NOT_FOUND = "NOT_FOUND"  #: A table, file or model that was named does not exist.
    ACCESS = "ACCESS"  #: The credentials do not allow reading or writing what was named.
    UNAVAILABLE = "UNAVAILABLE"  #: A service that is needed did not answer.
    INTERNAL = "INTERNAL"  #: A defect of glue-ml or of what it runs on.


class GlueMLError(Exception):
    """A failure with a kind and one sentence: what was wrong, where, and what to do."""

    kind = ErrorKind.INTERNAL


class InputError(GlueMLError):
    """The table, a column, a setting or a path is not usable as given."""

    kind = ErrorKind.INPUT


class LabelError(InputError):
    """A label file or a labelled row is not usable; `line` is its line in the file, counted from 1."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


class NotReadyError(GlueMLError):
    """The transform has not been taught: labels with at least one match and one non-match are needed."""

    kind = ErrorKind.NOT_READY


class NotFoundError(GlueMLError):
    """A table, file or model that was named does not exist."""

    kind = ErrorKind.NOT_FOUND


class AccessError(GlueMLError):
    """The credentials do not allow reading or writing what was named."""

    kind = ErrorKind.ACCESS


class UnavailableError(GlueMLError):
    """A service that is needed did not answer; trying again later may help."""

    kind = ErrorKind.UNAVAILABLE


class ApiError(GlueMLError):
    """An error that the Glue API answers with; `code` is its shape's name in the API model.

    `members` are further members that the shape models. Raised by operations, written to the wire by the protocol.
    """

    code: ClassVar[str]
    kind = ErrorKind.INPUT

    def __init__(self, message: str | None = None, **members: object) -> None:
        super().__init__(*(() if message is None else (message,)))
        self.message = message
        self.members = members


class InvalidInputError(ApiError):
    """A member of the request is missing, malformed or contradicts another."""

    code = "InvalidInputException"


class EntityNotFoundError(ApiError):
    """Something that the request names does not exist."""

    code = "EntityNotFoundException"
    kind = ErrorKind.NOT_FOUND


class AlreadyExistsError(ApiError):
    """Something of that name exists already."""

    code = "AlreadyExistsException"


class IdempotentParameterMismatchError(ApiError):
    """The same request was made before with other parameters."""

    code = "IdempotentParameterMismatchException"


class ResourceNumberLimitExceededError(ApiError):
    """A limit on how many, or how large, is reached."""

    code = "ResourceNumberLimitExceededException"


class ConcurrentRunsExceededError(ApiError):
    """Too many runs are active."""

    code = "ConcurrentRunsExceededException"


class ConcurrentModificationError(ApiError):
    """Two requests changed the same thing at the same time."""

    code = "ConcurrentModificationException"


class TransformNotReadyError(ApiError):
    """The transform has not been taught enough for what is asked."""

    code = "MLTransformNotReadyException"
    kind = ErrorKind.NOT_READY


class AccessDeniedError(ApiError):
    """The caller, or the role that is named, may not do this."""

    code = "AccessDeniedException"
    kind = ErrorKind.ACCESS


class OperationTimeoutError(ApiError):
    """Something that was needed did not answer in time."""

    code = "OperationTimeoutException"
    kind = ErrorKind.UNAVAILABLE


class InternalServiceError(ApiError):
    """A defect of the server."""

    code = "InternalServiceException"
    kind = ErrorKind.INTERNAL
