"""The system under test, as processes: Redis, broker, PostgreSQL, workers, beats, writers.

Workers reach every store through a link of their own, so that each link can be cut alone.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaos import small, traps
from chaos.nodes import Node, WriterNode
from chaos.proxy import Connect, Link, Network
from chaos.topology import Topology
from chaos.waiting import wait_for
from reactions.core.constants import SHARDS, shard_of
from reactions.core.settings import Settings
from reactions.demo.process import Process
from reactions.postgres.migrate import migrate
from reactions.redis.command_batch import CommandBatch
from reactions.redis.connection import Client, connect, translated
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox_state import OutboxState

WORKERS, BEATS, WRITERS = 2, 2, 3

START_S = 60.0


class System:
    """The whole system; it runs while it is entered.

    Attributes:
        losses: when Redis was killed, in s of the monotonic clock.
        links: store -> one link for each worker.
    """

    def __init__(self, folder: Path, seed: int, topology: Topology) -> None:
        self.folder, self._seed = folder, seed
        self._topology = topology
        self.store = topology.stores(folder)
        self.broker = topology.broker(folder)
        self.postgres = topology.databases(folder)
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
            **self._topology.settings,
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
        servers: dict[str, Connect] = {
            "store": lambda: asyncio.open_connection("127.0.0.1", self.store.port),
            "broker": lambda: asyncio.open_connection("127.0.0.1", self.broker.port),
            "postgres": lambda: asyncio.open_unix_connection(self.postgres.socket),
        }
        for name in self._topology.direct:
            del servers[name]
        for name, server in servers.items():
            self.links[name] = [self.network.link(server) for _ in range(WORKERS)]

    def _celery(self, name: str, number: int | None, command: str) -> Node:
        """A worker behind its own links, or a beat (without a number)."""
        env = self.settings.environment()
        options = ["--loglevel=INFO"]
        if number is not None:
            ports = {name: links[number].port for name, links in self.links.items()}
            if "store" in ports:
                env["REACTIONS_REDIS_URL"] = f"redis://127.0.0.1:{ports['store']}/0"
            if "postgres" in ports:
                env["REACTIONS_DATABASE_URL"] = (
                    f"postgresql://postgres@127.0.0.1:{ports['postgres']}/postgres"
                )
            if "broker" in ports:
                env["REACTIONS_BROKER_URL"] = self.broker.url.replace(
                    f":{self.broker.port}/", f":{ports['broker']}/"
                )
            env[traps.FOLDER] = str(self.traps)
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
        """Kill everything."""
        for node in self.nodes:
            node.thaw()
            node.kill()
        for server in (self.store, self.broker):
            server.signal(signal.SIGCONT)
            server.kill()
        self.postgres.end()
        self.network.close()

    def supervise(self) -> None:
        """Restart the processes that died, as a supervisor does."""
        for node in self.nodes:
            node.supervise()

    def stop_writers(self) -> None:
        """Stop the writers; each finishes its last call."""
        for node in self.writers:
            node.down = True
            node.process.stop()

    # -- faults of the servers -----------------------------------------------------------------

    def kill_store(self) -> None:
        """Kill Redis with SIGKILL, and note when."""
        self.losses.append(time.monotonic())
        self.store.kill()

    def lose_queue(self) -> None:
        """Kill the broker, and delete its data."""
        self.broker.kill()
        shutil.rmtree(self.folder / "broker")

    # -- its state -----------------------------------------------------------------------------

    def redis(self) -> Client:
        """A client of the Redis that stores reactions."""
        return connect(self.settings)

    def newest_versions(self) -> dict[int, int]:
        """shard -> the newest version that it has given."""
        with translated(), self.redis() as client:
            found: list[Any] = [client.get(keys.outbox_clock(shard)) for shard in range(SHARDS)]
        return {shard: int(clock or 0) for shard, clock in enumerate(found)}

    def behind(self, versions: Mapping[int, int]) -> int:
        """The number of pending changes up to these versions (shard -> version)."""
        with connect(self.settings) as client:
            posts = OutboxState(client, self.settings).dirty_posts()
            with translated(), CommandBatch(client) as pipe:
                for post in posts:
                    pipe.hvals(keys.post_pending(post))
                    pipe.hvals(keys.post_claimed(post))
                replies = pipe.execute()
        waiting = [
            (shard_of(post), int(value.partition(b":")[2]))
            for post, values in zip((p for p in posts for _ in range(2)), replies, strict=True)
            for value in values
        ]
        return sum(version <= versions[shard] for shard, version in waiting)


def _is_ready(node: Node) -> bool:
    return "ready." in node.process.log.read_text(errors="replace")
