"""The whole system on a Redis Cluster of three nodes: slots, and reads of own writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import RedisCluster

from reactions import PostDeleted
from reactions.core.model import Tier
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.drain.batch import Drained
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.waiting import patient

pytestmark = pytest.mark.slow

POSTS = range(1, 41)


@pytest.fixture
def spread(cluster: list[Valkey], database_url: str) -> Iterator[Engine]:
    engine = make_engine(
        Settings(
            redis_url=cluster[0].url,
            redis_cluster=True,
            database_url=database_url,
            broker_url=DEAD_BROKER,
            viral_threshold=30,
            **patient(),
        )
    )
    yield engine
    engine.close()


def test_the_whole_system_on_three_nodes(spread: Engine) -> None:
    client = spread.reactions
    assert isinstance(spread.client, RedisCluster)
    client.react_many((1, post, "like") for post in POSTS)
    for node in spread.client.get_primaries():  # type: ignore[no-untyped-call]
        assert node.redis_connection.dbsize() > 0
    for user in range(1, 25):
        client.react_many((user, post, "like") for post in POSTS)
    spread.drain()
    client.react_many((99, post, "love") for post in POSTS)
    spread.drain()  # the second use of each post loads its complete hash
    client.react_many((user, 7, "wow") for user in range(100, 140))
    spread.drain()  # post 7 becomes viral
    summaries = client.summaries(POSTS, 99)
    assert [summary.post_id for summary in summaries] == list(POSTS)
    assert {summary.reaction for summary in summaries} == {"love"}
    assert [s.post_id for s in summaries if s.tier is Tier.VIRAL] == [7]
    assert summaries[6].total == 65
    assert [r.user_id for r in client.recent(7, 3)] == [139, 138, 137]
    assert [r.user_id for r in client.reactors(5, "love").items] == [99]
    assert len(client.history(1, 200).items) == len(POSTS)
    assert client.uniques(7) == 65
    assert client.reaction_of(98, 3) is None
    client.delete_post(7)
    client.forget_user(2)
    while any(spread.erasure_requests.unfinished()):
        spread.eraser.erase()
        spread.drain()
    with pytest.raises(PostDeleted):
        client.react(1, 7, "like")
    assert client.history(2).items == ()
    assert client.summaries([5], 2)[0].total == 24
    found = spread.verify()
    assert found.holds, found
    assert found.reactions == 24 * (len(POSTS) - 1)


def test_users_read_what_they_wrote_at_every_step(spread: Engine) -> None:
    """The cache of a user is on another node than the post."""
    client, names = spread.reactions, ("like", "love", None)
    for round_ in range(4):
        written = {post: names[(round_ + post) % 3] for post in POSTS}
        client.react_many((1, post, name) for post, name in written.items())

        def check(written: dict[int, str | None] = written) -> None:
            assert {s.post_id: s.reaction for s in client.summaries(POSTS, 1)} == written

        check()
        claims, failed = spread.outbox.claim(dict.fromkeys(range(100), ""))
        assert not failed
        check()
        batch = spread.persister.record(claims, Drained())
        check()
        spread.persister.settle(claims, batch, Drained())
        check()
