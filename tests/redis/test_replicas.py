"""``react(…, replicas=n)``: what it returned from outlives the primary and its disk."""

from __future__ import annotations

import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster
from redis.exceptions import RedisError

import reactions
from reactions import (
    BatchInterrupted,
    InvalidArgument,
    NotReplicated,
    PostDeleted,
    Reactions,
    ReactionsUnavailable,
    Settings,
    Status,
)
from reactions.core.constants import MAX_REPLICAS
from reactions.demo.embedded import Valkey
from reactions.redis import keys
from reactions.redis.server_options import VALKEY_OPTIONS
from tests.support.engine import DEAD_BROKER, make_engine
from tests.support.reading import traffic
from tests.support.servers import cluster_options, own_all_slots, redis_binary, running_redis
from tests.support.waiting import wait_until

POST = 1042
AT_ONCE = {"repl-diskless-sync-delay": "0"}  # a replica is not kept waiting for others


@dataclass
class Pair:
    """A primary, its replica, and a client that waits long and one that does not."""

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
        """Users whose reaction on the post the replica has."""
        with Redis(port=self.replica.port) as replica:
            return {int(user) for user in replica.hkeys(keys.post_pending(post_id))}

    def lose_primary(self) -> None:
        """As a machine that burns."""
        self.primary.kill()
        shutil.rmtree(self.folder / self.primary.name)

    def promote(self) -> None:
        with Redis(port=self.replica.port) as replica:
            replica.replicaof("NO", "ONE")


def settings_for(server: Valkey, **values: object) -> Settings:
    """Patient: a replica that waits for a slow disk is no failure."""
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


@pytest.fixture(params=["valkey", "redis"], scope="module")
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair"), request.param) as pair:
        yield pair


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    """Both empty."""
    with Redis(port=shared.primary.port) as primary:
        primary.flushall()
    yield shared
    shared.resume()


@pytest.fixture(params=["valkey", "redis"])
def doomed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """One that a test may take apart."""
    with running_pair(tmp_path, request.param) as pair:
        yield pair


def test_a_replica_has_what_was_returned_from_in_one_round_trip(pair: Pair) -> None:
    client = pair.client
    with traffic(client) as seen:
        outcome = client.react(1, POST, "love", replicas=1)
    assert (outcome.status, seen.trips) == (Status.ACCEPTED, 1)
    assert pair.pending() == {1}
    assert client.react(1, POST, "love", replicas=1).status is Status.UNCHANGED
    assert client.unreact(1, POST, replicas=1).previous == "love"
    items = [(user, POST, "wow") for user in range(2, 1_000)]
    with traffic(client) as seen:
        outcomes = client.react_many(items, replicas=1)
    assert (len(outcomes), seen.trips) == (len(items), 1)
    assert pair.pending() == set(range(1, 1_000))
    assert client.react_many([], replicas=1) == []


def test_too_few_replicas_are_an_error_with_the_outcome(pair: Pair) -> None:
    def refused() -> NotReplicated:
        with pytest.raises(NotReplicated, match=r"[01] of 2 replicas") as caught:
            pair.hasty.react(1, POST, "like", replicas=2)
        return caught.value

    first = refused()
    assert first.wanted == 2
    assert first.outcome is not None
    assert first.outcome.status is Status.ACCEPTED
    wait_until(lambda: refused().confirmed == 1, what="the one replica to confirm in time")
    assert pair.client.react(1, POST, "like").status is Status.UNCHANGED
    with pytest.raises(NotReplicated) as caught:
        pair.hasty.react_many([(2, POST, "like"), (2, POST + 7, None)], replicas=2)
    assert [o.status for o in caught.value.outcomes if o] == [Status.ACCEPTED, Status.ACCEPTED]
    assert pair.hasty.relay_stats().requested > 0


def test_a_reaction_that_came_over_another_connection_is_waited_for(pair: Pair) -> None:
    """``WAIT`` alone would return at once: all that its own connection wrote is confirmed."""
    with Reactions(pair.hasty.settings) as other:
        other.react(2, POST + 7, "like")
        pair.client.react(2, POST + 8, "like", replicas=1)
        pair.pause()
        began = time.monotonic()
        with pytest.raises(NotReplicated):
            pair.hasty.react(1, POST, "like", replicas=1)
        assert 0.25 < time.monotonic() - began < 1
        with pytest.raises(NotReplicated) as caught:
            other.react(1, POST, "like", replicas=1)
        assert caught.value.outcome is not None
        assert caught.value.outcome.status is Status.UNCHANGED
        assert caught.value.confirmed == 0
        pair.resume()
        assert pair.client.react(1, POST, "like", replicas=1).status is Status.UNCHANGED
    assert pair.pending() == {1}


def test_a_script_that_had_to_be_sent_along_is_waited_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first wait is over by then; the replica stalls between the two."""
    redis = pair.hasty._client
    load = redis.script_load

    def loading(source: str) -> object:
        pair.pause()
        return load(source)

    monkeypatch.setattr(redis, "script_load", loading)
    redis.script_flush()
    with pytest.raises(NotReplicated, match="0 of 1"):
        pair.hasty.react(1, POST, "like", replicas=1)
    pair.resume()
    redis.script_flush()
    monkeypatch.undo()
    assert len(pair.client.react_many([(2, POST, "like"), (3, POST, "like")], replicas=1)) == 2
    assert pair.pending() == {1, 2, 3}


def test_deleted_posts_and_broken_keys_come_first(pair: Pair) -> None:
    client = pair.client
    client.delete_post(POST)
    with pytest.raises(PostDeleted):
        pair.hasty.react(1, POST, "like", replicas=2)
    with pytest.raises(PostDeleted):
        client.react_many([(1, POST, "like"), (1, POST + 1, "wow")], replicas=1)
    with pytest.raises(NotReplicated) as short:
        pair.hasty.react_many([(1, POST, "like"), (1, POST + 1, "sad")], replicas=2)
    assert short.value.outcomes[0] is None
    client._client.set(keys.post_pending(POST + 2), "garbage")
    items = [(1, POST + 2, "like"), (1, POST + 3, "like")]
    for caller, wanted, acknowledged in (
        (client, 1, [False, True]),
        (pair.hasty, 2, [False, False]),
    ):
        with pytest.raises(BatchInterrupted) as cut:
            caller.react_many(items, replicas=wanted)
        assert [outcome is not None for outcome in cut.value.outcomes] == acknowledged


def test_a_primary_that_is_replaced_while_it_waits(doomed: Pair) -> None:
    doomed.pause()
    with Redis(port=doomed.primary.port) as primary:

        def demote() -> None:
            wait_until(lambda: primary.info("clients")["blocked_clients"] == 1)
            primary.replicaof("127.0.0.1", str(doomed.replica.port))

        thread = threading.Thread(target=demote)
        thread.start()
        with pytest.raises(ReactionsUnavailable, match="UNBLOCKED"):
            doomed.client.react(1, POST, "like", replicas=1)
        thread.join()


@dataclass
class Load:
    """Reacts until the primary is gone; what was acknowledged with ``replicas``, and without."""

    kept: set[int] = field(default_factory=set)
    risked: set[int] = field(default_factory=set)
    refused: int = 0

    def run(self, client: Reactions) -> None:
        user = 1
        while True:
            try:
                client.react(user, POST, "like", replicas=1)
                self.kept.add(user)
            except NotReplicated:
                self.refused += 1
            except ReactionsUnavailable:
                return
            try:
                client.react(user + 1, POST, "like")
                self.risked.add(user + 1)
            except ReactionsUnavailable:
                return
            user += 2


def test_what_a_replica_acknowledged_outlives_the_primary(doomed: Pair, database_url: str) -> None:
    """The replica is cut off, then promoted; the primary dies with its data, under load."""
    load = Load()
    fast = settings_for(doomed.primary, replica_timeout_s=0.02)
    with Reactions(fast) as client:
        thread = threading.Thread(target=load.run, args=(client,))
        thread.start()
        wait_until(lambda: len(load.kept) > 200)
        doomed.promote()  # as a partition: the primary serves on, and does not know
        wait_until(lambda: load.refused > 10)
        doomed.lose_primary()
        thread.join()
    held = doomed.pending()
    assert load.kept <= held
    assert len(load.risked - held) >= 10
    engine = make_engine(settings_for(doomed.replica, database_url=database_url))
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: len(held)}
    assert engine.verify().holds
    engine.close()


# -- arguments, and clusters -----------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [-1, MAX_REPLICAS + 1, True, 1.0, "1", None])
def test_a_bad_number_is_refused_before_anything_is_sent(replicas: int) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1/0")) as client:
        for call in (
            lambda: client.react(1, POST, "like", replicas=replicas),
            lambda: client.unreact(1, POST, replicas=replicas),
            lambda: client.react_many([(1, POST, "like")], replicas=replicas),
        ):
            with pytest.raises(InvalidArgument, match=f"^replicas .*0 to {MAX_REPLICAS}"):
                call()


def test_a_lone_server_confirms_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reactions(Settings(redis_url=redis_url, replica_timeout_s=0.02)) as client:
        monkeypatch.setattr("reactions.api.default._client", client)
        for call in (
            lambda: reactions.react(1, POST, "like", replicas=1),
            lambda: reactions.unreact(1, POST, replicas=1),
            lambda: reactions.react_many([(1, POST, "like")], replicas=1),
        ):
            with pytest.raises(NotReplicated, match="0 of 1"):
                call()


def test_a_cluster_of_one_confirms_nothing(tmp_path: Path) -> None:
    with running_redis(tmp_path, "cluster") as server:
        settings = settings_for(server, redis_cluster=True, replica_timeout_s=0.1)
        with Reactions(settings) as client:
            began = time.monotonic()
            with pytest.raises(NotReplicated, match="0 of 1") as caught:
                client.react_many([(1, post, "like") for post in range(1, 101)], replicas=1)
            assert time.monotonic() - began < 1
            assert all(caught.value.outcomes)
            assert client.react(1, 7, "like").status is Status.UNCHANGED


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[Valkey, Valkey]]:
    """A cluster of one primary with one replica."""
    nodes = []
    for name in ("primary", "replica"):
        options = {**cluster_options(), **AT_ONCE, "cluster-replica-validity-factor": "0"}
        nodes.append((Valkey(tmp_path, name, options=options), options["cluster-port"]))
    (primary, bus), (replica, _) = nodes
    try:
        primary.start()
        replica.start()
        own_all_slots(primary)
        with Redis(port=replica.port) as client:
            client.execute_command("CLUSTER MEET", "127.0.0.1", primary.port, bus)
            with Redis(port=primary.port) as other:
                name = other.execute_command("CLUSTER MYID")
            wait_until(lambda: _knows(client, name), what="the nodes to meet")
            client.execute_command("CLUSTER REPLICATE", name)
        wait_until(lambda: in_step(replica), what="the replica to be in step")
        yield primary, replica
    finally:
        replica.stop()
        primary.stop()


def _knows(client: Any, name: bytes) -> bool:
    try:
        client.execute_command("CLUSTER COUNT-FAILURE-REPORTS", name)
    except RedisError:
        return False
    return True


def is_primary(server: Valkey) -> bool:
    with Redis(port=server.port) as client:
        return bool(client.info("replication")["role"] == "master")


def fail_over(primary: Valkey, successor: Valkey) -> None:
    """A busy machine may miss the five seconds that servers give it; then they are asked again."""
    asked = -math.inf
    with Redis(port=successor.port) as client:

        def done() -> bool:
            nonlocal asked
            if is_primary(successor):
                return not is_primary(primary) and serves(successor)
            if time.monotonic() - asked > 6:
                client.execute_command("CLUSTER FAILOVER")
                asked = time.monotonic()
            return False

        wait_until(done, 60, "a failover")
    wait_until(lambda: in_step(primary), what="the old primary to follow")


def serves(node: Valkey) -> bool:
    with Redis(port=node.port) as client:
        return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def test_a_cluster_keeps_its_word_through_failovers(
    shard: tuple[Valkey, Valkey], database_url: str
) -> None:
    """A client that knows the old primary is told, and asks the new one."""
    primary, replica = shard
    settings = settings_for(primary, redis_cluster=True, database_url=database_url)
    with Reactions(settings) as client:
        assert isinstance(client._client, RedisCluster)
        assert len(client.react_many([(1, p, "like") for p in range(1, 201)], replicas=1)) == 200
        fail_over(primary, replica)
        assert client.react(2, POST, "like", replicas=1).status is Status.ACCEPTED
        assert client.react_many([(2, POST, "like")], replicas=1)[0].status is Status.UNCHANGED
        replica.kill()
        with Redis(port=primary.port) as heir:
            heir.execute_command("CLUSTER FAILOVER TAKEOVER")
        wait_until(lambda: is_primary(primary) and serves(primary), what="the takeover")
        with pytest.raises(NotReplicated, match="0 of 1"):
            client.react(3, POST, "like", replicas=1)
    engine = make_engine(settings)
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: 2}
    assert engine.verify().reactions == 202
    engine.close()
