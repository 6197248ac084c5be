"""TTLs that tell the tiers apart, and helpers that read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine

POST = 1042
USER = 7


COLD, REGULAR, HOT, VIRAL, OF_USERS = 1_000, 2_000, 3_000, 4_000, 5_000  # s


JITTER = 0.2
SUMMARY = "summary"
SUMMARY_SHARE = 1 / 4  # of the TTL of its post
VIRAL_FROM = 15


def with_lives(settings: Settings, **update: float) -> Settings:
    return settings.model_copy(
        update={
            "cache_ttl_cold_s": COLD,
            "cache_ttl_regular_s": REGULAR,
            "cache_ttl_hot_s": HOT,
            "cache_ttl_viral_s": VIRAL,
            "cache_ttl_user_s": OF_USERS,
            "cache_ttl_jitter": JITTER,
            "viral_threshold": VIRAL_FROM,
            "hot_rate": 1e6,
            **update,
        }
    )


def react(engine: Engine, post_id: int, users: Iterable[int], reaction: str = "like") -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in users)


def lives(engine: Engine, pattern: str = "*") -> dict[str, float]:
    """Return key -> TTL in seconds, -1 for a key without one."""
    found = [key.decode() for key in engine.client.scan_iter(pattern, count=10_000)]
    with engine.client.pipeline(transaction=False) as pipe:
        for key in found:
            pipe.pttl(key)
        replies = pipe.execute()
    return {
        key: life / 1000 if life >= 0 else -1.0
        for key, life in zip(found, replies, strict=True)
        if life != -2
    }


def of_post(engine: Engine, post_id: int = POST) -> dict[str, float]:
    """Return the last part of each cache key of a post -> its TTL in seconds."""
    return {
        key.split(":", 3)[3]: life
        for key, life in lives(engine, f"post:*:{post_id}:*").items()
        if life >= 0
    }


def check(found: dict[str, float], life: float, *names: str) -> None:
    """Assert that all these keys exist, and that every key has this TTL, less jitter.

    A summary has its share of it. It ends before the other keys, so that reads renew those in time.
    """
    for name in names:
        assert any(re.fullmatch(name, key) for key in found), f"no {name} in {found}"
    right = {key: life * SUMMARY_SHARE if key == SUMMARY else life for key in found}
    wrong = {key: left for key, left in found.items() if not within(left, right[key])}
    assert wrong == {}, f"not {right}"


def within(left: float, life: float) -> bool:
    return life * (1 - JITTER) - 10 <= left <= life


def shorten(engine: Engine, pattern: str) -> None:
    """Let the TTLs nearly end."""
    for key, life in lives(engine, pattern).items():
        if life >= 0:
            engine.client.pexpire(key, 50_000)


def read(engine: Engine, user: int | None = None, post_id: int = POST) -> None:
    """Read a post by way of the lookup script, as the first read after the end of a summary."""
    engine.client.delete(keys.post_summary(post_id))
    engine.reactions.summaries([post_id], user)


def prepare(engine: Engine, tier: str) -> float:
    """Make a post of this tier, and return its TTL."""
    react(engine, POST, range(1, VIRAL_FROM + 5 if tier == "viral" else 9))
    engine.drain()
    if tier == "regular":
        assert engine.loader.load([POST]) == 1
    return {"cold": COLD, "regular": REGULAR, "viral": VIRAL}[tier]
