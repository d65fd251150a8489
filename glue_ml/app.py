"""Puts the control plane together from its settings: the store, the API, the scheduler and its launcher."""

from __future__ import annotations

import gc
import json
import logging
import os
import secrets
import signal
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn

from glue_ml import __version__
from glue_ml.applications import SchedulerSettings
from glue_ml.class_archive import find_archive
from glue_ml.domain.task_run import Deadlines
from glue_ml.errors import GlueMLError, InputError, UnavailableError
from glue_ml.event_logs import configure_event_log
from glue_ml.launchers.local import LocalLauncher
from glue_ml.operations import (
    databases,
    job_runs,
    jobs,
    partitions,
    remote_catalog,
    tables,
    tags,
    task_runs,
    transforms,
)
from glue_ml.operations.context import Account, Context, Limits, Operation, TableLookup
from glue_ml.protocol import connections, server
from glue_ml.scheduler import Scheduler
from glue_ml.settings import Settings
from glue_ml.store.database import Database

_MEMORY_SHARE = (
    0.6  #: Of the machine, for all local applications together; Python's workers and the system need the rest.
)
_START_SECONDS = 30

logger = logging.getLogger(__name__)


def now() -> datetime:
    """This moment; the only clock of the control plane."""
    return datetime.now(UTC)


def open_database(settings: Settings) -> Database:
    """The store, its schema checked; the embedded one is made, or brought up to date, on the way.

    A shared one is left alone until somebody runs `glue-ml migrate`, as other servers may be working with it.
    """
    Path(settings.home).mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.store_url)
    if settings.database_url:
        database.check_schema()
    else:
        database.migrate()
    return database


def make_api(settings: Settings, database: Database, health: Callable[[], Mapping[str, object]]) -> server.App:
    """The API as an ASGI application over a store."""
    operations, find_table = _choose_operations(settings)
    account = _describe_account(settings)

    def bind(operation: Operation) -> server.Handler:
        def handle(caller: server.Caller, request: dict[str, Any]) -> Mapping[str, Any]:
            context = Context(database, account, find_table, caller.now, caller.invocation_id)
            return operation(context, request)

        return handle

    return server.make_app(
        {name: bind(operation) for name, operation in operations.items()},
        credentials=settings.credentials,
        limits=_describe_limits(settings),
        allowed_hosts=frozenset(settings.allowed_hosts) if settings.is_loopback else None,
        health=health,
        now=now,
    )


def make_scheduler(settings: Settings, database: Database, endpoint: str) -> Scheduler:
    """A scheduler with a name of its own, so that several can share the store.

    Raises what `configure_event_log` raises.
    """
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return Scheduler(
        database,
        _make_launcher(settings),
        name=name,
        settings=SchedulerSettings(
            storage_uri=settings.root_uri,
            jobs_folder=find_jobs_folder(),
            endpoint=settings.endpoint_url or endpoint,
            region=settings.region,
            max_running=settings.max_running,
            deadlines=Deadlines(
                start=timedelta(minutes=settings.start_timeout_minutes),
                stop=timedelta(seconds=settings.stop_timeout_seconds),
            ),
            retention=timedelta(days=settings.retention_days) if settings.retention_days else None,
            label_file_limit_mb=settings.max_label_file_mb,
            semantic_encoder=settings.semantic_encoder,
            connected_components=settings.connected_components,
            blocking_plan=settings.blocking_plan,
            credentials=settings.credentials,
            conf=configure_event_log(settings.event_log_dir),
        ),
        clock=now,
    )


@contextmanager
def open_server(settings: Settings, *, with_scheduler: bool = True) -> Iterator[str]:
    """Run the API, and a scheduler, in this process; yields the API's address, such as http://127.0.0.1:8420.

    At the end the API finishes the requests that it has and the scheduler lets go of its runs. Applications that run
    go on, and the next scheduler takes them up again. Raises InputError for settings that are not safe,
    UnavailableError if the port is taken.
    """
    check_exposure(settings)
    with ExitStack() as stack:
        database = open_database(settings)
        stack.callback(database.dispose)
        listener = stack.enter_context(closing(_listen(settings)))
        endpoint = _name_endpoint(settings, listener)
        threads: list[_Worker] = []
        api = make_api(settings, database, lambda: _tell_health(database, threads))
        if with_scheduler:
            threads.append(stack.enter_context(_run_scheduler(make_scheduler(settings, database, endpoint))))
        threads.append(stack.enter_context(_run_uvicorn(api, settings, listener)))
        stack.enter_context(_spare_collector())
        yield endpoint


def serve(settings: Settings, *, with_scheduler: bool, announce: Callable[[str], None]) -> None:
    """Run until SIGTERM or Ctrl-C; `announce` is told the address once the API answers."""
    configure_logging(settings.log_level)
    with _stop_on_signals() as stop, open_server(settings, with_scheduler=with_scheduler) as endpoint:
        announce(endpoint)
        stop.wait()
        logger.info("stopping")


def run_scheduler(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Run a scheduler alone, beside servers that run elsewhere, until SIGTERM or Ctrl-C."""
    configure_logging(settings.log_level)
    endpoint = settings.endpoint_url or f"http://{settings.host}:{settings.port}"
    with ExitStack() as stack:
        database = open_database(settings)
        stack.callback(database.dispose)
        stop = stack.enter_context(_stop_on_signals())
        stack.enter_context(_run_scheduler(make_scheduler(settings, database, endpoint)))
        announce(endpoint)
        stop.wait()


def migrate(settings: Settings) -> str:
    """Bring the store's schema to this version's and return its revision."""
    Path(settings.home).mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.store_url)
    try:
        return database.migrate()
    finally:
        database.dispose()


def check_exposure(settings: Settings) -> None:
    """Raise InputError if others than this machine could call without a key."""
    if not settings.is_loopback and settings.credentials is None:
        raise InputError(
            f"{settings.host} can be reached from other machines, and no access key is set. Set GLUE_ML_ACCESS_KEY_ID "
            "and GLUE_ML_SECRET_ACCESS_KEY, or listen on 127.0.0.1"
        )


def find_jobs_folder() -> Path:
    """The folder of the jobs' entry points: beside the package in a clone, else where they were installed."""
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    installed = (Path(sysconfig.get_path("data", scheme)) for scheme in schemes)
    places = [Path(__file__).parent.parent / "jobs", *(data / "share" / "glue_ml" / "jobs" for data in installed)]
    for folder in places:
        if (folder / "find_matches.py").is_file():
            return folder
    raise InputError("The jobs of glue-ml are not installed; install it again with: pip install 'glue-ml[server]'")


def configure_logging(level: str) -> None:
    """Log one JSON object a line to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("glue_ml").setLevel(level)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "members", {}),
        }
        if record.exc_info:
            members["traceback"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=False, default=str)


class _Worker(threading.Thread):
    """A thread of the server; health tells if one of them has ended."""


def _choose_operations(settings: Settings) -> tuple[Mapping[str, Operation], TableLookup]:
    own: dict[str, Operation] = {}
    for module in (transforms, task_runs, tags, jobs, job_runs):
        own |= module.OPERATIONS
    if settings.catalog == "aws":
        import boto3

        region = settings.catalog_region or os.environ.get("AWS_REGION") or settings.region
        client = boto3.client("glue", region_name=region)
        return {**own, **remote_catalog.make_remote_operations(client)}, remote_catalog.make_find_table(client)
    for module in (databases, tables, partitions):
        own |= module.OPERATIONS
    return own, tables.find_table


def _describe_account(settings: Settings) -> Account:
    return Account(
        storage_uri=settings.root_uri,
        account_id=settings.account_id,
        region=settings.region,
        limits=Limits(
            transforms=settings.max_transforms,
            runs_per_transform=settings.max_runs_per_transform,
            runs_per_account=settings.max_runs_per_account,
            label_file_mb=settings.max_label_file_mb,
        ),
        script_roots=settings.script_roots,
        local_files=settings.serves_files,
    )


def _describe_limits(settings: Settings) -> connections.Limits:
    return connections.Limits(body_bytes=settings.max_body_kb << 10, read_seconds=settings.read_timeout_seconds)


def _make_launcher(settings: Settings) -> LocalLauncher:
    cores = settings.local_cores or os.cpu_count() or 1
    memory = settings.local_memory_mb or int(_machine_memory_mb() * _MEMORY_SHARE) // settings.max_running
    folder, archive = Path(settings.home).absolute() / "launcher", find_archive(settings.class_archive)
    return LocalLauncher(folder, cores=cores, memory_mb=memory, archive=archive)


def _machine_memory_mb() -> int:
    import psutil

    return int(psutil.virtual_memory().total) >> 20


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only on a socket that says that it is TCP
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UnavailableError(
            f"Port {settings.port} of {settings.host} cannot be had: {error.strerror}. Name another with --port"
        ) from error
    return listener


def _name_endpoint(settings: Settings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _tell_health(database: Database, threads: list[_Worker]) -> Mapping[str, object]:
    ended = [thread.name for thread in threads if not thread.is_alive()]
    try:
        database.check_schema()
    except GlueMLError as error:
        return {"status": "failing", "version": __version__, "reason": str(error)}
    if ended:
        return {"status": "failing", "version": __version__, "reason": f"{', '.join(ended)} has ended"}
    return {"status": "ok", "version": __version__, "threads": [thread.name for thread in threads]}


@contextmanager
def _run_scheduler(scheduler: Scheduler) -> Iterator[_Worker]:
    stop = threading.Event()
    thread = _Worker(target=scheduler.run, args=(stop,), name="scheduler", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()
        scheduler.close()


@contextmanager
def _spare_collector() -> Iterator[None]:
    """Keep what was loaded at the start out of every later garbage collection.

    The API's model alone is 100,000 objects, and looking through them held requests up for 60 ms now and then.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _run_uvicorn(api: server.App, settings: Settings, listener: socket.socket) -> Iterator[_Worker]:
    config = uvicorn.Config(api, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=10,
                            **connections.uvicorn_settings(_describe_limits(settings)))  # fmt: skip
    running = uvicorn.Server(config)
    thread = _Worker(target=running.run, kwargs={"sockets": [listener]}, name="api", daemon=True)
    thread.start()
    try:
        _wait_until_started(running, thread)
        yield thread
    finally:
        running.should_exit = True
        thread.join()


def _wait_until_started(running: uvicorn.Server, thread: threading.Thread) -> None:
    for _ in range(_START_SECONDS * 100):
        if running.started:
            return
        if not thread.is_alive():
            break
        thread.join(0.01)
    raise UnavailableError("The API did not start; its log says why")


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
