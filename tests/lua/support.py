"""What the tests of several scripts share: calls of scripts, and reads of what they wrote."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from redis import Redis

from reactions.redis import buckets
from reactions.redis.buckets import bucket_of
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import drain, lookups, writes
from reactions.redis.scripts import user_cache as user_scripts
from reactions.redis.scripts.drain import (
    BECAME_REGULAR,
    BECAME_VIRAL,
    LOAD_HASH,
    LOAD_SAMPLE,
    SettledPost,
    TierRules,
)
from reactions.redis.scripts.writes import ReactReply
from reactions.redis.summary_parser import fold_changes, parse_base
from tests.support.loads import SingleLoads

SHARD = 42
POST, OTHER = 1042, 1142
USER, FELLOW = 4_242, 4_342
FOREVER = 2**62
LEASE = 5_000_000
VIRAL, LOW = 10, 8
COLD_MS, REGULAR_MS, HOT_MS, VIRAL_MS = 100_000, 200_000, 300_000, 400_000
TIERS = TierRules(VIRAL, LOW, 1000, COLD_MS, REGULAR_MS, HOT_MS, VIRAL_MS)
TIERS_AT_100 = TierRules(100, 80, 1000, 60_000, 61_000, 62_000, 63_000)
VIRAL_KEYS = {"viral", "total_reactions", "recent", "uniques"}
UNCHANGED, CREATED, REPLACED, REMOVED, ACCEPTED, REFUSED = range(6)
_tokens = itertools.count()


def react(redis: Redis, user: int, code: int, post: int = POST) -> ReactReply:
    return ReactReply(*writes.record(keys, user, post, code, 10_000_000).run(redis))


def settle(redis: Redis, counts: Mapping[int, int], **more: Any) -> int:
    """Like ``settled``; return only what to load or divide, 0 for nothing."""
    reported = settled(redis, counts, **more) - {BECAME_VIRAL, BECAME_REGULAR}
    return reported.pop() if reported else 0


def settled(
    redis: Redis,
    counts: Mapping[int, int],
    *,
    post: int = POST,
    share: int = 1000,
    hot: bool = False,
    drop: int = 0,
    behind: Iterable[tuple[int, int]] = (),
) -> set[int]:
    """Claim the pending changes of a post and settle them; return what ``settle`` reports of it.

    Args:
        counts: what the database has.
        behind: (user, code) that arrive after the claim, and are pending at the settlement.
    """
    token = f"claim{next(_tokens)}"
    redis.zadd(keys.outbox_dirty(SHARD), {str(post): 1}, nx=True)
    redis.hset(keys.post_pending(post), "999999", "1:1")  # so that there is something to claim
    claimed = drain.claim(
        keys, SHARD, token, "", lease_us=LEASE, longest_us=LEASE, posts=9, rows=999, inline=999
    ).run(redis)
    assert claimed[0] == 1
    for user, code in behind:
        react(redis, user, code, post)
    posts = [SettledPost(post, share, hot, drop, counts)]
    reply = drain.settle(keys, SHARD, token, claimed[1], tiers=TIERS, lags={}, posts=posts).run(
        redis
    )
    assert reply[0] == 1
    assert set(reply[3::2]) <= {str(post).encode()}
    reported = set(reply[4::2])
    if reported & {LOAD_HASH, LOAD_SAMPLE}:
        assert text(redis.get(keys.post_loading(post))) == token
        assert 0 < redis.pttl(keys.post_loading(post)) <= TIERS.loading_ms
    else:
        assert not redis.exists(keys.post_loading(post))
    return reported


def sample(
    store: SingleLoads,
    newest: Iterable[tuple[int, int]],
    *,
    post: int = POST,
    total: int | None = None,
    ever: Iterable[int] = (),
) -> None:
    rows = list(newest)
    assert store.fence(post, "t")
    assert store.install_sample(
        post, "t", total=len(rows) if total is None else total, newest=rows, ever=ever
    )


def complete(store: SingleLoads, rows: Mapping[int, int], post: int = POST) -> None:
    assert store.fence(post, "t")
    assert store.install_reactions(post, "t", rows)


def text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else None


def number(redis: Redis, key: str) -> int | None:
    found = text(redis.get(key))
    return None if found is None else int(found)


def fields(redis: Redis, key: str) -> dict[int, int]:
    found: Any = redis.hgetall(key)
    return {int(field): int(value) for field, value in found.items()}


def entries(redis: Redis, post: int = POST) -> dict[int, int]:
    """user -> code over all buckets. Each bucket must have its mark and only its own users."""
    first = keys.post_reactions(post)
    size = fields(redis, first)[0]
    found: dict[int, int] = {}
    for at in range(abs(size)):
        bucket = fields(redis, keys.bucket(first, at))
        assert bucket.pop(0) == (1 if at else size)
        assert all(bucket_of(user, abs(size)) == at for user in bucket)
        found |= bucket
    return found


def recent(redis: Redis, post: int = POST) -> list[int]:
    found: Any = redis.lrange(keys.post_recent(post), 0, -1)
    return [int(user) for user in found]


def user_in(bucket: int, size: int, after: int = 0) -> int:
    """The next user who belongs to this bucket."""
    return next(user for user in itertools.count(after + 1) if bucket_of(user, size) == bucket)


def bucket_names(entries_of_it: int) -> set[str]:
    """The names of the buckets of a loaded hash with so many entries."""
    size = buckets.count_for(entries_of_it)
    return {"reactions", *(f"reactions:{at}" for at in range(1, size))}


def names(redis: Redis, post: int = POST) -> set[str]:
    """The last parts of the names of all keys of a post."""
    found: Any = redis.keys(f"post:*:{post}:*")
    return {str(key, "ascii").split(":", 3)[3] for key in found}


def key_of(what: str, post: int = POST) -> str:
    return f"post:{{{SHARD}}}:{post}:{what}"


def lives(redis: Redis, post: int = POST) -> dict[str, int]:
    """Each cache key of a post -> its TTL in ms, rounded up to seconds."""
    outbox = {"pending", "claimed", "delta", "loading"}
    return {
        what: -(-int(redis.pttl(key_of(what, post))) // 1000) * 1000
        for what in names(redis, post) - outbox
    }


def shorten(redis: Redis, post: int = POST) -> None:
    for what in lives(redis, post):
        redis.pexpire(key_of(what, post), 20_000)


def claim(
    redis: Redis, token: str, previous: str = "", posts: int = 100, rows: int = 1000, **more: int
) -> Any:
    limits: dict[str, Any] = {"lease_us": LEASE, "longest_us": LEASE, "inline": 1000, **more}
    return drain.claim(keys, SHARD, token, previous, posts=posts, rows=rows, **limits).run(redis)


def acknowledge(redis: Redis, token: str, claimed: Any, counts: dict[int, dict[int, int]]) -> Any:
    """Settle what ``claimed`` took. ``counts``: post -> its counts in the database."""
    over = {int(post) for post, _, _, taken_over, _ in claimed[3:] if taken_over}
    posts = [SettledPost(p, 1000, False, 0, found, p in over) for p, found in counts.items()]
    call = drain.settle(
        keys, SHARD, token, claimed[1], tiers=TIERS_AT_100, lags={100: 3}, posts=posts
    )
    return call.run(redis)


def lease_expiry(redis: Redis) -> int:
    return int(str(redis.get(keys.outbox_lease(SHARD))).split("|")[1])


def rows(reply: Any) -> dict[int, dict[int, int]]:
    """post -> user -> code of a reply of ``claim``."""
    return {
        int(post): {
            int(user): int(entry.split(b":")[0])
            for user, entry in zip(flat[::2], flat[1::2], strict=True)
        }
        for post, _, _, _, flat in reply[3:]
    }


def write_through_users(
    redis: Redis, users: Mapping[int, list[tuple[int, int]]], until: int = FOREVER
) -> int:
    return int(
        user_scripts.write_through_users(keys, until, 100_000, [500] * len(users), users).run(redis)
    )


def cached_of(redis: Redis, user: int = USER) -> dict[int, int]:
    return fields(redis, keys.user_reactions(user))


def announce_load(redis: Redis, token: str = "t", user: int = USER) -> None:  # noqa: S107 - no secret
    redis.set(keys.user_loading(user), token, px=30_000)


def install_user(
    redis: Redis,
    found: Mapping[int, int],
    token: str = "t",  # noqa: S107
    *,
    user: int = USER,
    whole: bool = False,
) -> int:
    return int(user_scripts.install_user(keys, user, token, 50_000, found, whole=whole).run(redis))


def cache_user(redis: Redis, found: Mapping[int, int], *, user: int = USER) -> None:
    """Cache all reactions of a user, as a load does; a drain writes only to a user who is cached.

    The TTL is short, so that a later renewal shows.
    """
    announce_load(redis, user=user)
    assert install_user(redis, found, user=user, whole=True) == 1
    redis.pexpire(keys.user_reactions(user), 20_000)


def lookup(redis: Redis, user: int = 0, post: int = POST) -> tuple[int, int, int, dict[int, int]]:
    ((tier, size, code, *flat),) = lookups.lookup_posts(
        keys, [post], user, [1_000], cold_ms=COLD_MS, regular_ms=REGULAR_MS, viral_ms=VIRAL_MS
    ).run(redis)
    return tier, size, code, {int(k): int(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def read_summary(
    redis: Redis, post: int = POST
) -> tuple[int, dict[int, int], dict[int, int]] | None:
    """Tier, counts after all changes, and user -> code of everyone listed; None without a key."""
    value = redis.get(keys.post_summary(post))
    if value is None:
        return None
    assert isinstance(value, bytes)
    base, _, changes = value.partition(b";")
    tier, counts = parse_base(base)
    counts, listed = fold_changes(counts, changes) if changes else (counts, {})
    return tier, {code: number for code, number in counts.items() if code and number}, listed
