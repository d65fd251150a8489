"""Runs applications on this machine: spark-submit in a session of its own, watched by a supervisor."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from glue_ml.class_archive import find_spark, start_making
from glue_ml.domain.capacity import clamp_to_machine
from glue_ml.domain.task_run import ApplicationState, Observation
from glue_ml.errors import InputError, UnavailableError
from glue_ml.launchers.launcher import Application
from glue_ml.launchers.spark_options import render_local
from glue_ml.launchers.supervisor import EXIT, MODULE, PROCESS, TASK
from glue_ml.session import JAR_CACHE, recall_jars

MARK = "GLUE_ML_APPLICATION"  #: In the environment of every process of an application: its folder.
LOG = "spark.log"

_LOCAL = re.compile(r"(?:file:(?://(?:localhost)?)?)?(/.*)", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_PACKAGE = Path(__file__).parent.parent
_TAIL_BYTES = 4096
_LONGEST_LINE = 500
_KILL_ROUNDS = 10
_MOMENT = 0.001

logger = logging.getLogger(__name__)

Command = Callable[[Application], list[str]]


class LocalLauncher:
    """A launcher for one machine. `folder` holds what it knows, so that another process can take over.

    An application gets the cores and the memory that its capacity asks for, at most `cores` and `memory_mb`; the log
    says what was cut. `command` makes the command line, spark-submit's by default. `archive` is where the classes of
    Spark's JVM are kept, see `class_archive`; it is made when the first application has succeeded.
    """

    def __init__(
        self, folder: Path, *, cores: int, memory_mb: int, command: Command | None = None, archive: Path | None = None
    ) -> None:
        self._folder = folder.resolve()  # processes are known by it, so by whatever name it is opened again
        self._jar_cache = self._folder / "jars.json"
        self._cores = cores
        self._memory_mb = memory_mb
        self._command = command or self._submit_command
        self._archive = archive
        self._maker: threading.Thread | None = None
        self._supervisors: dict[str, int] = {}  # process numbers of those that are this process's children

    def submit(self, application: Application) -> str:
        """Start an application, unless one of its token was started before; the handle is the token.

        Raises InputError if Spark is not installed, UnavailableError if a file cannot be written or no process started.
        """
        place = self._locate(application.token)
        if not (place / PROCESS).exists():
            try:
                self._prepare(application, place)
            except OSError as error:
                raise UnavailableError(f"{error.filename} cannot be written: {error.strerror}") from error
            self._supervisors[application.token] = pid = self._supervise(application, place)
            _await_name(pid)
        return application.token

    def find(self, token: str) -> str | None:
        """The token, if an application of it was started."""
        return token if (self._locate(token) / PROCESS).exists() else None

    def poll(self, handle: str) -> Observation:
        """RUNNING while its supervisor lives, then how it ended; GONE if nothing tells.

        What a supervisor left that died before its application is ended first: another attempt may follow at once.
        """
        place = self._locate(handle)
        alive = self._is_child(handle) or _find_supervisor(place) is not None
        ended = _read(place / EXIT)  # after the look at the supervisor, whose last deed it is
        if ended is not None:
            if ended["code"] == 0:
                self._make_archive()
            return _tell_end(place, ended["code"])
        if alive:
            return Observation(ApplicationState.RUNNING)
        _kill(place)
        return Observation(ApplicationState.GONE, "its processes are gone")

    def cancel(self, handle: str, *, force: bool) -> None:
        """Ask the application's driver to end; with `force` kill every process of it, its supervisor too."""
        place = self._locate(handle)
        if force:
            _kill(place)
            return
        script = (_read(place / TASK) or {}).get("script")
        supervisor = _find_supervisor(place)
        others = [process for process in _find_processes(place, supervisor) if process != supervisor]
        # a signal to the JVM would cut its driver off, which then could not say that it was stopped
        drivers = [process for process in others if script is not None and _runs_script(process, script)]
        unstarted = [supervisor] if supervisor is not None and not (place / PROCESS).exists() else []
        for process in drivers or others or unstarted:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)

    def _make_archive(self) -> None:
        """Make the archive of classes, once: Spark has just been seen to work here."""
        if self._archive is not None and self._maker is None and not self._archive.exists():
            self._maker = start_making(self._archive)

    def _locate(self, token: str) -> Path:
        if not _TOKEN.fullmatch(token):
            raise InputError(f"{token!r} cannot be the token of an application")
        return self._folder / token

    def _prepare(self, application: Application, place: Path) -> None:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        local = _find_local(application.run_directory)
        log = (place if local is None else local) / LOG
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        task = {
            "command": self._command(application),
            "script": application.script,
            "log": str(log),
            "upload": f"{application.run_directory}/{LOG}" if local is None else None,
        }
        draft = place / f".{TASK}.{os.getpid()}"
        draft.write_text(json.dumps(task), encoding="utf-8")
        draft.replace(place / TASK)

    def _supervise(self, application: Application, place: Path) -> int:
        nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        # -P: the folder that the server was started in may be anybody's, and is no place to find modules in
        command = [sys.executable, "-P", "-m", MODULE, str(place)]
        environment = self._make_environment(application)
        try:
            return os.posix_spawn(sys.executable, command, environment, file_actions=nowhere, setsid=True)
        except OSError as error:
            raise UnavailableError(f"No process can be started: {error.strerror}") from error

    def _is_child(self, token: str) -> bool:
        """Whether the supervisor is a child of this process that has not ended; the system may forget one that has."""
        pid = self._supervisors.get(token)
        if pid is None:
            return False
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                return True
        del self._supervisors[token]
        return False

    def _make_environment(self, application: Application) -> dict[str, str]:
        """This process's environment without its secrets, and what the application is to find in its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GLUE_ML_") and k != "SPARK_HOME"}
        interpreter = Path(sys.executable)
        spark = find_spark()
        # what of Spark looks for itself does so by the `python3` on the path
        paths = [str(interpreter.parent), *filter(None, [kept.get("PATH")])]
        inherited = filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))
        modules = [_PACKAGE.parent, _PACKAGE / "script_path", *(Path(folder).absolute() for folder in inherited)]
        return {
            **kept,
            **({} if spark is None else {"SPARK_HOME": str(spark)}),  # else spark-submit starts Python to find it
            "PATH": os.pathsep.join(paths),
            "PYTHONPATH": os.pathsep.join(map(str, modules)),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            JAR_CACHE: str(self._jar_cache),
            **application.environment,
            MARK: str(self._locate(application.token)),
        }

    def _submit_command(self, application: Application) -> list[str]:
        spark = find_spark()
        if spark is None:
            raise InputError("PySpark is not installed; install it with: pip install 'pyspark>=4.1,<4.2'")
        resources, cut = clamp_to_machine(application.resources, cores=self._cores, memory_mb=self._memory_mb)
        for sentence in cut:
            logger.info("%s: %s", application.token, sentence)
        submit = str(spark / "bin" / "spark-submit")
        return [submit, *render_local(self._replace_packages(application), resources, archive=self._archive)]

    def _replace_packages(self, application: Application) -> Application:
        """The application with the files of its packages, where an earlier one has resolved them."""
        conf = dict(application.conf)
        jars = recall_jars(conf.get("spark.jars.packages", "").split(","), str(self._jar_cache))
        if not jars:
            return application
        del conf["spark.jars.packages"]
        others = filter(None, [conf.get("spark.jars")])
        return replace(application, conf={**conf, "spark.jars": ",".join([*others, *jars])})


def _find_local(uri: str) -> Path | None:
    """The folder that a URI names on this machine; None if it is elsewhere."""
    found = _LOCAL.fullmatch(uri)
    if found is not None:
        return Path(found[1])
    return None if "://" in uri else Path(uri).absolute()


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        members: Mapping[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # a machine that lost its power may leave a file without its content
        return None
    return members


def _tell_end(place: Path, code: int) -> Observation:
    if code == 0:
        return Observation(ApplicationState.SUCCEEDED)
    names = {number.value: number.name for number in signal.Signals}  # real-time signals have none
    ended = f"exit code {code}" if code >= 0 else f"ended by {names.get(-code, f'signal {-code}')}"
    task = _read(place / TASK)
    line = None if task is None else _read_last_line(Path(task["log"]))
    return Observation(ApplicationState.FAILED, ended if line is None else f"{ended}, its log ends: {line}")


def _read_last_line(log: Path) -> str | None:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:_LONGEST_LINE] if lines else None
    return None


def _find_supervisor(place: Path) -> psutil.Process | None:
    """The living supervisor, be it that it has not yet written down that it is."""
    told = _read(place / PROCESS)
    if told is None:
        return next((process for process in psutil.process_iter() if _supervises(process, place)), None)
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(told["pid"])
        return process if _supervises(process, place) else None
    return None


def _await_name(pid: int) -> None:
    """Return when a new process has its command line, by which others know it: a moment after it has its number."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while not process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_MOMENT)


def _supervises(process: psutil.Process, place: Path) -> bool:
    """Whether this is the supervisor, and not a later process of its number.

    Its command line tells. Start times do not: they move when the clock of the machine is set.
    """
    with suppress(psutil.Error):
        command = process.cmdline()  # empty for one that has ended
        return command[-2:] == [MODULE, str(place)]
    return False


def _find_processes(place: Path, supervisor: psutil.Process | None) -> Iterator[psutil.Process]:
    """Every process of an application: those of its supervisor's session, and those that carry its mark elsewhere.

    The number of a session whose supervisor has ended may be another's by now.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            in_session = supervisor is not None and os.getsid(process.pid) == supervisor.pid
            if in_session or process.environ().get(MARK) == str(place):
                yield process


def _kill(place: Path) -> None:
    """Kill until none is left: one may start another while it is being looked for."""
    supervisor = _find_supervisor(place)
    for _ in range(_KILL_ROUNDS):
        found = False
        for process in _find_processes(place, supervisor):
            with suppress(psutil.NoSuchProcess):
                found = process.status() != psutil.STATUS_ZOMBIE or found
                process.kill()
        if not found:
            return


def _runs_script(process: psutil.Process, script: str) -> bool:
    """Whether a process is the Python that runs the script, rather than the JVM that started it."""
    with suppress(psutil.Error):
        command = process.cmdline()
        return bool(command) and Path(command[0]).name.startswith("python") and script in command[1:3]
    return False
