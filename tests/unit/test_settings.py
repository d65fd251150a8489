"""Settings: where they come from, which wins, and that their pages are in step with the code."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from glue_ml.errors import InputError
from glue_ml.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
NAMES = [f.name for f in fields(Settings)]


def _uncomment(text: str) -> dict[str, object]:
    """What the settings file says once its examples are put into effect."""
    return tomllib.loads("\n".join(re.findall(r"^# (\w+ = .*)$", text, re.MULTILINE)))


def test_the_file_explains_every_setting_with_its_default() -> None:
    documented = _uncomment((ROOT / "conf/glue_ml.toml").read_text(encoding="utf-8"))
    assert list(documented)
    assert set(documented) == set(NAMES)
    defaults = Settings()
    depends = {"home", "database_url", "local_files"}
    for name in set(NAMES) - depends:
        value = documented[name]
        assert (tuple(value) if isinstance(value, list) else value) == getattr(defaults, name), name


def test_the_readme_names_every_setting() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in readme] == []


def test_a_variable_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    file = tmp_path / "glue_ml.toml"
    file.write_text('port = 1\nregion = "eu-west-1"\nmax_running = 5\n', encoding="utf-8")
    settings = read_settings(
        {"GLUE_ML_HOME": str(tmp_path), "GLUE_ML_PORT": "2", "GLUE_ML_MAX_RUNNING": "6"}, overrides={"port": 3}
    )
    assert (settings.port, settings.max_running, settings.region) == (3, 6, "eu-west-1")


def test_an_override_that_was_not_given_changes_nothing() -> None:
    assert read_settings({"GLUE_ML_PORT": "2"}, overrides={"port": None, "home": None}).port == 2


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SCRIPT_ROOTS", "s3://a/b, file:///c", ("s3://a/b", "file:///c")),
        ("LOCAL_FILES", "false", False),
        ("RETENTION_DAYS", "0.5", 0.5),
        ("ACCOUNT_ID", "123456789012", "123456789012"),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_setting(variable: str, text: str, value: object) -> None:
    assert getattr(read_settings({f"GLUE_ML_{variable}": text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("PORT", "many", "GLUE_ML_PORT: port cannot be 'many'; it takes a whole number"),
        ("PORT", "70000", "at most 65535"),
        ("PORT", "nan", "it takes a whole number"),
        ("LOCAL_FILES", "perhaps", "true or false"),
        ("MAX_RUNNING", "0", "at least 1"),
        ("LAUNCHER", "moon", "one of: local"),
        ("ACCOUNT_ID", "7", "12 digits"),
        ("ACCESS_KEY_ID", "AKIDEXAMPLE", "go together"),
        ("ENDPOINT_URL", "ftp://x", "http"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(variable: str, text: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        read_settings({f"GLUE_ML_{variable}": text})


def test_a_setting_of_the_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "glue_ml.toml").write_text("prot = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="'prot', which is no setting"):
        read_settings({"GLUE_ML_HOME": str(tmp_path)})


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("port = = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        read_settings({}, config=str(tmp_path / "x.toml"))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_settings({"GLUE_ML_CONFIG": str(tmp_path / "none.toml")})


def test_a_secret_is_not_shown() -> None:
    settings = Settings(
        access_key_id="AKIDEXAMPLE", secret_access_key="very secret", database_url="postgresql://u:pw@h/d"
    )
    assert "very secret" not in repr(settings)
    assert "pw" not in repr(settings)


def test_everything_lies_in_the_home_folder_unless_it_has_a_place_of_its_own(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    assert settings.store_url == f"sqlite:///{tmp_path}/glue_ml.db"
    assert settings.root_uri == f"file://{tmp_path}/storage"
    assert Settings(storage_uri="s3://bucket/root/").root_uri == "s3://bucket/root"


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_files_are_served_to_this_machine_only(host: str, loopback: bool) -> None:
    settings = Settings(host=host)
    assert (settings.is_loopback, settings.serves_files) == (loopback, loopback)
