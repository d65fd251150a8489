"""The commands that run the control plane: `serve`, `scheduler` and `migrate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from glue_ml.console import report_errors, say
from glue_ml.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    from glue_ml.settings import Settings

Home = Annotated[
    str | None, typer.Option("--home", metavar="DIR", help="Where everything is kept; else .glue-ml in your home.")
]
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="A settings file; else glue_ml.toml in the home folder.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="PostgreSQL instead of SQLite in the home folder.")
]
EndpointUrl = Annotated[
    str | None, typer.Option("--endpoint-url", metavar="URL", help="The API's address as the jobs reach it.")
]


def serve(
    home: Home = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; else on this machine only."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", help="The port; else 8420, and 0 takes a free one.")
    ] = None,
    database_url: DatabaseUrl = None,
    endpoint_url: EndpointUrl = None,
    config: Config = None,
    scheduler: Annotated[
        bool, typer.Option("--scheduler/--no-scheduler", help="Whether to run task runs too, or the API alone.")
    ] = True,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
) -> None:
    """Serve the Glue API to boto3, the AWS CLI, Terraform and other SDKs, and run what they start, until Ctrl-C.

    \b
        glue-ml serve
        export AWS_ENDPOINT_URL_GLUE=http://127.0.0.1:8420     (in another terminal)
        aws glue get-ml-transforms

    Task runs that are running when it stops go on; the next server takes them up again.
    """
    with report_errors(verbose=verbose):
        given = {"home": home, "host": host, "port": port, "database_url": database_url, "endpoint_url": endpoint_url}
        settings = _read_settings(config, given)
        _load_app().serve(settings, with_scheduler=scheduler, announce=lambda endpoint: _announce(endpoint, settings))


def run_scheduler(
    home: Home = None,
    database_url: DatabaseUrl = None,
    endpoint_url: EndpointUrl = None,
    config: Config = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
) -> None:
    """Run what the API's clients start, beside servers that were started with --no-scheduler, until Ctrl-C.

    \b
        glue-ml scheduler --database-url postgresql+psycopg://glue_ml@db/glue_ml --endpoint-url http://api:8420

    Any number may work on one PostgreSQL store: none runs what another has taken.
    """
    with report_errors(verbose=verbose):
        settings = _read_settings(config, {"home": home, "database_url": database_url, "endpoint_url": endpoint_url})
        app = _load_app()
        app.run_scheduler(settings, announce=lambda endpoint: say(f"The scheduler is ready; its jobs call {endpoint}."))


def migrate(
    home: Home = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
) -> None:
    """Make the store's tables, or bring them to this version's; harmless if they are there already.

    The embedded SQLite store does not need it: `glue-ml serve` does the same by itself.
    """
    with report_errors(verbose=verbose):
        settings = _read_settings(config, {"home": home, "database_url": database_url})
        revision = _load_app().migrate(settings)
        place = "PostgreSQL" if settings.database_url else settings.store_url
        say(f"The store in {place} has schema {revision}, the one that this version works with.")


def _load_app() -> ModuleType:
    try:
        from glue_ml import app
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing; install it with: pip install 'glue-ml[server]'") from error
    return app


def _read_settings(config: str | None, given: Mapping[str, object]) -> Settings:
    from glue_ml.settings import read_settings

    return read_settings(config=config, overrides=given)


def _announce(endpoint: str, settings: Settings) -> None:
    say(f"glue-ml is ready at {endpoint}, and keeps everything in {settings.home}. In another terminal:")
    say(f"  export AWS_ENDPOINT_URL_GLUE={endpoint}")
    if settings.credentials is None:
        say(f"  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION={settings.region}")
    say("  aws glue get-ml-transforms")
