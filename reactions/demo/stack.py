"""The whole system on one machine: two Valkeys, PostgreSQL, worker, Beat, Flower and a page."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from reactions.core.celery_app import make_app
from reactions.core.errors import StackError
from reactions.core.settings import Settings
from reactions.demo.addresses import Addresses
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import Process, stop_together
from reactions.demo.services import Beat, Flower, PageServer, Worker
from reactions.demo.signals import ignore_stop_signals
from reactions.demo.state_folder import FolderLock, remove
from reactions.postgres.migrate import migrate_spaces
from reactions.redis.server_options import BROKER_OPTIONS

STOP_S = 2.0
"""How long the processes, and after them the servers, may take to stop. Then they are killed.

Nothing is lost by that: a reaction stays pending until PostgreSQL has it.
"""

Say = Callable[[str], None]


def _quiet(_: str) -> None:
    """Report no progress."""


class Stack:
    """Starts the servers and processes in order, and stops them in the reverse order.

    Args:
        folder: the state folder. The servers find the data of an earlier stack there.
        settings: all settings but the addresses of the stores.
        concurrency: the number of worker processes.
        flower: whether to start Flower.
        page: whether to serve the live page.
        say: the stack reports each step to this function.
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
        self.metrics = self.folder / "metrics"
        self._addresses = kept = Addresses(self.folder)
        self.valkey = Valkey(self.folder, port=kept.port("valkey"))
        self.broker = Valkey(
            self.folder, "broker", options=BROKER_OPTIONS, port=kept.port("broker")
        )
        self.postgres = Postgres(self.folder)
        self.worker = Worker(self.folder, concurrency, self.metrics)
        self.beat = Beat(self.folder)
        self.flower = Flower(self.folder, kept.port("flower"), kept.password) if flower else None
        self.page: PageServer | None = None
        self._concurrency = concurrency
        self._with_page = page
        self._page_port = kept.port("page")
        self._base = settings or Settings.from_env()
        self._settings: Settings | None = None
        self._say = say
        self._lock = FolderLock(self.folder)

    @property
    def settings(self) -> Settings:
        """The settings with the addresses of this stack.

        Raises:
            StackError: the stack was not started.
        """
        if self._settings is None:
            raise StackError("the stack was not started")
        return self._settings

    @property
    def flower_url(self) -> str:
        """The URL of Flower, with its user and password.

        Raises:
            StackError: this stack has no Flower.
        """
        if self.flower is None:
            raise StackError("this stack has no Flower")
        return self.flower.url

    @property
    def page_url(self) -> str:
        """The URL of the live page. Only programs on this machine reach it."""
        return f"http://127.0.0.1:{self._page_port}/"

    def start(self) -> Self:
        """Start everything, migrate the database, and return when all of it answers.

        Raises:
            StackError: a part did not start, and the stack stopped again. Or another stack uses
                the folder, and nothing changed.
        """
        self._lock.acquire()
        try:
            self._start_servers()
            self._start_celery()
            if self._with_page:
                self.start_page()
            self._keep_addresses()
        except BaseException:
            self.stop()
            raise
        return self

    def _keep_addresses(self) -> None:
        ports = {"valkey": self.valkey.port, "broker": self.broker.port}
        if self.flower is not None:
            ports["flower"] = self.flower.port
        if self.page is not None:
            ports["page"] = self.page.port
        for line in self._addresses.keep(ports):
            self._say(line)

    def _start_servers(self) -> None:
        self._say(f"starting servers; data and logs in {self.folder}")
        self.valkey.start()
        self.broker.start()
        self.postgres.start()
        self._settings = self._base.model_copy(
            update={
                "redis_url": SecretStr(self.valkey.url),
                "broker_url": SecretStr(self.broker.url),
                # model_copy() does not validate, and the validator adds the driver to the URL.
                "database_url": Settings(database_url=self.postgres.url).database_url,
                "redis_cluster": False,
            }
        )
        self._say("migrating the database")
        migrate_spaces(self.settings)

    def _start_celery(self) -> None:
        self._say(f"starting worker ({self._concurrency} processes), beat, Flower and page")
        remove(self.metrics)  # the counts of processes that ended
        self.worker.start(self.settings)
        self.beat.start(self.settings)
        control = make_app(self.settings).control
        self.worker.wait_until(lambda: bool(control.ping(timeout=0.5)))
        if self.flower is not None:
            self.flower.serve(self.settings)

    def start_page(self) -> None:
        """Serve the live page, and return when it answers.

        Raises:
            StackError: it does not.
        """
        self.page = PageServer(self.folder, self._page_port, self.metrics, self.flower)
        self.page.serve(self.settings)
        self._page_port = self.page.port  # if the other one was taken

    def stop_page(self) -> None:
        """Stop the page, so that nobody reacts there any more."""
        if self.page is not None:
            self.page.stop()
            self.page = None

    def worker_stats(self) -> dict[str, Any]:
        """Return Celery's own statistics of the worker, or nothing if it does not answer."""
        try:
            found = make_app(self.settings).control.inspect(timeout=5).stats() or {}
        except Exception:  # noqa: BLE001 - figures only, and a transport raises any error
            return {}
        return next(iter(found.values()), {})

    def supervise(self) -> None:
        """Start a dead worker, Beat or page again. Beat ends by design when it loses its lock."""
        for service in (self.worker, self.beat, self.page):
            if service is not None and not service.alive():
                self._say(f"{service.name} ended; starting it again")
                service.start(self.settings)

    def check(self) -> None:
        """Check that the servers and Flower run.

        Raises:
            StackError: one died; the message quotes the end of its log.
        """
        for process in (self.valkey, self.broker, self.postgres, self.flower):
            if process is not None:
                process.check()

    def stop(self) -> None:
        """Stop everything, within `STOP_S` twice. Pending changes stay for the next start.

        It ignores the stop signals, which is safe because each of its waits has a limit.
        """
        servers = (self.valkey, self.broker)
        with ignore_stop_signals():
            services = self._running(self.page, self.flower, self.beat, self.worker)
            names = [process.name for process in (*services, *self._running(*servers))]
            names += ["postgresql"] if self.postgres.alive() else []
            if names:
                with suppress(OSError):  # the terminal may be gone
                    waiting = ", ".join(names)
                    self._say(f"stopping: waiting for {waiting}; at most {2 * STOP_S:g} s")
            stop_together(services, STOP_S)
            deadline = time.monotonic() + STOP_S
            stop_together(self._running(*servers), STOP_S / 2)
            self.postgres.stop(max(0.0, deadline - time.monotonic() - 1))
            self._lock.release()

    def _running(self, *processes: Process | None) -> list[Process]:
        return [process for process in processes if process is not None and process.alive()]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
