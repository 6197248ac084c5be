"""The system under test, as processes: two servers of Redis, PostgreSQL, workers, beats, writers.

Workers reach every store through a link of their own, so that each can be cut off alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg2
from redis import Redis

from chaos import small, traps
from chaos.proxy import Connect, Link, Network
from reactions.core.constants import shard_of
from reactions.core.errors import ReactionsUnavailable, StackError
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import Process
from reactions.postgres.migrate import migrate
from reactions.redis import keys
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState
from reactions.redis.server_options import BROKER_OPTIONS, VALKEY_OPTIONS

ROOT = Path(__file__).parents[1]

WORKERS, BEATS, WRITERS = 2, 2, 3

START_S = 60.0

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""Debian's libfaketime: with it, the clock of Redis can be set."""


class Node:
    """A process that is started again when it dies, unless it is to be down."""

    def __init__(self, process: Process, command: list[str], env: Mapping[str, str]) -> None:
        self.process = process
        self.down = False
        self._command = command
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **env}

    def start(self) -> None:
        self.process.launch(self._command, self._env)

    def kill(self) -> None:
        """kill -9, with all its children."""
        self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP, with all its children."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, StackError):
            os.killpg(self.process.pid, number)

    def supervise(self) -> bool:
        """Start it again if it is dead and should not be."""
        if self.down or self.process.alive():
            return False
        self.start()
        return True


class WriterNode(Node):
    """A writer; each time it is started it is another one, with a history of its own."""

    def __init__(self, folder: Path, name: str, seed: int, env: Mapping[str, str]) -> None:
        super().__init__(Process(name, folder / f"{name}.log"), [], env)
        self._folder, self._name, self._seed = folder, name, seed
        self.histories: list[Path] = []

    def start(self) -> None:
        number = int(self._name[-1]) * 1_000 + len(self.histories)
        self.histories.append(self._folder / f"{self._name}-{len(self.histories)}.jsonl")
        self._command = [
            sys.executable,
            "-m",
            "chaos.writer",
            str(self.histories[-1]),
            str(number),
            str(self._seed),
        ]
        super().start()


class Store(Valkey):
    """The server of reactions; where libfaketime is installed, its clock can be set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "store", options=VALKEY_OPTIONS)
        self._clock = folder / "clock"
        self._clock.write_text("+0")

    def launch(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        env = {**os.environ, **(env or {})}
        if FAKETIME:
            env |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        super().launch(command, env)

    def set_clock(self, offset_s: int) -> None:
        """So many seconds ahead of the machine's, or behind it."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}")
        fresh.rename(self._clock)


class System:
    """Everything; entered, it runs."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self._seed = folder, seed
        self.store = Store(folder)
        self.broker = Valkey(folder, "broker", options=BROKER_OPTIONS)
        self.postgres = Postgres(folder)
        self.network = Network()
        self.links: dict[str, list[Link]] = {}
        self.workers: list[Node] = []
        self.beats: list[Node] = []
        self.writers: list[WriterNode] = []
        self.losses: list[float] = []
        self.traps = folder / "traps"
        self.settings = Settings()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def nodes(self) -> list[Node]:
        return [*self.workers, *self.beats, *self.writers]

    # -- start and stop ------------------------------------------------------------------------

    def _start(self) -> None:
        self.store.start()
        self.broker.start()
        self.postgres.start()
        self.settings = Settings(
            redis_url=self.store.url,
            broker_url=self.broker.url,
            database_url=self.postgres.url,
            viral_threshold=small.VIRAL,
            viral_window_s=10,
            viral_horizon_s=1,
            batch_rows=60,
            batch_posts=20,
            lease_s=1.0,
            retry_base_s=0.2,
            retry_cap_s=1.0,
            database_timeout_s=2.0,
            drain_budget_s=2.0,
            sweep_interval_s=1.0,
            wake_patience_s=3.0,
        )
        migrate(self.settings)
        self._link()
        self.traps.mkdir()
        for number in range(WORKERS):
            self.workers.append(self._celery(f"worker{number}", number, "worker"))
        for number in range(BEATS):
            self.beats.append(self._celery(f"beat{number}", None, "beat"))
        for number in range(WRITERS):
            env = self.settings.environment()
            self.writers.append(WriterNode(self.folder, f"writer{number}", self._seed, env))
        for node in [*self.workers, *self.beats]:
            node.start()
        for node in self.workers:
            wait_for(partial(_is_ready, node), START_S, node.process.name)
        for node in self.writers:
            node.start()

    def _link(self) -> None:
        socket = f"{psycopg2.extensions.parse_dsn(self.postgres.url)['host']}/.s.PGSQL.5432"
        servers: dict[str, Connect] = {
            "store": lambda: asyncio.open_connection("127.0.0.1", self.store.port),
            "broker": lambda: asyncio.open_connection("127.0.0.1", self.broker.port),
            "postgres": lambda: asyncio.open_unix_connection(socket),
        }
        for name, server in servers.items():
            self.links[name] = [self.network.link(server) for _ in range(WORKERS)]

    def _celery(self, name: str, number: int | None, command: str) -> Node:
        """A worker behind its links, or a beat."""
        env = self.settings.environment()
        options = ["--loglevel=INFO"]
        if number is not None:
            ports = {name: links[number].port for name, links in self.links.items()}
            env |= {
                "REACTIONS_REDIS_URL": f"redis://127.0.0.1:{ports['store']}/0",
                "REACTIONS_BROKER_URL": f"redis://127.0.0.1:{ports['broker']}/0",
                "REACTIONS_DATABASE_URL": (
                    f"postgresql://postgres@127.0.0.1:{ports['postgres']}/postgres"
                ),
                traps.FOLDER: str(self.traps),
            }
            options += [
                "--concurrency=2",
                "--queues=persistence,maintenance",
                f"--hostname={name}@%h",
                "--without-gossip",
                "--without-mingle",
            ]
        launch = [sys.executable, "-m", "celery", "-A", "chaos.app", command, *options]
        return Node(Process(name, self.folder / f"{name}.log"), launch, env)

    def stop(self) -> None:
        for node in self.nodes:
            node.thaw()
            node.kill()
        for server in (self.store, self.broker):
            server.signal(signal.SIGCONT)
            server.kill()
        self.kill_postgres()
        self.network.close()

    def supervise(self) -> None:
        """Start again what died, as every deployment does."""
        for node in self.nodes:
            node.supervise()

    def stop_writers(self) -> None:
        """Each ends its last call."""
        for node in self.writers:
            node.down = True
            node.process.stop()

    # -- what only servers have ----------------------------------------------------------------

    def kill_store(self) -> None:
        """kill -9, and started again from its append-only file."""
        self.losses.append(time.monotonic())
        self.store.kill()

    def kill_postgres(self) -> None:
        """kill -9 of the postmaster and of all its children."""
        with contextlib.suppress(psutil.Error, AssertionError):
            postmaster = psutil.Process(self.postgres.pid)
            victims = [postmaster, *postmaster.children(recursive=True)]
            for victim in victims:
                with contextlib.suppress(psutil.Error):
                    victim.kill()
            psutil.wait_procs(victims, 10)

    def lose_queue(self) -> None:
        """The broker dies with all that it holds."""
        self.broker.kill()
        shutil.rmtree(self.folder / "broker")

    # -- looking at it -------------------------------------------------------------------------

    def redis(self) -> Redis:
        return Redis(port=self.store.port, socket_timeout=1)

    def mark(self) -> dict[int, int]:
        """The newest version of each shard."""
        with self.redis() as client:
            return {
                shard: int(client.get(f"outbox:{{{shard}}}:clock") or 0) for shard in range(100)
            }

    def behind(self, mark: Mapping[int, int]) -> int:
        """Changes up to these versions that are still on their way."""
        with connect(self.settings) as client:
            posts = OutboxState(client, self.settings).dirty_posts()
            with client.pipeline(transaction=False) as pipe:
                for post in posts:
                    pipe.hvals(keys.post_pending(post))
                    pipe.hvals(keys.post_claimed(post))
                replies = pipe.execute()
        versions = [
            (shard_of(post), int(value.partition(b":")[2]))
            for post, values in zip((p for p in posts for _ in range(2)), replies, strict=True)
            for value in values
        ]
        return sum(version <= mark[shard] for shard, version in versions)


def _is_ready(node: Node) -> bool:
    return "ready." in node.process.log.read_text(errors="replace")


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Until it holds; an unavailable store is no answer.

    Raises:
        StackError: not in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(ReactionsUnavailable, psycopg2.Error, OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise StackError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
