"""The settings of the control plane: defaults, then a TOML file, then GLUE_ML_* variables, then the command line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import unquote, urlsplit

from glue_ml.errors import InputError

PREFIX = "GLUE_ML_"
CONFIG_FILE = "glue_ml.toml"


def _default_home() -> str:
    return str(Path.home() / ".glue-ml")


@dataclass(frozen=True)
class Settings:
    """Every setting, under the name it has in the TOML file; as a variable it is GLUE_ML_ and the name in capitals.

    `conf/glue_ml.toml` explains each of them. An empty text means the default that depends on others.
    """

    home: str = field(default_factory=_default_home)
    host: str = "127.0.0.1"
    port: int = 8420
    allowed_hosts: tuple[str, ...] = ()
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    account_id: str = "000000000000"
    region: str = "us-east-1"
    database_url: str = field(default="", repr=False)
    storage_uri: str = ""
    local_files: bool | None = None
    script_roots: tuple[str, ...] = ()
    catalog: str = "embedded"
    catalog_region: str = ""
    endpoint_url: str = ""
    launcher: str = "local"
    local_cores: int = 0
    local_memory_mb: int = 0
    class_archive: str = "auto"
    event_log_dir: str = ""
    max_running: int = 2
    start_timeout_minutes: float = 30.0
    stop_timeout_seconds: float = 30.0
    retention_days: float = 90.0
    max_transforms: int = 100
    max_runs_per_transform: int = 3
    max_runs_per_account: int = 30
    max_label_file_mb: int = 10
    semantic_encoder: str = "auto"
    connected_components: str = "auto"
    blocking_plan: str = "auto"
    max_body_kb: int = 1024
    read_timeout_seconds: float = 20.0
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        for problem in _find_problems(self):
            raise InputError(problem)

    @property
    def is_loopback(self) -> bool:
        """Whether the server listens to this machine only."""
        return _is_loopback(self.host)

    @property
    def credentials(self) -> Mapping[str, str] | None:
        """The access keys that may call, with their secrets; None lets everybody on this machine call."""
        return {self.access_key_id: self.secret_access_key} if self.access_key_id else None

    @property
    def store_url(self) -> str:
        """Where the store is: the database that is set, or SQLite in the home folder."""
        return self.database_url or f"sqlite:///{Path(self.home).absolute() / 'glue_ml.db'}"

    @property
    def root_uri(self) -> str:
        """The folder of labels, models and run directories: the one that is set, or one in the home folder."""
        return self.storage_uri.rstrip("/") or unquote((Path(self.home).absolute() / "storage").as_uri())

    @property
    def serves_files(self) -> bool:
        """Whether requests may name `file:///` places; by default only those from this machine may."""
        return self.is_loopback if self.local_files is None else self.local_files


def read_settings(
    environment: Mapping[str, str] | None = None, *, config: str | None = None, overrides: Mapping[str, Any] = {}
) -> Settings:
    """The settings of this process; `overrides` (None: not given) win over variables, and those over the file.

    The file is `config`, else what GLUE_ML_CONFIG names, else `glue_ml.toml` in the home folder if there is one.
    Raises InputError for a setting that does not exist or cannot be read, saying where it came from.
    """
    given = os.environ if environment is None else environment
    chosen = {name: value for name, value in overrides.items() if value is not None}
    variables = _read_variables(given)
    home = chosen.get("home") or variables.get("home") or _default_home()
    path = config or given.get(f"{PREFIX}CONFIG")
    file = Path(path) if path else Path(home) / CONFIG_FILE
    if path and not file.is_file():
        raise InputError(f"The settings file {file} does not exist")
    from_file = _read_file(file) if file.is_file() else {}
    return Settings(**{"home": home, **from_file, **variables, **chosen})


def _read_file(path: Path) -> dict[str, Any]:
    try:
        members = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The settings file {path} cannot be read: {error}") from error
    return {name: _convert(name, value, source=str(path)) for name, value in members.items()}


def _read_variables(given: Mapping[str, str]) -> dict[str, Any]:
    known = {f.name for f in fields(Settings)}
    found = {}
    for variable, text in given.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name in known:
            found[name] = _convert(name, text, source=variable)
    return found


def _convert(name: str, value: Any, *, source: str) -> Any:
    """`value` as the type of the setting; texts of variables are read, values of TOML are checked."""
    kinds = get_type_hints(Settings)
    if name not in kinds:
        raise InputError(f"{source} sets {name!r}, which is no setting; they are: {', '.join(sorted(kinds))}")
    kind = kinds[name]
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: {name} cannot be {value!r}; it takes {_NAMES[kind]}") from error


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _read_integer(value: Any) -> int:
    number = _read_number(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _read_flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]


def _read_list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(_read_text(part) for part in value)


_READERS: Mapping[Any, Any] = {
    str: _read_text,
    int: _read_integer,
    float: _read_number,
    bool | None: lambda value: _read_flag_or_refuse(value),
    tuple[str, ...]: _read_list,
}
_NAMES: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool | None: "true or false",
    tuple[str, ...]: "texts, with commas between them in a variable",
}


def _read_flag_or_refuse(value: Any) -> bool:
    try:
        return _read_flag(value)
    except KeyError as error:
        raise ValueError from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_MINIMA: Mapping[str, float] = {
    "port": 0, "local_cores": 0, "local_memory_mb": 0, "max_running": 1, "start_timeout_minutes": 0,
    "stop_timeout_seconds": 0, "retention_days": 0, "max_transforms": 1, "max_runs_per_transform": 1,
    "max_runs_per_account": 1, "max_label_file_mb": 1, "max_body_kb": 1, "read_timeout_seconds": 0.1,
}  # fmt: skip
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "blocking_plan": ("auto", "shipped", "pieces"),
    "catalog": ("embedded", "aws"),
    "connected_components": ("auto", "driver", "graphframes", "contraction"),
    "launcher": ("local",),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
}


def _find_problems(settings: Settings) -> list[str]:
    problems = []
    for name, least in _MINIMA.items():
        value = getattr(settings, name)
        if not least <= value <= 2**31:
            problems.append(f"{name} is {value}, and must be at least {least:g}")
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            problems.append(f"{name} is {getattr(settings, name)!r}, and must be one of: {', '.join(choices)}")
    if not settings.semantic_encoder:
        problems.append("semantic_encoder is empty, and must be off, auto, static, sentence or the path of an encoder")
    if settings.port > 65535:
        problems.append(f"port is {settings.port}, and must be at most 65535")
    if bool(settings.access_key_id) != bool(settings.secret_access_key):
        problems.append("access_key_id and secret_access_key go together: set both, or neither")
    if not (settings.account_id.isascii() and settings.account_id.isdigit() and len(settings.account_id) == 12):
        problems.append(f"account_id is {settings.account_id!r}, and must be 12 digits")
    if settings.endpoint_url and urlsplit(settings.endpoint_url).scheme not in ("http", "https"):
        problems.append(f"endpoint_url is {settings.endpoint_url!r}, and must start with http:// or https://")
    return problems
