"""A primary, its replicas and their Sentinels, all with passwords."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.support.servers import started
from reactions.demo.embedded import Valkey, valkey_binary
from reactions.demo.process import Process, free_port
from reactions.redis.server_options import BROKER_OPTIONS
from tests.support.waiting import wait_until

SERVICE, PASSWORD, SENTINEL_PASSWORD = "like-store", "p@ss:w/rd", "s3ntinel"
_OPTIONS = {
    **BROKER_OPTIONS,
    "requirepass": PASSWORD,
    "masterauth": PASSWORD,
    "repl-diskless-sync-delay": "0",
}
_DOWN_AFTER_MS = 1_000


class _Server(Valkey):
    """A server that wants a password."""

    def wait_ready(self) -> None:
        wait_until(self._ready, what=f"{self.name} answers: {self.log}")

    def _ready(self) -> bool:
        self.check()
        with suppress(RedisError), self.client() as client:
            return bool(client.ping()) and self.listens(self.port)
        return False

    def client(self) -> Redis:
        return Redis(port=self.port, password=PASSWORD, socket_timeout=2)


class _Sentinel(Process):
    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.port = free_port()
        self._file = folder / f"{name}.conf"

    def start(self, primary: int) -> None:
        """Start it, and tell it of the primary."""
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n"
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"\n'
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        self.launch([str(valkey_binary()), str(self._file), "--sentinel"])

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
    """The servers and the Sentinels."""

    def __init__(self, servers: Sequence[_Server], sentinels: Sequence[_Sentinel]) -> None:
        self.servers, self.sentinels = servers, sentinels

    @property
    def url(self) -> str:
        """The URL with every Sentinel."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return (
            f"redis+sentinel://default:{quote(PASSWORD, safe='')}@{hosts}/{SERVICE}/0"
            f"?sentinel_password={SENTINEL_PASSWORD}"
        )

    def primary(self) -> _Server:
        """The server that the last Sentinel names."""
        with self.sentinels[-1].client() as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> None:
        """A planned failover that loses nothing; it returns once another server is the primary."""
        old = self.primary()
        with self.sentinels[-1].client() as client:
            client.execute_command("SENTINEL FAILOVER", SERVICE, "COORDINATED")
        wait_until(lambda: self.primary() is not old, 60, "another primary")


@contextmanager
def running_sentinels(folder: Path) -> Iterator[Watched]:
    """Run two servers and three Sentinels, which know each other."""
    servers = [_Server(folder, f"server-{number}", options=_OPTIONS) for number in range(2)]
    sentinels = [_Sentinel(folder, f"sentinel-{number}") for number in range(3)]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        for sentinel in sentinels:
            stack.callback(sentinel.kill)
        list(pool.map(stack.enter_context, map(started, servers)))
        with servers[1].client() as replica:
            replica.replicaof("127.0.0.1", str(servers[0].port))
            wait_until(
                lambda: replica.info("replication")["master_link_status"] == "up", what="in step"
            )
        for sentinel in sentinels:
            sentinel.start(servers[0].port)
        wait_until(
            lambda: all(sentinel.sees_all(1, 2) for sentinel in sentinels), 60, "they are watched"
        )
        yield Watched(servers, sentinels)
