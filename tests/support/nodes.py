"""Local processes behind the interface of docker containers, for pytest-celery's stock fixtures.

The plugin's classes wrap one of docker's containers; here they wrap a ``LocalContainer``, which is
a process of this machine. What they do with it (wait for a log, kill, restart) stays theirs.
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
    """``celery -A reactions.tasks ...`` with these settings; ready when it has logged a prompt."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], env: Mapping[str, str], prompt: str
    ) -> None:
        super().__init__(name, folder / f"{name}.log")
        self._command = list(command)
        self._env = {**os.environ, **env}
        self._prompt = prompt
        self._started_at = 0

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        self.launch(self._command, self._env)
        wait_until(self._ready, 30, f"{self.name} is ready; see {self.log}")

    def output(self) -> str:
        """What it has logged since it was last started."""
        return self.log.read_bytes()[self._started_at :].decode(errors="replace")

    def _ready(self) -> bool:
        self.check()
        return self._prompt in self.output()


class Ran(NamedTuple):
    """The reply of ``exec_run``, as docker's."""

    exit_code: int
    output: bytes


class LocalContainer:
    """What the plugin uses of docker's ``Container``, from a process."""

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
        """Docker refreshes a snapshot here; ours is always fresh."""

    def start(self) -> None:
        self._process.start()

    def kill(self, number: str | int | None = None) -> None:
        """A container dies whole with its first process, so does this; other signals go to it."""
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
        """As docker's: a running one only by force."""
        assert force or self.status == "exited", f"{self.name} is running"
        self._process.kill()

    def logs(self) -> bytes:
        return self._process.log.read_bytes()

    def exec_run(self, command: str | Sequence[str]) -> Ran:
        """On this machine, with the Python of the tests and the plugin's helper module."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ran = subprocess.run(
            shlex.split(command) if isinstance(command, str) else list(command),
            env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(worker_utils.__file__).parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout)


# The plugin publishes no types, so its classes are Any to mypy.


class LocalRedis(RedisContainer):  # type: ignore[misc]
    """The broker: a Valkey with the options that the project gives its broker."""

    @classmethod
    def container(cls, folder: Path) -> LocalContainer:
        server = Valkey(folder, "broker", options=BROKER_OPTIONS)
        return LocalContainer(server, port=server.port)

    @property
    def port(self) -> int:
        """The stock class asks where port 6379 of the container is published."""
        return int(self.ports.values()[0][0])

    @property
    def host_url(self) -> str:
        return f"{self.prefix()}{self.hostname}:{self.port}/{self.vhost}"

    @property
    def url(self) -> str:
        """The same from inside: there is no network of docker's."""
        return self.host_url


class LocalWorker(CeleryWorkerContainer):  # type: ignore[misc]
    """The project's worker, as ``reactions.stack`` starts it."""

    @classmethod
    def container(
        cls, folder: Path, command: Sequence[str], env: Mapping[str, str]
    ) -> LocalContainer:
        identity = secrets.token_hex(32)
        # Docker's host name is twelve digits of the id, and the stock node expects it so.
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
    """The project's beat. Ready is not yet leader: a second one waits for the lock."""

    def __init__(self, name: str, folder: Path, settings: Settings) -> None:
        command = [*celery_command("beat"), "--loglevel=INFO"]
        super().__init__(name, folder, command, settings.environment(), "beat: Starting...")

    def leads(self) -> bool:
        return "beat: Acquired lock" in self.output()

    def sweeps(self) -> int:
        """How many it has sent."""
        return self.output().count("Sending due task sweep")


def celery_command(command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "reactions.tasks", command]


@contextmanager
def running(container: LocalContainer) -> Iterator[LocalContainer]:
    """Started, and removed whatever happens."""
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True)
