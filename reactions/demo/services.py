"""The Python processes of a stack: the Celery worker, Beat, Flower and the page."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import URLError

from reactions.core.errors import StackError
from reactions.core.settings import Settings
from reactions.demo.addresses import start_on_free_port
from reactions.demo.process import START_S, Process, free_port

TASKS_COLUMNS = "name,state,kwargs,received,started,runtime,retries,worker"
"""The columns of Flower's task table. There is none for results: the tasks return nothing."""

CELERY = ("celery", "-A", "reactions.tasks")


class Service(Process):
    """A Python module that runs with the settings of a stack in its environment."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str], *command: str) -> None:
        super().__init__(name, folder / f"{name}.log")
        self._command = [sys.executable, "-m", *command]
        self._env = env

    def start(self, settings: Settings) -> None:
        """Launch the module and return at once."""
        self.launch(self._command, env={**os.environ, **settings.environment(), **self._env})

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()` is true.

        Raises:
            StackError: the process died, or was not ready within `START_S`.
        """
        deadline = time.monotonic() + START_S
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} does not answer; see {self.log}")
            time.sleep(0.1)


class Worker(Service):
    """A Celery worker for both queues."""

    def __init__(self, folder: Path, concurrency: int, metrics: Path) -> None:
        super().__init__(
            "worker",
            folder,
            {"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
            *CELERY,
            "worker",
            f"--concurrency={concurrency}",
            "--queues=persistence,maintenance",
            "--hostname=reactions@%h",
            "--loglevel=INFO",
            "--without-gossip",
            "--without-mingle",
        )
        self._pid_file = folder / "worker.pid"

    def start(self, settings: Settings) -> None:
        """Launch the worker; write its process id for the page, which kills its children."""
        super().start(settings)
        self._pid_file.write_text(str(self.pid))


class Beat(Service):
    """Celery Beat."""

    def __init__(self, folder: Path) -> None:
        super().__init__("beat", folder, {}, *CELERY, "beat", "--loglevel=INFO")


class WebService(Service):
    """A service that answers HTTP on a port of the loopback interface.

    Args:
        port: where to listen, if it is free.
        health: the path that answers with success once the service is ready.
    """

    def __init__(
        self, name: str, folder: Path, env: Mapping[str, str], port: int, health: str
    ) -> None:
        super().__init__(name, folder, env)
        self.port = port
        self._health = health

    def command(self) -> list[str]:
        """The module and its arguments, for the present port."""
        raise NotImplementedError

    def start(self, settings: Settings) -> None:
        """Launch the service on its port and return at once."""
        self._command = [sys.executable, "-m", *self.command()]
        super().start(settings)

    def serve(self, settings: Settings) -> None:
        """Start and wait until it answers. If its port is taken, choose another one.

        Raises:
            StackError: it died, or did not answer within `START_S`.
        """

        def start() -> None:
            self.start(settings)
            self.wait_until(self.answers)

        start_on_free_port(start, self._move)

    def _move(self) -> None:
        self.port = free_port()

    def answers(self) -> bool:
        """Whether this process answers its health check: another one may have its port."""
        healthy = _answers(f"http://127.0.0.1:{self.port}{self._health}")
        return healthy and self.listens(self.port)


class Flower(WebService):
    """Flower on the loopback interface, behind a password."""

    def __init__(self, folder: Path, port: int, password: str) -> None:
        self._login = f"reactions:{password}"
        # As an argument, `ps` would show it to every local user.
        env = {"FLOWER_BASIC_AUTH": self._login}
        super().__init__("flower", folder, env, port, "/healthcheck")

    @property
    def url(self) -> str:
        """The URL with user and password."""
        return f"http://{self._login}@127.0.0.1:{self.port}/"

    def command(self) -> list[str]:
        """The arguments of Flower."""
        return [
            *CELERY,
            "flower",
            f"--port={self.port}",
            "--address=127.0.0.1",
            f"--tasks-columns={TASKS_COLUMNS}",
        ]


class PageServer(WebService):
    """The live page, on the loopback interface. It links to Flower."""

    def __init__(self, folder: Path, port: int, metrics: Path, flower: Flower | None) -> None:
        self._folder = folder
        self._flower = flower
        env = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        super().__init__("page", folder, env, port, "/readyz")

    def command(self) -> list[str]:
        """The arguments of the page."""
        # Every local user may read the page, so it does not learn the password.
        flower = [f"http://127.0.0.1:{self._flower.port}/"] if self._flower else []
        return ["reactions.web.page", str(self.port), str(self._folder), *flower]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - our own http address
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False
