"""The cached reactions of users are compared from Redis on, not only from PostgreSQL."""

from __future__ import annotations

import pytest

from reactions.maintenance.compare import Kind
from reactions.maintenance.verify import Verifier
from reactions.redis.keys import default_keys as keys
from tests.maintenance.damage import REGULAR
from tests.support.engine import Engine

UNKNOWN = 99_042
"""A post that PostgreSQL does not know."""


@pytest.mark.parametrize(
    ("post", "code"),
    [(UNKNOWN, "1"), (REGULAR, "6"), (REGULAR, None), (REGULAR, "x")],
    ids=["a post that only Redis knows", "another type", "a missing one", "no code"],
)
def test_what_only_redis_knows_is_found_and_dropped(
    sound: Engine, post: int, code: str | None
) -> None:
    """User 5 reacted to the regular post; every reaction of the user is cached."""
    sound.user_loader.load([5])
    name = keys.user_reactions(5)
    assert sound.client.hget(name, "0") == b"1"
    if code is None:
        sound.client.hdel(name, str(post))
    else:
        sound.client.hset(name, str(post), code)
    found = sound.verify()
    assert found.found[Kind.USER] >= 1
    assert f"user 5: the cached reactions to posts [{post}] differ" in found.examples
    assert not found.holds
    repaired = Verifier(sound.client, sound.database, sound.settings, repair=True).verify()
    assert repaired.repaired >= 1
    assert sound.verify().found == {}


def test_a_user_with_pending_changes_is_no_difference(sound: Engine) -> None:
    sound.user_loader.load([5])
    sound.reactions.react(5, REGULAR, "wow")
    sound.reactions.react(5, UNKNOWN, "wow")
    assert sound.verify().found == {}
