"""A primary with a replica, for the tests of replicas."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from reactions import (
    Reactions,
    Settings,
)
from reactions.demo.embedded import Valkey
from reactions.redis.keys import default_keys as keys
from reactions.redis.server_options import VALKEY_OPTIONS
from tests.support.engine import DEAD_BROKER
from tests.support.servers import redis_binary
from tests.support.waiting import wait_until

POST = 1042
AT_ONCE = {"repl-diskless-sync-delay": "0"}  # do not wait for further replicas


@dataclass
class Pair:
    """A primary, its replica, a patient client and a hasty one."""

    primary: Valkey
    replica: Valkey
    client: Reactions
    hasty: Reactions
    folder: Path

    def pause(self) -> None:
        self.replica.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.replica.signal(signal.SIGCONT)

    def pending(self, post_id: int = POST) -> set[int]:
        """Return the users whose reaction to the post has reached the replica."""
        with Redis(port=self.replica.port) as replica:
            return {int(user) for user in replica.hkeys(keys.post_pending(post_id))}

    def lose_primary(self) -> None:
        """Kill the primary and delete its data."""
        self.primary.kill()
        shutil.rmtree(self.folder / self.primary.name)

    def promote(self) -> None:
        with Redis(port=self.replica.port) as replica:
            replica.replicaof("NO", "ONE")


def settings_for(server: Valkey, **values: object) -> Settings:
    """Long time-outs: a slow disk must not look like a failure."""
    waits = {"redis_timeout_s": 6.0, "replica_timeout_s": 5.0, **values}
    return Settings(redis_url=server.url, broker_url=DEAD_BROKER, **waits)


def in_step(replica: Valkey) -> bool:
    with Redis(port=replica.port) as client:
        return bool(client.info("replication").get("master_link_status") == "up")


@contextmanager
def running_pair(tmp_path: Path, kind: str) -> Iterator[Pair]:
    binary = redis_binary() if kind == "redis" else None
    options = {**VALKEY_OPTIONS, **AT_ONCE}
    primary, replica = (
        Valkey(tmp_path, name, options=options, binary=binary) for name in ("primary", "replica")
    )
    try:
        primary.start()
        replica.start()
        with Redis(port=replica.port) as following:
            following.replicaof("127.0.0.1", str(primary.port))
        wait_until(lambda: in_step(replica), what="the replica to be in step")
        with (
            Reactions(settings_for(primary)) as client,
            Reactions(settings_for(primary, replica_timeout_s=0.3)) as hasty,
        ):
            client.react(1, POST + 1, "like", replicas=1)
            yield Pair(primary, replica, client, hasty, tmp_path)
    finally:
        replica.signal(signal.SIGCONT)
        replica.stop()
        primary.stop()


@contextmanager
def demoted(settings: Settings) -> Iterator[None]:
    """Make the server a replica; nobody is there to follow, and it refuses writes at once."""
    with Redis.from_url(settings.redis_url.get_secret_value()) as operator:
        operator.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            operator.replicaof("NO", "ONE")
