"""summary_cache.py on a cluster: the summaries first, then the user; never an answer in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from redis import RedisCluster

from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Summary
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis import summary_cache
from reactions.redis.cluster_pipeline import send_packed
from reactions.redis.connection import Client, connect, execute_many, execute_packed
from reactions.redis.keys import default_keys as keys
from reactions.redis.summary_cache import SummaryCache
from reactions.redis.wire import Words

pytestmark = pytest.mark.slow

POST = 1042
USER = 7
FEED = range(1, 61)  # of many shards, on every node


@pytest.fixture
def client(cluster: list[Valkey]) -> Iterator[Client]:
    with connect(Settings(redis_url=cluster[0].url, redis_cluster=True)) as client:
        yield client


@pytest.fixture
def cache(client: Client) -> SummaryCache:
    return SummaryCache(client, Settings(redis_cluster=True, viral_threshold=100))


def write(client: Client, value: str, post: int = POST) -> None:
    client.set(keys.post_summary(post), value)


def own(client: Client, cached: dict[int, int]) -> None:
    flat = [str(part) for pair in ({0: 1} | cached).items() for part in pair]
    client.hset(keys.user_reactions(USER), items=flat)


def read(cache: SummaryCache, user: int = USER) -> Summary | None:
    return cache.read([POST], user).summaries.get(POST)


def between_the_trips(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Do something when the summaries have been read, and the user has not."""

    def executing(client: Client, commands: Sequence[Words]) -> list[Any]:
        change()
        return execute_many(client, commands)

    monkeypatch.setattr(summary_cache, "execute_many", executing)


def test_a_feed_over_all_nodes(cache: SummaryCache, client: Client) -> None:
    assert isinstance(client, RedisCluster)
    for post in FEED:
        if post % 3:
            write(client, f"0,1,{post}", post)
    own(client, dict.fromkeys(FEED[:10], 1))
    for user in (0, USER):
        found = cache.read(FEED, user).summaries
        assert {post: summary.total for post, summary in found.items()} == {
            post: post for post in FEED if post % 3
        }
        reacted = {post for post, summary in found.items() if summary.reaction == "like"}
        assert reacted == ({post for post in FEED[:10] if post % 3} if user else set())


def test_an_own_reaction_that_the_counts_lack_is_looked_up(
    cache: SummaryCache, client: Client
) -> None:
    own(client, {POST: 1, POST + 1: 1})
    write(client, "0,1,1,2,3", POST + 1)
    for lacking in ("0,2,3", "0,1,0,2,3", "0,1,-1,2,3", "0,1,1,2,3;9:1:0"):
        write(client, lacking)
        assert set(cache.read([POST, POST + 1], USER).summaries) == {POST + 1}
    write(client, "0,1,1,2,3;9:1:0;7:0:1")
    found = read(cache)
    assert found is not None
    assert (found.reaction, found.total) == ("like", 4)


def test_a_change_that_becomes_durable_between_the_trips(
    cache: SummaryCache, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary is from before the reaction, the user's hash from after the drain."""
    write(client, "0,2,3")
    own(client, {})
    between_the_trips(monkeypatch, lambda: own(client, {POST: 1}))
    assert read(cache) is None


def test_a_settlement_between_the_trips_takes_no_reaction_away(
    cache: SummaryCache, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(client, "0,1,3;7:0:1")
    own(client, {})
    between_the_trips(monkeypatch, lambda: client.delete(keys.post_summary(POST)))
    found = read(cache)
    assert found is not None
    assert (found.reaction, found.total) == ("like", 4)


STAMPED = "0,0,{},2,3"
"""A summary with a stamp."""


def test_summaries_that_were_read_before_need_no_second_trip(
    cache: SummaryCache, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for post in FEED:
        if post % 3:
            write(client, STAMPED.format(post), post)
    own(client, {FEED[0]: 2})
    first = cache.read(FEED, USER)
    between_the_trips(monkeypatch, lambda: pytest.fail("there is a second trip"))
    assert cache.read(FEED, USER) == first
    assert first.summaries[FEED[0]].reaction == "love"
    assert cache.read(FEED, USER + 1).user_loaded is False


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (STAMPED.format(1), STAMPED.format(2)),  # the same counts again
        (STAMPED.format(1), STAMPED.format(1) + ";9:0:2;9:2:0"),
        ("0,2,3", "0,2,3"),  # of a version that stamps nothing
    ],
)
def test_a_drain_between_the_answers_of_the_nodes(
    cache: SummaryCache,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
) -> None:
    """The user's node answers, then a drain ends, then the post's node answers."""
    write(client, before)
    own(client, {})
    assert read(cache) is not None

    def drain(client: RedisCluster, slots: Sequence[int], packed: Sequence[bytes]) -> list[Any]:
        replies = send_packed(client, slots[1:], packed[1:])
        own(client, {POST: 2})
        write(client, after)
        return [*send_packed(client, slots[:1], packed[:1]), *replies]

    monkeypatch.setattr(summary_cache, "execute_packed", drain)
    found = read(cache)
    assert found is not None
    assert found.reaction == "love"


def test_after_a_question_in_vain_the_next_feeds_ask_the_user_last(
    cache: SummaryCache, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(client, {})
    asked: list[int] = []

    def executing(client: Client, slots: Sequence[int], packed: Sequence[bytes]) -> list[Any]:
        asked.append(len(slots) - 1)
        return execute_packed(client, slots, packed)

    write(client, STAMPED.format(1))
    read(cache)
    monkeypatch.setattr(summary_cache, "execute_packed", executing)
    for stamp in range(2, 9):
        write(client, STAMPED.format(stamp))
        read(cache)
    assert [bool(more) for more in asked] == [True, False, False, False, True, False, False]


def test_what_another_thread_reads_in_between_does_not_count(
    cache: SummaryCache, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the new text after the user's node answered."""
    write(client, STAMPED.format(1))
    own(client, {})
    read(cache)

    def drain(client: RedisCluster, slots: Sequence[int], packed: Sequence[bytes]) -> list[Any]:
        replies = send_packed(client, slots[1:], packed[1:])
        own(client, {POST: 2})
        write(client, STAMPED.format(2))
        monkeypatch.undo()
        read(cache, 0)
        return [*send_packed(client, slots[:1], packed[:1]), *replies]

    monkeypatch.setattr(summary_cache, "execute_packed", drain)
    found = read(cache)
    assert found is not None
    assert found.reaction == "love"


@pytest.mark.parametrize("value", ["garbage", "0,1,5;7"])
def test_a_foreign_summary_is_as_good_as_none(
    cache: SummaryCache, client: Client, value: str
) -> None:
    own(client, {})
    write(client, value)
    assert read(cache) is None
    client.delete(keys.post_summary(POST))
    client.rpush(keys.post_summary(POST), "1")
    assert read(cache) is None


def test_a_node_that_is_gone_takes_its_posts_with_it(
    cache: SummaryCache, client: Client, cluster: list[Valkey]
) -> None:
    for post in FEED:
        write(client, "0,1,5", post)
    own(client, {})
    lost = [post for post in FEED if _port_of(client, keys.post_summary(post)) == cluster[2].port]
    cluster[2].kill()
    found = cache.read(FEED, USER)
    assert list(found.failed) == lost
    assert sorted(found.summaries) == [post for post in FEED if post not in lost]
    with pytest.raises(ReactionsUnavailable):
        cache.read(lost, USER)


def test_a_user_whose_node_is_gone_is_not_loaded(
    cache: SummaryCache, client: Client, cluster: list[Valkey]
) -> None:
    for post in FEED:
        write(client, "0,1,5", post)
    port = _port_of(client, keys.user_reactions(USER))
    next(node for node in cluster if node.port == port).kill()
    found = cache.read(FEED, USER)
    assert not found.user_loaded
    assert not found.summaries
    assert {*found.waiting, *found.failed} == {*FEED}
    assert found.waiting


def _port_of(client: Client, key: str) -> int:
    node: Any = client.get_node_from_key(key)  # type: ignore[union-attr]
    return int(node.port)
