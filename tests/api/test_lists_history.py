"""``Lists.history``: what a user reacted on."""

from __future__ import annotations

import itertools

from reactions.api.client import Reactions
from reactions.core.model import Reacted, Row
from tests.support.engine import Engine
from tests.support.reading import (
    FEED,
    USER,
    traffic,
)


def walk_history(client: Reactions, user_id: int, limit: int) -> list[Reacted]:
    found: list[Reacted] = []
    cursor = None
    while True:
        page = client.history(user_id, limit, cursor)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def test_history_lists_reactions_newest_first(engine: Engine) -> None:
    client = engine.reactions
    expected: list[Reacted] = []
    for post in range(1, 61):
        version = client.react(USER, post, "like").version
        assert version is not None
        expected.insert(0, Reacted(post, "like", version))
        client.react(USER + 1, post, "wow")
    engine.drain()
    version = client.react(USER, 5, "love").version
    assert version is not None
    client.unreact(USER, 50)
    assert walk_history(client, USER, 50) == expected  # a batch behind
    engine.drain()
    expected = [r for r in expected if r.post_id not in (5, 50)]
    expected.insert(0, Reacted(5, "love", version))
    for limit in (1, 7, 58, 59, 60, 200):
        assert walk_history(client, USER, limit) == expected
    assert client.history(USER, 59).cursor is None
    assert client.history(USER + 2).items == ()


def test_history_takes_one_round_trip_and_one_query_a_page(engine: Engine) -> None:
    engine.reactions.react_many((USER, post, "like") for post in FEED)
    engine.drain()
    client = engine.reactions
    cursor = client.history(USER, 5).cursor
    with traffic(client) as seen:
        client.history(USER, 5, cursor)
    assert (seen.trips, len(seen.queries)) == (1, 1)


def test_history_pages_through_posts_of_equal_versions(engine: Engine) -> None:
    """Versions are unique only within a shard."""
    version = 1_700_000_000_000_000
    rows = [
        Row(post, USER, 1 + post % 3, version + post // 20)  # twenty shards at each version
        for post in range(1, 101)
    ]
    engine.ledger.record(rows)
    newest = [(row.post_id, row.version) for row in reversed(rows)]
    for limit in (1, 2, 3, 7, 50):
        found = walk_history(engine.reactions, USER, limit)
        assert [(r.post_id, r.version) for r in found] == newest


def test_history_is_stable_while_the_user_reacts(engine: Engine) -> None:
    client = engine.reactions
    client.react_many((USER, post, "like") for post in range(1, 41))
    engine.drain()
    seen: list[int] = []
    cursor = None
    new = itertools.count(1_000)
    while True:
        page = client.history(USER, 7, cursor)
        seen += [r.post_id for r in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        client.react_many((USER, next(new), "wow") for _ in range(5))
        engine.drain()
    assert seen == list(range(40, 0, -1))


def test_history_leaves_out_deleted_posts(engine: Engine) -> None:
    client = engine.reactions
    client.react_many((USER, post, "like") for post in range(1, 11))
    engine.drain()
    client.delete_post(4)
    while any(engine.erasure_requests.unfinished()):
        engine.eraser.erase()
    assert [r.post_id for r in client.history(USER).items] == [10, 9, 8, 7, 6, 5, 3, 2, 1]
