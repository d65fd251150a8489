"""Spark's event logs: what a history server, or anybody, reads of an application after its end."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from glue_ml.errors import AccessError, InputError, NotFoundError

VARIABLE = "GLUE_ML_EVENT_LOG_DIR"  #: The setting `event_log_dir`, for the commands that read no settings too.

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)(.*)", re.DOTALL)


def configure_event_log(place: str) -> Mapping[str, str]:
    """Return the Spark configuration by which an application writes its event log into the folder `place`.

    Nothing for an empty text: then Spark does what it is configured to. A folder of this machine is named by a path or
    by `file:///...`; what is elsewhere (`s3a://`, `hdfs://`) is told as it is, and Spark finds out whether it is there.
    Raises InputError, NotFoundError or AccessError for a folder of this machine that Spark could not write to, with
    which it would not start.
    """
    if not place:
        return {}
    found = _SCHEME.fullmatch(place)
    if found is not None and found[1].lower() != "file":
        return _write_to(place)
    path = Path(place if found is None else re.sub("^//(localhost)?(?=/)", "", found[2]))
    if not path.is_absolute():
        raise InputError(f"The folder of event logs is {place!r}; name it by an absolute path or a URI")
    _check_folder(path)
    # Spark decodes what a URI encodes
    return _write_to(f"file://{quote(str(path))}")


def _write_to(uri: str) -> Mapping[str, str]:
    return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": uri}


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"The folder of event logs {path} does not exist; make it, as Spark does not")
    if not path.is_dir():
        raise InputError(f"The place of event logs {path} is a file; name a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise AccessError(f"The folder of event logs {path} cannot be written to; change its mode, or name another")
