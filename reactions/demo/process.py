"""A child process with a log file, and free TCP ports for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from reactions.core.errors import StackError

START_S = 20.0
"""How long a server may take until it answers."""


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_end(log: Path) -> str:
    """Return the last 2,000 characters of a log, or nothing if there is no log."""
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""


class PortTaken(StackError):
    """A server ended because another process listens on its port."""


class Process:
    """A child process that appends its output to a log."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._log_began = 0  # where the output of this launch begins
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            StackError: the process was never launched.
        """
        if self._process is None:
            raise StackError(f"{self.name} was not started")
        return self._process.pid

    def launch(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        """Start the process and return at once.

        Args:
            env: the whole environment; None passes on the environment of this process.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_began = log.tell()
            self._process = subprocess.Popen(
                command,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the child
            )

    def alive(self) -> bool:
        """Whether the process runs now."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Check that the process runs.

        Raises:
            PortTaken: it ended because another process listens on its port.
            StackError: it does not; the message quotes the end of the log.
        """
        if not self.alive():
            said = self.log.read_bytes()[self._log_began :] if self.log.exists() else b""
            kind = PortTaken if b"address already in use" in said.lower() else StackError
            raise kind(f"{self.name} is not running; the end of {self.log}:\n{log_end(self.log)}")

    def listens(self, port: int) -> bool:
        """Whether this process itself listens on a TCP port: another one may answer there."""
        import psutil  # a dependency of PostgreSQL's wheel

        try:
            found = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:  # it ended
            return False
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in found)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, but not to its children."""
        if self._process is not None and self.alive():
            self._process.send_signal(number)

    def stop(self, patience_s: float = 15.0) -> None:
        """Send SIGTERM; after `patience_s` seconds, kill the process and its children."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the process and to all its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def stop_together(processes: Sequence[Process], patience_s: float) -> None:
    """Send SIGTERM to all; after `patience_s` seconds in all, kill those that still run."""
    deadline = time.monotonic() + patience_s
    for process in processes:
        process.signal(signal.SIGTERM)
    for process in processes:
        process.stop(patience_s=max(0.0, deadline - time.monotonic()))
