"""A primary, its replicas and their Sentinels, all with passwords."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.support.waiting import wait_until
from reactions.demo.addresses import start_on_free_port
from reactions.demo.embedded import Valkey, valkey_binary
from reactions.demo.process import Process, free_port
from reactions.redis.server_options import VALKEY_OPTIONS

SERVICE, PASSWORD, SENTINEL_PASSWORD = "like-store", "p@ss:w/rd", "s3ntinel"
_OPTIONS = {
    **VALKEY_OPTIONS,
    "requirepass": PASSWORD,
    "masterauth": PASSWORD,
    "repl-diskless-sync-delay": "0",
}
DOWN_AFTER_MS = 1_000
"""A primary that is silent for so long counts as down, and a replica takes over."""

FAILOVER_S = 60.0
"""The longest time until a replica has taken over, and the others follow it."""


class Server(Valkey):
    """A server that wants a password."""

    def wait_ready(self) -> None:
        wait_until(self._ready, FAILOVER_S, f"{self.name} answers: {self.log}")

    def _ready(self) -> bool:
        self.check()
        with suppress(RedisError), self.client() as client:
            return bool(client.ping()) and self.listens(self.port)
        return False

    def client(self) -> Redis:
        return Redis(port=self.port, password=PASSWORD, socket_timeout=2)


class Sentinel(Process):
    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.port = free_port()
        self._file = folder / f"{name}.conf"

    def start(self, primary: int) -> None:
        """Start it. At its first start, tell it of the primary; later it remembers.

        If another process has taken the port, the first start chooses another one.
        """
        if self._file.exists():
            self._start()
            return

        def first() -> None:
            self._write(primary)
            self._start()

        start_on_free_port(first, self._move)

    def _start(self) -> None:
        self.launch([str(valkey_binary()), str(self._file), "--sentinel"])
        wait_until(self._listens, FAILOVER_S, f"{self.name} listens: {self.log}")

    def _listens(self) -> bool:
        self.check()
        return self.listens(self.port)

    def _move(self) -> None:
        self.port = free_port()

    def _write(self, primary: int) -> None:
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n"
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"\n'
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )

    def client(self) -> Redis:
        return Redis(
            port=self.port, password=SENTINEL_PASSWORD, socket_timeout=2, decode_responses=True
        )

    def sees_all(self, replicas: int, others: int) -> bool:
        """Whether it knows the replicas and the other Sentinels."""
        self.check()
        with suppress(RedisError), self.client() as client:
            known = client.sentinel_master(SERVICE)
            return (known["num-slaves"], known["num-other-sentinels"]) == (replicas, others)
        return False


class Watched:
    """The servers, and three Sentinels, which know each other.

    Attributes:
        servers: the first one begins as the primary.
    """

    def __init__(self, folder: Path, servers: int = 2, **options: str) -> None:
        """
        Args:
            servers: how many, with the primary.
            options: further ones of each server.
        """
        given = _OPTIONS | {name.replace("_", "-"): value for name, value in options.items()}
        self.servers = [Server(folder, f"server-{n}", options=given) for n in range(servers)]
        self.sentinels = [Sentinel(folder, f"sentinel-{number}") for number in range(3)]

    @property
    def url(self) -> str:
        """The URL with every Sentinel."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return (
            f"redis+sentinel://default:{quote(PASSWORD, safe='')}@{hosts}/{SERVICE}/0"
            f"?sentinel_password={SENTINEL_PASSWORD}"
        )

    def start(self) -> None:
        """Start what does not run, and wait until a primary serves and all others follow it."""
        fresh = not any(sentinel.alive() for sentinel in self.sentinels)
        for server in self.servers:
            if not server.alive():
                server.start()
        if fresh:
            for server in self.servers[1:]:
                with server.client() as replica:
                    replica.replicaof("127.0.0.1", str(self.servers[0].port))
        for sentinel in self.sentinels:
            if not sentinel.alive():
                sentinel.start(self.servers[0].port)
        others = len(self.servers) - 1
        wait_until(
            lambda: all(sentinel.sees_all(others, 2) for sentinel in self.sentinels),
            FAILOVER_S,
            "they are watched",
        )
        wait_until(self.serves, FAILOVER_S, "the replicas are in step")

    def kill(self) -> None:
        """Kill everything."""
        for process in (*self.sentinels, *self.servers):
            process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every server."""
        for server in self.servers:
            server.signal(number)

    def primary(self) -> Server:
        """The server that the last Sentinel names."""
        with self.sentinels[-1].client() as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self.servers if server.port == port)

    def serves(self) -> bool:
        """Whether the primary answers, and every other server follows it and is in step."""
        with suppress(RedisError), self.primary().client() as primary:
            found = primary.info("replication")
            states = [found[f"slave{n}"]["state"] for n in range(found["connected_slaves"])]
            return found["role"] == "master" and states == ["online"] * (len(self.servers) - 1)
        return False

    def fail_over(self) -> None:
        """A planned failover that loses nothing; it returns once another server is the primary."""
        old = self.primary()
        with self.sentinels[-1].client() as client:
            client.execute_command("SENTINEL FAILOVER", SERVICE, "COORDINATED")
        wait_until(lambda: self.primary() is not old, FAILOVER_S, "another primary")
