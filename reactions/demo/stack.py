"""The whole system on one machine: two Valkeys, PostgreSQL, worker, beat, Flower and a page."""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError

from pydantic import SecretStr

from reactions.core.celery_app import make_app
from reactions.core.errors import StackError
from reactions.core.settings import Settings
from reactions.demo.embedded import (
    START_S,
    Postgres,
    Process,
    Valkey,
    free_port,
    remove,
    undisturbed,
)
from reactions.postgres.migrate import migrate
from reactions.redis.server_options import BROKER_OPTIONS

Say = Callable[[str], None]

TASKS_COLUMNS = "name,state,kwargs,received,started,runtime,retries,worker"
"""What Flower shows of a task: no results, as there are none."""


def _quiet(_: str) -> None:
    """No progress wanted."""


class Stack:
    """Starts everything in order, hands out its settings, and stops it in the reverse order.

    Args:
        folder: the state folder; data found there is picked up again.
        settings: everything but the addresses is taken from here.
        concurrency: worker processes.
        page: serve the live page, on the loopback.
        say: told about each step.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        *,
        concurrency: int = 2,
        flower: bool = True,
        page: bool = False,
        say: Say = _quiet,
    ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._base = settings or Settings.from_env()
        self._concurrency = concurrency
        self._say = say
        self.valkey = Valkey(self.folder)
        self.broker = Valkey(self.folder, "broker", options=BROKER_OPTIONS)
        self.postgres = Postgres(self.folder)
        self.worker = Process("worker", self.folder / "worker.log")
        self.beat = Process("beat", self.folder / "beat.log")
        self.flower = Process("flower", self.folder / "flower.log") if flower else None
        self.page: Process | None = None
        self._with_page = page
        self._page_port = free_port()
        self._flower_port = free_port()
        self._flower_password = secrets.token_urlsafe(12)
        self._settings: Settings | None = None
        self.metrics = self.folder / "metrics"
        self._lock: int | None = None

    @property
    def settings(self) -> Settings:
        """Settings with the addresses of this stack."""
        if self._settings is None:
            raise StackError("the stack was not started")
        return self._settings

    @property
    def flower_url(self) -> str:
        """With its user and password: Flower is not open to everyone."""
        return f"http://reactions:{self._flower_password}@127.0.0.1:{self._flower_port}/"

    @property
    def page_url(self) -> str:
        """Of the live page; only programs on this machine reach it."""
        return f"http://127.0.0.1:{self._page_port}/"

    def start(self) -> Self:
        """Servers, migration, worker, beat, Flower, page; returns when all of them answer.

        Raises:
            StackError: something did not come up; what had started is stopped again. Or another
                stack is at work in the folder, and nothing was touched.
        """
        self._take_folder()
        try:
            self._start_servers()
            self._start_processes()
            self._start_flower()
            if self._with_page:
                self.start_page()
        except BaseException:
            self.stop()
            raise
        return self

    def _take_folder(self) -> None:
        """Two on one folder would spoil each other's files. The kernel frees that of the dead."""
        lock = os.open(self.folder / "stack.pid", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(lock, 20).decode()
            os.close(lock)
            raise StackError(
                f"another stack is at work in {self.folder} (pid {pid}); "
                "stop it, or choose another --state-dir"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._lock = lock

    def _start_servers(self) -> None:
        self._say(f"starting servers; data and logs in {self.folder}")
        self.valkey.start()
        self.broker.start()
        self.postgres.start()
        self._settings = self._base.model_copy(
            update={
                "redis_url": SecretStr(self.valkey.url),
                "broker_url": SecretStr(self.broker.url),
                # Through the validator, which names the driver.
                "database_url": Settings(database_url=self.postgres.url).database_url,
                "redis_cluster": False,
            }
        )
        self._say("migrating the database")
        migrate(self.settings)

    def _start_processes(self) -> None:
        self._say(f"starting worker ({self._concurrency} processes), beat, Flower and page")
        remove(self.metrics)  # counts of processes that are gone
        self._launch_worker()
        self._launch_beat()
        control = make_app(self.settings).control
        self._wait(self.worker, lambda: bool(control.ping(timeout=0.5)))

    def _launch_worker(self) -> None:
        self._celery(
            self.worker,
            "worker",
            f"--concurrency={self._concurrency}",
            "--queues=persistence,maintenance",
            "--hostname=reactions@%h",
            "--loglevel=INFO",
            "--without-gossip",
            "--without-mingle",
            env={"PROMETHEUS_MULTIPROC_DIR": str(self.metrics)},
        )
        (self.folder / "worker.pid").write_text(str(self.worker.pid))  # the page kills its children

    def _launch_beat(self) -> None:
        self._celery(self.beat, "beat", "--loglevel=INFO")

    def _start_flower(self) -> None:
        if self.flower is None:
            return
        self._celery(
            self.flower,
            "flower",
            f"--port={self._flower_port}",
            "--address=127.0.0.1",
            f"--tasks-columns={TASKS_COLUMNS}",
            # As an argument, `ps` would show it to everyone on this machine.
            env={"FLOWER_BASIC_AUTH": f"reactions:{self._flower_password}"},
        )
        self._wait(
            self.flower, lambda: _answers(f"http://127.0.0.1:{self._flower_port}/healthcheck")
        )

    def start_page(self) -> None:
        """Serve the live page; returns when it answers."""
        self.page = Process("page", self.folder / "page.log")
        self._launch_page()
        self._wait(self.page, lambda: _answers(f"{self.page_url}readyz"))

    def _launch_page(self) -> None:
        if self.page is not None:
            self._launch(
                self.page,
                "reactions.web.page",
                str(self._page_port),
                str(self.folder),
                env={"PROMETHEUS_MULTIPROC_DIR": str(self.metrics)},
            )

    def stop_page(self) -> None:
        """Stop the page: nobody reacts there any more."""
        if self.page is not None:
            self.page.stop()
            self.page = None

    def worker_stats(self) -> dict[str, Any]:
        """Celery's own statistics of the worker; empty when it does not answer."""
        try:
            found = make_app(self.settings).control.inspect(timeout=5).stats() or {}
        except Exception:  # noqa: BLE001 - figures only, and a transport raises what it likes
            return {}
        return next(iter(found.values()), {})

    def supervise(self) -> None:
        """Start a dead worker, beat or page again; beat ends by design when it loses its lock."""
        for process, launch in (
            (self.worker, self._launch_worker),
            (self.beat, self._launch_beat),
            (self.page, self._launch_page),
        ):
            if process is not None and not process.alive():
                self._say(f"{process.name} ended; starting it again")
                launch()

    def check(self) -> None:
        """Raise StackError, with the end of its log, when a server or Flower has died."""
        for process in (self.valkey, self.broker, self.postgres, self.flower):
            if process is not None:
                process.check()

    def stop(self) -> None:
        """Stop everything; what is pending stays in Valkey's file for the next start.

        Signals do not interrupt it: every wait in it has an end.
        """
        with undisturbed():
            for process in (self.page, self.flower, self.beat, self.worker):
                if process is not None:
                    process.stop(patience_s=40)
            self.valkey.stop()
            self.broker.stop()
            self.postgres.stop()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _celery(
        self, process: Process, command: str, *options: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._launch(process, "celery", "-A", "reactions.tasks", command, *options, env=env)

    def _launch(
        self, process: Process, module: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> None:
        process.launch(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **self.settings.environment(), **(env or {})},
        )

    def _wait(self, process: Process, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            process.check()
            if time.monotonic() > deadline:
                raise StackError(f"{process.name} does not answer; see {process.log}")
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - our own http address
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False
