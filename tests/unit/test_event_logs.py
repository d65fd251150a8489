from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glue_ml.app import make_scheduler, open_database
from glue_ml.cli import app
from glue_ml.errors import AccessError, InputError, NotFoundError
from glue_ml.event_logs import VARIABLE, configure_event_log
from glue_ml.settings import PREFIX, Settings


def test_no_event_log_is_configured_unless_asked_for() -> None:
    assert configure_event_log("") == {}


@pytest.mark.parametrize("scheme", ["", "file:", "file://", "file://localhost", "FILE://"])
def test_a_folder_of_this_machine_is_told_as_a_uri(tmp_path: Path, scheme: str) -> None:
    folder = tmp_path / "event logs"
    folder.mkdir()
    assert configure_event_log(f"{scheme}{folder}") == {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{tmp_path}/event%20logs",
    }


@pytest.mark.parametrize("place", ["s3a://bucket/logs", "hdfs:///logs", "gs://bucket/a b"])
def test_a_folder_elsewhere_is_told_as_it_is(place: str) -> None:
    assert configure_event_log(place)["spark.eventLog.dir"] == place


def test_a_folder_that_spark_could_not_write_to_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFoundError, match=r"none does not exist; make it"):
        configure_event_log(str(tmp_path / "none"))
    with pytest.raises(InputError, match="file is a file; name a folder"):
        configure_event_log(str(tmp_path / "file"))
    with pytest.raises(InputError, match="'logs'; name it by an absolute path"):
        configure_event_log("logs")


def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(AccessError, match="cannot be written to"):
        configure_event_log(str(tmp_path))


def test_the_scheduler_tells_every_application(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), event_log_dir=str(tmp_path))
    database = open_database(settings)
    try:
        scheduler = make_scheduler(settings, database, "http://127.0.0.1:1")
        assert scheduler._settings.conf["spark.eventLog.enabled"] == "true"
        scheduler.close()
    finally:
        database.dispose()


@pytest.mark.parametrize("command", ["match", "label", "evaluate"])
def test_a_command_refuses_a_folder_that_is_not_there_before_spark_starts(command: str, tmp_path: Path) -> None:
    given = {"match": ["--output", str(tmp_path / "o")], "label": ["--output", str(tmp_path / "o")]}
    labels = ["--labels", "l.csv"] if command == "evaluate" else []
    arguments = [command, "t.csv", "--key", "id", *given.get(command, []), *labels]
    none = str(tmp_path / "none")
    for more, environment in ((["--event-log-dir", none], {}), ([], {VARIABLE: none})):
        result = CliRunner().invoke(app, [*arguments, *more], env=environment)
        assert result.exit_code == 1
        assert "none does not exist; make it" in result.stderr


def test_the_variable_is_that_of_the_setting() -> None:
    assert f"{PREFIX}EVENT_LOG_DIR" == VARIABLE
