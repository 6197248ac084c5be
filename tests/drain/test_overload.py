"""Reactions arrive faster than drains take them: only distinct pairs add to the backlog."""

from __future__ import annotations

import random
from itertools import islice, product
from typing import Any

import pytest

from reactions.core.constants import shard_of
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine

POSTS, USERS = range(1, 41), range(1, 51)
PAIRS = list(product(USERS, POSTS))
ROUNDS = 8


def outbox_bytes(engine: Engine) -> int:
    """MEMORY USAGE of every key of the outbox."""
    client: Any = engine.client
    names = {
        *(f(post) for post in POSTS for f in (keys.post_pending, keys.post_delta)),
        *(
            f(shard_of(post))
            for post in POSTS
            for f in (keys.outbox_dirty, keys.outbox_clock, keys.outbox_wake)
        ),
    }
    found = {key.decode() for key in client.keys()}
    assert found - {keys.outbox_types(), keys.outbox_layout()} == names
    return sum(client.memory_usage(name, samples=0) for name in names)


def test_a_backlog_is_bounded_by_distinct_pairs(engine: Engine) -> None:
    chance, names = random.Random(1), [*engine.settings.reaction_types, None]  # noqa: S311
    wanted: dict[tuple[int, int], str | None] = {}
    bytes_: list[int] = []
    fresh: dict[tuple[int, int], str | None] = {}
    for _ in range(ROUNDS):
        chance.shuffle(PAIRS)
        fresh = {pair: chance.choice(names) for pair in PAIRS}
        wanted |= fresh
        engine.reactions.react_many((user, post, fresh[user, post]) for user, post in PAIRS)
        assert engine.outbox_state.pending() == len(PAIRS)
        bytes_.append(outbox_bytes(engine))
    assert max(bytes_) < 1.02 * min(bytes_)  # a few digits in the deltas
    for (user, post), name in islice(fresh.items(), 50):
        assert engine.reactions.reaction_of(user, post) == name
    engine.drain()
    rows = engine.queries.reactions(POSTS)
    codes = engine.settings.reaction_types
    expected = {(user, post): codes[name] for (user, post), name in wanted.items() if name}
    assert {(u, p): code for p, users in rows.items() for u, code in users.items()} == expected
    assert engine.verify().holds


@pytest.mark.parametrize(("users", "posts"), [(500, 4), (1, 400)])
def test_pending_changes_take_no_more_memory_than_documented(
    engine: Engine, users: int, posts: int
) -> None:
    """Operators plan with this formula of docs/reliability.md."""
    client: Any = engine.client

    def used() -> int:
        return sum(client.memory_usage(name, samples=0) for name in client.keys())

    engine.reactions.react_many((1, post, "like") for post in range(1, 101))
    client.delete(*client.keys("post:*"))
    before = used()
    for first in range(1, users + 1, 100):
        engine.reactions.react_many(
            (2**61 + user, 2**61 + post, "like")
            for user in range(first, min(first + 100, users + 1))
            for post in range(posts)
        )
    taken = used() - before
    documented = 350 * posts + 35 * users * posts
    assert documented / 2 < taken < documented
