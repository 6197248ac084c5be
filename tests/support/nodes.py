"""Local processes with the interface of Docker containers, for the fixtures of pytest-celery.

The plugin's classes wrap a Docker container. Here they wrap a ``LocalContainer``, which is a local
process, and still do the rest: wait for a log line, kill, restart.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import celery
from pytest_celery import CeleryWorkerContainer, RedisContainer
from pytest_celery.vendors.worker.content import utils as worker_utils

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.demo.process import Process
from reactions.redis.server_options import BROKER_OPTIONS
from tests.support.waiting import wait_until


class CeleryProcess(Process):
    """``celery -A reactions.tasks ...``. It is ready when it has logged ``prompt``."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], env: Mapping[str, str], prompt: str
    ) -> None:
        super().__init__(name, folder / f"{name}.log")
        self._command = list(command)
        self._env = {**os.environ, **env}
        self._prompt = prompt
        self._started_at = 0

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        self.launch(self._command, self._env)
        wait_until(self._ready, 30, f"{self.name} is ready; see {self.log}")

    def output(self) -> str:
        """Return what the process has logged since its last start."""
        return self.log.read_bytes()[self._started_at :].decode(errors="replace")

    def _ready(self) -> bool:
        self.check()
        return self._prompt in self.output()


class Ran(NamedTuple):
    """The reply of ``exec_run``, as Docker returns it."""

    exit_code: int
    output: bytes


class LocalContainer:
    """A process with the part of Docker's ``Container`` that the plugin uses."""

    def __init__(
        self,
        process: Valkey | CeleryProcess,
        *,
        port: int | None = None,
        identity: str | None = None,
    ) -> None:
        self.id = identity or secrets.token_hex(32)
        self.name = process.name
        published = {} if port is None else {f"{port}/tcp": [{"HostPort": str(port)}]}
        self.attrs: dict[str, Any] = {
            "Config": {"Hostname": "127.0.0.1", "Env": []},
            "NetworkSettings": {"Networks": {}, "Ports": published},
        }
        self._process = process

    @property
    def status(self) -> str:
        return "running" if self._process.alive() else "exited"

    def reload(self) -> None:
        """Do nothing. Docker refreshes a snapshot here; this class has none."""

    def start(self) -> None:
        self._process.start()

    def kill(self, number: str | int | None = None) -> None:
        """Send a signal. SIGKILL ends all processes, as it does with a container."""
        number = "SIGKILL" if number is None else number
        wanted = signal.Signals[number] if isinstance(number, str) else signal.Signals(number)
        if wanted is signal.SIGKILL:
            self._process.kill()
        else:
            self._process.signal(wanted)

    def restart(self, timeout: float = 10) -> None:
        self._process.stop(timeout)
        self._process.start()

    def remove(self, *, force: bool = False) -> None:
        """Remove the process. As with Docker, only ``force`` removes a running one."""
        assert force or self.status == "exited", f"{self.name} is running"
        self._process.kill()

    def logs(self) -> bytes:
        return self._process.log.read_bytes()

    def exec_run(self, command: str | Sequence[str]) -> Ran:
        """Run a command locally, with the Python of the tests and the plugin's helper module."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ran = subprocess.run(
            shlex.split(command) if isinstance(command, str) else list(command),
            env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(worker_utils.__file__).parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout)


# The plugin has no annotations, so its classes are Any to mypy.


class LocalRedis(RedisContainer):  # type: ignore[misc]
    """The broker: a Valkey with the options of the project's broker."""

    @classmethod
    def container(cls, folder: Path) -> LocalContainer:
        server = Valkey(folder, "broker", options=BROKER_OPTIONS)
        return LocalContainer(server, port=server.port)

    @property
    def port(self) -> int:
        """Return the local port. The plugin's class returns the published port 6379."""
        return int(self.ports.values()[0][0])

    @property
    def host_url(self) -> str:
        return f"{self.prefix()}{self.hostname}:{self.port}/{self.vhost}"

    @property
    def url(self) -> str:
        """Return the same URL: there is no Docker network."""
        return self.host_url


class LocalWorker(CeleryWorkerContainer):  # type: ignore[misc]
    """The project's worker, as ``reactions.demo.services`` starts it."""

    @classmethod
    def container(
        cls, folder: Path, command: Sequence[str], env: Mapping[str, str]
    ) -> LocalContainer:
        identity = secrets.token_hex(32)
        # Docker's host name is the first twelve digits of the id; the plugin expects this.
        command = [*command, f"--hostname={cls.worker_name()}@{identity[:12]}"]
        process = CeleryProcess("worker", folder, command, env, "ready.")
        return LocalContainer(process, identity=identity)

    @classmethod
    def command(cls, *args: str, **_: Any) -> list[str]:
        return [
            *celery_command("worker"),
            f"--loglevel={cls.log_level()}",
            f"--queues={cls.worker_queue()}",
            "--concurrency=2",
            "--without-gossip",
            "--without-mingle",
            *args,
        ]

    @classmethod
    def version(cls) -> str:
        return str(celery.__version__)

    @classmethod
    def worker_name(cls) -> str:
        return "reactions"

    @classmethod
    def worker_queue(cls) -> str:
        return "persistence,maintenance"


class Beat(CeleryProcess):
    """The project's Beat. A second Beat that is ready still waits for the lock."""

    def __init__(self, name: str, folder: Path, settings: Settings) -> None:
        command = [*celery_command("beat"), "--loglevel=INFO"]
        super().__init__(name, folder, command, settings.environment(), "beat: Starting...")

    def leads(self) -> bool:
        return "beat: Acquired lock" in self.output()

    def sweeps(self) -> int:
        """Return how many sweeps it has sent."""
        return self.output().count("Sending due task sweep")


def celery_command(command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "reactions.tasks", command]


@contextmanager
def running(container: LocalContainer) -> Iterator[LocalContainer]:
    """Run a container, and remove it at the end."""
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True)
