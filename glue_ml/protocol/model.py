"""The service's model as botocore ships it: operations, shapes with their constraints, and which errors are faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import regex
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import OperationModel, OperationNotFoundError, ServiceModel, Shape

#: Java writes what lies beyond the Basic Multilingual Plane as surrogate pairs; Python takes the characters.
_SURROGATES = r"\uD800\uDC00-\uDBFF\uDFFF"
_ASTRAL = r"\U00010000-\U0010FFFF"


@dataclass(frozen=True)
class Service:
    """One AWS service: its operations by name, and the shape names of errors that are the server's fault (HTTP 500)."""

    model: ServiceModel
    faults: frozenset[str] = field(default=frozenset())

    @property
    def target_prefix(self) -> str:
        """What stands before the operation in X-Amz-Target."""
        return str(self.model.metadata["targetPrefix"])

    @property
    def content_type(self) -> str:
        """The content type of every answer, errors too."""
        return f"application/x-amz-json-{self.model.metadata['jsonVersion']}"

    @property
    def signing_name(self) -> str:
        """The service's name in the scope of a signature."""
        return str(self.model.signing_name)

    def find_operation(self, name: str) -> OperationModel | None:
        """The operation of that name, None if the service has none."""
        try:
            return self.model.operation_model(name)
        except OperationNotFoundError:
            return None

    def find_error(self, code: str) -> Shape | None:
        """The shape of an error, None if the model has none of that name."""
        return self.model.shape_for(code) if code in self.model.shape_names else None


@cache
def load_service(name: str) -> Service:
    """The service of that name in botocore's data; ValueError if there is none."""
    try:
        description: dict[str, Any] = Loader().load_service_model(name, "service-2")
    except UnknownServiceError as error:
        raise ValueError(f"botocore knows no service {name!r}") from error
    # botocore's Shape does not show `fault`: only the raw description has it
    faults = frozenset(shape for shape, raw in description["shapes"].items() if raw.get("fault"))
    return Service(ServiceModel(description, name), faults)


@cache
def compile_pattern(pattern: str) -> regex.Pattern[str]:
    r"""A pattern of the model for `fullmatch`: Java's, whose `\w` and `\d` are ASCII, while `\p{L}` is any letter."""
    flags = regex.UNICODE if r"\p" in pattern else regex.ASCII
    return regex.compile(pattern.replace(_SURROGATES, _ASTRAL), flags)
