"""``reactions.redis.sentinel``: three real Sentinels, a primary and a replica, all with passwords.

The tests go from what changes nothing to what destroys a server; they share the servers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric
from redis.exceptions import RedisError

from reactions import Reactions, ReactionsUnavailable, Settings, Status
from reactions.demo.process import free_port
from reactions.ops.doctor import State
from reactions.ops.metrics import StoresCollector
from reactions.postgres.database import Database
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.server_role import check_primary
from tests.ops.doctor.examining import findings
from tests.support.engine import DEAD_BROKER
from tests.support.sentinel import SERVICE, Watched, running_sentinels
from tests.support.types import write_default_types
from tests.support.waiting import bounded, patience, wait_until

pytestmark = pytest.mark.slow

POST = 1042


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with running_sentinels(tmp_path_factory.mktemp("sentinel")) as watched:
        with watched.primary().client() as primary:
            write_default_types(primary)
        yield watched


@pytest.fixture
def settings(watched: Watched) -> Settings:
    return settings_of(watched.url)


def settings_of(url: str) -> Settings:
    return Settings(redis_url=url, broker_url=DEAD_BROKER, redis_timeout_s=patience(0.5))


class Load:
    """Reacts from a thread while entered, with a user for each reaction.

    Attributes:
        kept: users whose reaction was acknowledged.
    """

    def __init__(self, client: Reactions, post_id: int, replicas: int = 0) -> None:
        self.kept: set[int] = set()
        self.failed = 0
        self._client, self._post, self._replicas = client, post_id, replicas
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        self.wait(100)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def wait(self, more: int) -> None:
        """Wait until so many more reactions are acknowledged."""
        target = len(self.kept) + more
        wait_until(lambda: len(self.kept) >= target, 60, "reactions are acknowledged")

    def _run(self) -> None:
        user = 0
        while not self._ending.wait(0.002):
            user += 1
            try:
                done = self._client.react(user, self._post, "like", replicas=self._replicas)
                assert done.status is not Status.UNCHANGED
            except ReactionsUnavailable:
                self.failed += 1
            else:
                self.kept.add(user)

    def lost(self, settings: Settings) -> set[int]:
        """Return the users whose acknowledged reaction the present primary does not have."""
        pending: dict[bytes, bytes] = {}
        with connect(settings) as client:

            def read() -> bool:
                try:
                    pending.update(client.hgetall(keys.post_pending(self._post)))
                except RedisError:  # this client asks a Sentinel that is behind, at first
                    return False
                return True

            wait_until(read, 30, "a Sentinel names the present primary")
        return self.kept - {int(user) for user in pending}


def test_the_sentinels_lead_to_the_primary(settings: Settings, watched: Watched) -> None:
    with connect(settings) as client:
        check_primary(client)
        assert client.config_get("port")["port"] == str(watched.primary().port)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("sentinel_password=s3ntinel", "sentinel_password=wrong", "WRONGPASS|invalid"),
        (f"/{SERVICE}/", "/nobody/", "does not know the service nobody"),
        ("default:", "default:not", "WRONGPASS|invalid"),
    ],
)
def test_an_error_says_what_is_wrong(watched: Watched, old: str, new: str, problem: str) -> None:
    wrong = settings_of(watched.url.replace(old, new))
    with Reactions(wrong) as client, pytest.raises(ReactionsUnavailable, match=problem):
        client.react(1, POST, "like")


def test_sentinels_that_do_not_answer(watched: Watched) -> None:
    """The first accepts the connection and is silent; nobody listens at the second."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        others = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{free_port()}"
        url = watched.url.replace("@", f"@{others},")
        with bounded(1), Reactions(settings_of(url)) as client:
            client.react(1, POST, "like")


def test_a_sentinel_that_is_behind(settings: Settings, watched: Watched) -> None:
    """It names a server that is a replica; the connection does not stay there."""
    replica = next(server for server in watched.servers if server is not watched.primary())
    with connect(settings) as client:
        sentinels = client.connection_pool.connection_kwargs["sentinels"]
        told = iter([("127.0.0.1", replica.port)])
        right = sentinels.primary
        sentinels.primary = lambda: next(told, None) or right()
        check_primary(client)
        assert client.config_get("port")["port"] == str(watched.primary().port)


def test_doctor_and_metrics(settings: Settings, database_url: str, watched: Watched) -> None:
    settings = settings.model_copy(
        update={"database_url": Settings(database_url=database_url).database_url}
    )
    found = findings(settings)
    assert found["redis role"].state is State.OK
    assert found["redis role"].found == "primary, 1 replicas"
    database = Database(settings, name="reactions-test")
    with connect(settings) as client:
        families: list[Metric] = list(StoresCollector(client, database, settings).collect())
        assert primaries(families) == [1.0]
        watched.fail_over()
        wait_until(
            lambda: primaries(list(StoresCollector(client, database, settings).collect())) == [1.0],
            what="the new primary",
        )
        check_primary(client)
    database.close()


def primaries(families: list[Metric]) -> list[float]:
    return [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "reactions_redis_primary"
    ]


def test_a_planned_failover_loses_nothing(settings: Settings, watched: Watched) -> None:
    wait_until(watched.serves, 60, "the replica is in step")
    with Reactions(settings) as client, Load(client, 2042) as load:
        watched.fail_over()
        load.wait(100)
    assert load.lost(settings) == set()


def test_an_unplanned_failover_keeps_what_a_replica_had(
    settings: Settings, watched: Watched
) -> None:
    wait_until(watched.serves, 60, "the replica is in step")
    with Reactions(settings) as client:
        with Load(client, 3042, replicas=1) as load:
            old = watched.primary()
            old.kill()
            wait_until(lambda: load.failed, 30, "writes fail")
        wait_until(lambda: watched.primary() is not old, 60, "another primary")
        wait_until(lambda: reacts(client), 60, "writes go on")
    assert load.lost(settings) == set()


def reacts(client: Reactions) -> bool:
    try:
        client.react(1, 4042, "like")
    except ReactionsUnavailable:
        return False
    return True
