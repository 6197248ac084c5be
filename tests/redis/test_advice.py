"""Each kind of server that cannot serve gets its own sentence and remedy; none another's."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
from redis import Redis
from redis.exceptions import RedisError

from reactions.core.errors import ReactionsError, ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.demo.process import free_port
from reactions.ops.doctor.celery import check_broker
from reactions.ops.doctor.findings import State
from reactions.ops.doctor.redis import open_redis
from reactions.redis.connection import connect
from reactions.redis.server_options import VALKEY_OPTIONS
from reactions.redis.writes import RedisWrites
from tests.redis.replication import in_step
from tests.support.guarded import running_guarded
from tests.support.servers import redis_binary, running_redis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@contextmanager
def single(folder: Path) -> Iterator[str]:
    with running_redis(folder, "valkey") as server:
        yield server.url


@contextmanager
def with_password(folder: Path) -> Iterator[str]:
    with running_redis(folder, "valkey") as server, Redis(port=server.port) as admin:
        admin.config_set("requirepass", "secret")
        yield server.url
        admin.config_set("requirepass", "")


@contextmanager
def with_another_password(folder: Path) -> Iterator[str]:
    with with_password(folder) as url:
        yield url.replace("//", "//:wrong@")


@contextmanager
def plain_spoken_to_in_tls(folder: Path) -> Iterator[str]:
    with single(folder) as url:
        yield url.replace("redis:", "rediss:")


@contextmanager
def tls_spoken_to_in_plain(folder: Path) -> Iterator[str]:
    with running_guarded(folder, "redis", ("reactions-worker",), tls=trustme.CA()) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@contextmanager
def sentinel(folder: Path) -> Iterator[str]:
    port, file = free_port(), folder / "sentinel.conf"
    file.write_text(f"port {port}\nsentinel monitor main 127.0.0.1 {free_port()} 1\n")
    process = subprocess.Popen(
        [redis_binary(), file, "--sentinel"], stdout=subprocess.DEVNULL, cwd=folder
    )
    try:
        with Redis(port=port) as client:
            wait_until(lambda: answers(client), what="the Sentinel answers")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


@contextmanager
def node_of_a_cluster(folder: Path) -> Iterator[str]:
    with running_redis(folder, "cluster") as server:
        yield server.url


@contextmanager
def replica(folder: Path) -> Iterator[str]:
    first, second = Valkey(folder, "first"), Valkey(folder, "second")
    try:
        first.start()
        second.start()
        with Redis(port=second.port) as client:
            client.replicaof("127.0.0.1", str(first.port))
        wait_until(lambda: in_step(second), what="the replica to be in step")
        yield second.url
    finally:
        second.stop()
        first.stop()


class Loading(Valkey):
    """A server that is as ready as it gets when it says that it reads its data."""

    def wait_ready(self) -> None:
        with Redis(port=self.port, socket_timeout=1) as client:
            wait_until(lambda: says(client, "loading"), what="the server reads its data")


def says(client: Redis, word: str) -> bool:
    try:
        client.ping()
    except RedisError as error:
        return word in str(error)
    return False


@contextmanager
def loading(folder: Path) -> Iterator[str]:
    """A server that takes minutes to read its data, and answers meanwhile."""
    server = Valkey(folder, "loading")
    server.start()
    with Redis(port=server.port) as client:
        client.mset({f"key{number}": secrets.token_hex(2_000) for number in range(2_000)})
        client.save()
    server.stop()
    slow = {
        "appendonly": "no",
        "key-load-delay": "50000",
        "loading-process-events-interval-bytes": "1024",
    }
    again = Loading(folder, "loading", options={**VALKEY_OPTIONS, **slow}, port=server.port)
    again.start()
    try:
        yield again.url
    finally:
        again.kill()


@contextmanager
def nobody(_: Path) -> Iterator[str]:
    yield f"redis://127.0.0.1:{free_port()}/0"


Server: TypeAlias = Callable[[Path], AbstractContextManager[str]]
KINDS: list[tuple[Server, bool, str]] = [
    (with_password, False, "the server wants a password: give {url} one"),
    (with_another_password, False, "refuses the user or the password of {url}"),
    (plain_spoken_to_in_tls, False, "does not use TLS, {url} must begin with redis://"),
    (tls_spoken_to_in_plain, False, "requires TLS, {url} must begin with rediss://"),
    (sentinel, False, "{url} leads to a Sentinel"),
    (sentinel, True, "{url} leads to a Sentinel"),
    (single, True, "leads to a single server: unset redis_cluster"),
    (replica, False, "{url} leads to a replica"),
    (loading, False, "has just started and reads its data"),
    (nobody, False, "nobody listens there"),
]
REMEDIES = {remedy.format(url=url) for _, _, remedy in KINDS for url in ("redis_url", "broker_url")}


def settings_for(url: str, *, cluster: bool = False) -> Settings:
    return Settings(redis_url=url, broker_url=url, redis_cluster=cluster, redis_timeout_s=1.0)


def call(settings: Settings) -> str:
    """What the library says."""
    with pytest.raises(ReactionsUnavailable) as caught, closing(connect(settings)) as client:
        RedisWrites(client, settings).record(1, 2, 3)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "cluster", "remedy"), KINDS)
def test_the_library_names_this_remedy_and_no_other(
    tmp_path: Path, kind: Server, cluster: bool, remedy: str
) -> None:
    with kind(tmp_path) as url:
        said = call(settings_for(url, cluster=cluster))
    assert {words for words in REMEDIES if words in said} == {remedy.format(url="redis_url")}


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        *((kind, remedy) for kind, cluster, remedy in KINDS if not cluster and kind is not replica),
        (node_of_a_cluster, "Celery needs a single server"),
    ],
)
def test_the_doctor_names_this_remedy_for_the_broker(
    tmp_path: Path, kind: Server, remedy: str
) -> None:
    """A replica has the check of its own, ``broker role``."""
    with kind(tmp_path) as url:
        first = next(iter(check_broker(settings_for(url))))
    assert (first.check, first.state) == ("broker", State.FAILURE)
    assert remedy.format(url="REACTIONS_BROKER_URL") in first.remedy


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [(sentinel, "redis_url leads to a Sentinel"), (node_of_a_cluster, "set redis_cluster")],
)
def test_the_doctor_sees_what_a_ping_does_not(tmp_path: Path, kind: Server, remedy: str) -> None:
    with (
        kind(tmp_path) as url,
        ExitStack() as closers,
        pytest.raises(ReactionsError, match=remedy),
    ):
        open_redis(settings_for(url), closers)
