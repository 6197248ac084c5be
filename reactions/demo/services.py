"""The Python processes of a stack: the Celery worker, Beat, Flower and the page."""

from __future__ import annotations

import os
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import URLError

from reactions.core.errors import StackError
from reactions.core.settings import Settings
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


class Flower(Service):
    """Flower on a free port of the loopback interface, behind a random password."""

    def __init__(self, folder: Path) -> None:
        port, login = free_port(), f"reactions:{secrets.token_urlsafe(12)}"
        super().__init__(
            "flower",
            folder,
            {"FLOWER_BASIC_AUTH": login},  # as an argument, `ps` would show it to every local user
            *CELERY,
            "flower",
            f"--port={port}",
            "--address=127.0.0.1",
            f"--tasks-columns={TASKS_COLUMNS}",
        )
        self.url = f"http://{login}@127.0.0.1:{port}/"
        self._health_url = f"http://127.0.0.1:{port}/healthcheck"

    def answers(self) -> bool:
        """Whether Flower answers its health check."""
        return _answers(self._health_url)


class PageServer(Service):
    """The live page, on the loopback interface."""

    def __init__(self, folder: Path, port: int, metrics: Path) -> None:
        super().__init__(
            "page",
            folder,
            {"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
            "reactions.web.page",
            str(port),
            str(folder),
        )
        self._ready_url = f"http://127.0.0.1:{port}/readyz"

    def answers(self) -> bool:
        """Whether the page serves and reaches Redis."""
        return _answers(self._ready_url)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - our own http address
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False
