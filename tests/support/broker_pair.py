"""A broker with a replica, behind a name that a switch-over moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from reactions.demo.embedded import Valkey
from reactions.redis.server_options import BROKER_OPTIONS
from tests.support.service_name import ServiceName, service_name
from tests.support.waiting import wait_until


class BrokerPair:
    """Two servers and the name.

    Attributes:
        url: of the name.
        name: what the URL leads to.
    """

    def __init__(self, name: ServiceName, old: Valkey, new: Valkey) -> None:
        self.name = name
        self.url = f"redis://127.0.0.1:{name.port}/0"
        self._old, self._new = old, new

    def switch_over(self) -> None:
        """Exchange the roles, then move the name. No connection is cut."""
        with Redis(port=self._old.port) as old, Redis(port=self._new.port) as new:
            old.wait(1, 5_000)
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", str(self._new.port))
        self.name.target = self._new.port

    def primary(self) -> Redis:
        """A client of the server that the name leads to."""
        assert isinstance(self.name.target, int)
        return Redis(port=self.name.target)


@contextmanager
def broker_pair(folder: Path) -> Iterator[BrokerPair]:
    """Start both servers, and the name in front of the first."""
    options = {**BROKER_OPTIONS, "repl-diskless-sync-delay": "0"}
    old, new = (Valkey(folder, name, options=options) for name in ("broker-1", "broker-2"))
    try:
        old.start()
        new.start()
        with Redis(port=new.port) as following:
            following.replicaof("127.0.0.1", str(old.port))
            wait_until(
                lambda: following.info("replication")["master_link_status"] == "up",
                what="the replica is in step",
            )
        with service_name(old.port) as name:
            yield BrokerPair(name, old, new)
    finally:
        new.stop()
        old.stop()
