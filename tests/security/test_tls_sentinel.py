"""TLS to Sentinels and to the servers that they name, for the data and for the broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import kombu.pools
import pytest
import trustme
from redis import Redis
from redis.exceptions import RedisError

from reactions.core.celery_app import DRAIN, make_publisher
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.addresses import start_on_free_port
from reactions.demo.process import Process, free_port
from reactions.redis.connection import connect, translated
from tests.support.guarded import PASSWORD, Guarded, running_guarded, user
from tests.support.servers import redis_binary
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow

SERVICE = "like-store"
USERS = ("reactions-worker", "reactions-broker")


class Sentinel(Process):
    """A Sentinel that speaks TLS only, and watches a server that does, too."""

    def __init__(self, folder: Path, server: Guarded) -> None:
        super().__init__("sentinel", folder / "sentinel.log")
        self.port = free_port()
        self._server, self._file = server, folder / "sentinel.conf"

    def start(self) -> None:
        """Start it, and wait until it knows the server as a primary that answers."""
        start_on_free_port(self._start, self._move)

    def _move(self) -> None:
        self.port = free_port()

    def _start(self) -> None:
        server, options = self._server, self._server._options
        self._file.write_text(
            f"port 0\ntls-port {self.port}\nbind 127.0.0.1\ntls-auth-clients no\n"
            "tls-replication yes\n"
            + "".join(f"{n} {v}\n" for n, v in options.items() if n.startswith("tls-c"))
            + f"tls-key-file {options['tls-key-file']}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {server.port} 1\n"
            f"sentinel auth-user {SERVICE} admin\n"
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"\n'
        )
        self.launch([str(redis_binary()), str(self._file), "--sentinel"])
        wait_until(self._watches, 30, f"the Sentinel reaches the server: {self.log}")

    def _watches(self) -> bool:
        self.check()
        try:
            with Redis(
                host="127.0.0.1",
                port=self.port,
                ssl=True,
                ssl_ca_certs=str(self._server.authority),
                decode_responses=True,
            ) as client:
                found = client.sentinel_master(SERVICE)
        except RedisError:
            return False
        return bool(found["is_master"]) and not found["is_sdown"] and not found["is_disconnected"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls-sentinel")
    with running_guarded(folder, "redis", USERS, tls=trustme.CA()) as running:
        yield running


@pytest.fixture(scope="module")
def sentinel(server: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinel]:
    running = Sentinel(tmp_path_factory.mktemp("sentinel"), server)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def url_of(sentinel: Sentinel, name: str, authority: Path | None) -> str:
    options = f"?ssl_cert_reqs=required&ssl_ca_certs={authority}" if authority else ""
    return f"rediss+sentinel://{user(name)}127.0.0.1:{sentinel.port}/{SERVICE}/0{options}"


def test_the_store_answers(server: Guarded, sentinel: Sentinel) -> None:
    url = url_of(sentinel, "reactions-worker", server.authority)
    with connect(Settings(redis_url=url, redis_timeout_s=patience(0.5))) as client:
        assert client.set("post:{1}:1:viral", "1")


def test_an_unknown_authority_is_refused(sentinel: Sentinel, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for authority in (other, None):
        url = url_of(sentinel, "reactions-worker", authority)
        with (
            connect(Settings(redis_url=url)) as client,
            pytest.raises(ReactionsUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
            translated(),
        ):
            client.get("post:{1}:1:viral")


def test_without_tls_nobody_answers(server: Guarded, sentinel: Sentinel) -> None:
    url = url_of(sentinel, "reactions-worker", server.authority)
    plain = url.partition("?")[0].replace("rediss+sentinel:", "redis+sentinel:")
    with (
        connect(Settings(redis_url=plain)) as client,
        pytest.raises(ReactionsUnavailable, match="no Sentinel names a primary"),
        translated(),
    ):
        client.get("post:{1}:1:viral")


def test_the_broker_answers(server: Guarded, sentinel: Sentinel) -> None:
    kombu.pools.reset()  # type: ignore[no-untyped-call]
    url = url_of(sentinel, "reactions-broker", server.authority)
    with make_publisher(Settings(broker_url=url)) as app:
        app.send_task(DRAIN, kwargs={"shards": [1]})
    kombu.pools.reset()  # type: ignore[no-untyped-call]
    with server.admin() as admin:
        assert admin.llen("persistence") == 1
