"""``react(…, replicas=n)``: how many replicas have a reaction before the call returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

import reactions
from reactions import (
    BatchInterrupted,
    InvalidArgument,
    NotReplicated,
    PostDeleted,
    Reactions,
    Settings,
    Status,
)
from reactions.core.constants import MAX_REPLICAS
from reactions.redis.keys import default_keys as keys
from tests.redis.replication import POST, Pair, running_pair, settings_for
from tests.support.reading import traffic
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(params=["valkey", "redis"], scope="module")
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair"), request.param) as pair:
        yield pair


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    """A pair of empty servers."""
    with Redis(port=shared.primary.port) as primary:
        primary.flushall()
    yield shared
    shared.resume()


def test_a_replica_has_an_acknowledged_reaction_after_one_round_trip(pair: Pair) -> None:
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


def test_too_few_replicas_raise_an_error_with_the_outcome(pair: Pair) -> None:
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


def test_the_wait_covers_a_reaction_of_another_connection(pair: Pair) -> None:
    """``WAIT`` alone would return immediately: its own connection has written nothing."""
    with Reactions(pair.hasty.settings) as other:
        other.react(2, POST + 7, "like")
        pair.client.react(2, POST + 8, "like", replicas=1)
        pair.pause()
        with pytest.raises(NotReplicated):
            pair.hasty.react(1, POST, "like", replicas=1)
        with pytest.raises(NotReplicated) as caught:
            other.react(1, POST, "like", replicas=1)
        assert caught.value.outcome is not None
        assert caught.value.outcome.status is Status.UNCHANGED
        assert caught.value.confirmed == 0
        pair.resume()
        assert pair.client.react(1, POST, "like", replicas=1).status is Status.UNCHANGED
    assert pair.pending() == {1}


def test_the_wait_covers_a_script_that_the_server_lacked(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica stalls between the first attempt and the second one."""
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


def test_errors_of_an_item_take_precedence_over_the_replicas(pair: Pair) -> None:
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


# -- arguments, and servers without a replica ------------------------------------------------------


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
            with pytest.raises(NotReplicated, match="0 of 1") as caught:
                client.react_many([(1, post, "like") for post in range(1, 101)], replicas=1)
            with Redis(port=server.port) as redis:  # for all posts; one more without script
                assert redis.info("commandstats")["cmdstat_wait"]["calls"] <= 2
            assert all(caught.value.outcomes)
            assert client.react(1, 7, "like").status is Status.UNCHANGED
