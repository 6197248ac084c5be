"""settle, grow, react, look, recent and the installs: what each tier has cached, and when."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.redis import buckets, keys
from reactions.redis import cache_install as cache
from reactions.redis.buckets import FULL, bucket_of
from reactions.redis.pipeline import Call, run_many
from reactions.redis.post_cache import PostCache
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.scripts import drain, loading, lookups, markers, writes
from reactions.redis.scripts import user_cache as user_scripts
from reactions.redis.scripts.drain import (
    BECAME_REGULAR,
    BECAME_VIRAL,
    LOAD_HASH,
    LOAD_SAMPLE,
    SettledPost,
    TierRules,
)
from reactions.redis.scripts.loading import FenceReply
from reactions.redis.scripts.writes import ReactReply
from tests.support.loads import SingleLoads
from tests.support.waiting import wait_until

SHARD = 42
POST, OTHER = 1042, 1142
LEASE = 5_000_000
VIRAL, LOW = 10, 8
COLD_MS, REGULAR_MS, HOT_MS, VIRAL_MS = 100_000, 200_000, 300_000, 400_000
TIERS = TierRules(VIRAL, LOW, 1000, COLD_MS, REGULAR_MS, HOT_MS, VIRAL_MS)

UNCHANGED, CREATED, REPLACED, REMOVED, ACCEPTED, REFUSED = range(6)

_tokens = itertools.count()


@pytest.fixture
def store(redis: Redis, redis_settings: Settings) -> SingleLoads:
    return SingleLoads(redis, redis_settings)


@pytest.fixture
def posts(redis: Redis, redis_settings: Settings) -> PostCache:
    return PostCache(redis, redis_settings)


@pytest.fixture
def small(store: SingleLoads, monkeypatch: pytest.MonkeyPatch) -> SingleLoads:
    """Samples of four users in two buckets."""
    for module in (drain, loading, writes):
        monkeypatch.setattr(module, "SAMPLE_SIZE", 4)
    monkeypatch.setattr(buckets, "FILL", 2)
    return store


def react(redis: Redis, user: int, code: int, post: int = POST) -> ReactReply:
    return ReactReply(*writes.record(user, post, code, 10_000_000).run(redis))


def settle(redis: Redis, counts: Mapping[int, int], **more: Any) -> int:
    """As ``settled``; only what is to be done with the post."""
    whats = settled(redis, counts, **more) - {BECAME_VIRAL, BECAME_REGULAR}
    return whats.pop() if whats else 0


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
    """Claim what is pending on a post, and acknowledge it; what became of it, and is to be done.

    Args:
        counts: what the database has.
        behind: (user, code) that come after the claim, and are pending at the settlement.
    """
    token = f"claim{next(_tokens)}"
    redis.zadd(keys.outbox_dirty(SHARD), {str(post): 1}, nx=True)
    redis.hset(keys.post_pending(post), "999999", "1:1")  # something to claim, whatever came
    claimed = drain.claim(
        SHARD, token, "", lease_us=LEASE, longest_us=LEASE, posts=9, rows=999, inline=999
    ).run(redis)
    assert claimed[0] == 1
    for user, code in behind:
        react(redis, user, code, post)
    posts = [SettledPost(post, share, hot, drop, counts)]
    reply = drain.settle(SHARD, token, claimed[1], tiers=TIERS, lags={}, posts=posts).run(redis)
    assert reply[0] == 1
    assert set(reply[3::2]) <= {str(post).encode()}
    whats = set(reply[4::2])
    if whats & {LOAD_HASH, LOAD_SAMPLE}:
        assert text(redis.get(keys.post_loading(post))) == token
        assert 0 < redis.pttl(keys.post_loading(post)) <= TIERS.loading_ms
    else:
        assert not redis.exists(keys.post_loading(post))
    return whats


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
    """user -> code over all buckets, each of which must have its mark and only what is its own."""
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
    """The next user whose home is this bucket."""
    return next(user for user in itertools.count(after + 1) if bucket_of(user, size) == bucket)


def bucket_names(entries_of_it: int) -> set[str]:
    """What a loaded hash of so many consists of."""
    size = buckets.count_for(entries_of_it)
    return {"reactions", *(f"reactions:{at}" for at in range(1, size))}


def names(redis: Redis, post: int = POST) -> set[str]:
    """What there is of a post, without the beginning of the names."""
    found: Any = redis.keys(f"post:*:{post}:*")
    return {str(key, "ascii").split(":", 3)[3] for key in found}


def key_of(what: str, post: int = POST) -> str:
    return f"post:{{{SHARD}}}:{post}:{what}"


def lives(redis: Redis, post: int = POST) -> dict[str, int]:
    """Every cache key of a post -> its TTL in ms, as it was set: rounded up to seconds."""
    outbox = {"pending", "claimed", "delta", "loading"}
    return {
        what: -(-int(redis.pttl(key_of(what, post))) // 1000) * 1000
        for what in names(redis, post) - outbox
    }


def shorten(redis: Redis, post: int = POST) -> None:
    for what in lives(redis, post):
        redis.pexpire(key_of(what, post), 20_000)


VIRAL_KEYS = {"viral", "total_reactions", "recent", "uniques"}


# -- settle: promotion, hysteresis, demotion -------------------------------------------------------


def test_a_post_is_viral_from_the_threshold_on(redis: Redis) -> None:
    assert settle(redis, {1: VIRAL - 1}) == 0
    assert not redis.exists(keys.post_viral(POST), keys.post_total_reactions(POST))
    assert settle(redis, {1: VIRAL - 4, 2: 4}) == LOAD_SAMPLE
    assert redis.get(keys.post_viral(POST)) == b"1"
    assert number(redis, keys.post_total_reactions(POST)) == VIRAL


def test_what_is_pending_counts_towards_the_threshold_and_the_total(redis: Redis) -> None:
    assert settle(redis, {1: VIRAL - 2}, behind=[(1, 1)]) == 0
    assert settle(redis, {1: VIRAL - 2}, behind=[(2, 1), (3, 2)]) == LOAD_SAMPLE
    assert number(redis, keys.post_total_reactions(POST)) == VIRAL
    settle(redis, {1: VIRAL + 5}, behind=[(2, 0), (3, 1)])
    assert number(redis, keys.post_total_reactions(POST)) == VIRAL + 4


def test_between_the_marks_a_post_stays_what_it_is(redis: Redis, small: SingleLoads) -> None:
    assert settle(redis, {1: LOW}) == 0
    assert not redis.exists(keys.post_viral(POST))
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], total=VIRAL, ever=[1])
    assert settle(redis, {1: LOW}) == 0
    assert names(redis) >= VIRAL_KEYS
    assert number(redis, keys.post_total_reactions(POST)) == LOW


@pytest.mark.parametrize("lost", [(), ("viral",), ("recent", "uniques"), ("total_reactions",)])
def test_below_the_low_mark_a_post_is_regular_again(
    redis: Redis, small: SingleLoads, lost: tuple[str, ...]
) -> None:
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], total=VIRAL, ever=[1])
    assert names(redis) == VIRAL_KEYS | {"reaction_counts", "reactions", "reactions:1"}
    for what in lost:
        redis.delete(key_of(what))
    assert settle(redis, {1: LOW - 1}) == LOAD_HASH
    assert names(redis) == {"reaction_counts", "loading"}
    assert lives(redis) == {"reaction_counts": COLD_MS}


def test_a_demoted_post_with_a_complete_hash_keeps_it(redis: Redis, store: SingleLoads) -> None:
    complete(store, {1: 1})
    redis.set(keys.post_viral(POST), 1, px=1000)
    assert settle(redis, {1: LOW - 1}) == 0
    assert names(redis) == {"reaction_counts", "reactions"}


def test_a_post_says_when_its_tier_is_another_one(redis: Redis, small: SingleLoads) -> None:
    assert settled(redis, {1: VIRAL - 1}) == set()
    assert settled(redis, {1: VIRAL}) == {BECAME_VIRAL, LOAD_SAMPLE}
    assert settled(redis, {1: LOW}) == {LOAD_SAMPLE}
    sample(small, [(user, 1) for user in range(1, LOW + 1)], total=LOW)
    assert settled(redis, {1: VIRAL}) == set()
    assert settled(redis, {1: LOW - 1}) == {BECAME_REGULAR, LOAD_HASH}


def test_one_that_lost_everything_is_cold_whatever_it_was(redis: Redis) -> None:
    settle(redis, {1: VIRAL})
    redis.flushall()
    assert settle(redis, {1: LOW}) == 0
    assert names(redis) == {"reaction_counts"}


def test_a_promoted_post_keeps_its_complete_hash_until_the_sample_is_there(
    redis: Redis, store: SingleLoads
) -> None:
    complete(store, {1: 1, 2: 2})
    assert settle(redis, {1: VIRAL}) == LOAD_SAMPLE
    assert names(redis) == {"reaction_counts", "reactions", "viral", "loading"}
    assert entries(redis) == {1: 1, 2: 2}
    assert react(redis, 1, 1).status == UNCHANGED  # it goes on knowing everyone
    assert react(redis, 3, 1).status == CREATED


# -- settle: lives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1000, 900, 500])
def test_every_tier_has_a_life_of_its_own(redis: Redis, small: SingleLoads, share: int) -> None:
    def life(ms: int) -> int:
        return ms * share // 1000

    settle(redis, {1: 1}, share=share)
    assert lives(redis) == {"reaction_counts": life(COLD_MS)}
    settle(redis, {1: 1}, share=share, hot=True)
    assert lives(redis) == {"reaction_counts": life(HOT_MS)}

    redis.flushall()
    complete(small, dict.fromkeys(range(1, 6), 1))
    everything = {"reaction_counts"} | bucket_names(5)
    assert len(everything) > 3
    settle(redis, {1: 5}, share=share)
    assert lives(redis) == dict.fromkeys(everything, life(REGULAR_MS))
    settle(redis, {1: 5}, share=share, hot=True)
    assert lives(redis) == dict.fromkeys(everything, life(HOT_MS))

    redis.flushall()
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    shorten(redis)
    assert settle(redis, {1: VIRAL}, share=share, hot=True) == 0
    everything = VIRAL_KEYS | {"reaction_counts", "reactions", "reactions:1"}
    assert lives(redis) == dict.fromkeys(everything, life(VIRAL_MS))


def test_a_life_that_is_next_to_nothing_ends_all_the_same(redis: Redis, small: SingleLoads) -> None:
    """It is never rounded to none, which would be for ever."""
    complete(small, dict.fromkeys(range(1, 6), 1))
    settle(redis, {1: 1}, share=0)
    wait_until(lambda: not names(redis), what="a life of a millisecond to end")


def test_a_promoted_hash_lives_as_long_as_what_is_viral(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    settle(redis, {1: VIRAL})
    everything = {"reaction_counts", "viral"} | bucket_names(5)
    assert lives(redis) == dict.fromkeys(everything, VIRAL_MS)


# -- settle: what is missing -----------------------------------------------------------------------


def test_only_what_is_used_again_is_loaded(redis: Redis) -> None:
    assert settle(redis, {1: 1}) == 0
    assert settle(redis, {1: 1}) == LOAD_HASH
    assert settle(redis, {1: 1}, post=OTHER) == 0


@pytest.mark.parametrize("lost", ["reactions", "reactions:1", "reactions:2"])
def test_a_hash_that_lost_a_bucket_is_loaded_again(
    redis: Redis, small: SingleLoads, lost: str
) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    assert settle(redis, {1: 5}) == 0
    redis.delete(key_of(lost))
    assert settle(redis, {1: 5}) == LOAD_HASH


@pytest.mark.parametrize("lost", ["reactions", "reactions:1", "recent"])
def test_a_sample_that_lost_a_part_is_loaded_again(
    redis: Redis, small: SingleLoads, lost: str
) -> None:
    sample(small, [(user, 1) for user in range(1, 9)])
    assert settle(redis, {1: VIRAL}) == 0
    redis.delete(key_of(lost))
    assert settle(redis, {1: VIRAL}) == LOAD_SAMPLE


def test_a_sample_that_shrank_is_loaded_again(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(user, 1) for user in range(1, 9)])
    assert settle(redis, {1: VIRAL}) == 0
    assert react(redis, 1, 0).status == REMOVED
    assert settle(redis, {1: VIRAL - 1}) == LOAD_SAMPLE


def test_a_sample_of_everyone_is_not_short(redis: Redis, store: SingleLoads) -> None:
    """The threshold may be below the size of a sample."""
    sample(store, [(user, 1) for user in range(1, VIRAL + 1)])
    assert settle(redis, {1: VIRAL}) == 0
    assert settle(redis, {1: VIRAL + 1}) == LOAD_SAMPLE


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_hash_is_to_grow_beyond_its_fill(redis: Redis, size: int) -> None:
    for at in range(size):
        key = keys.bucket(keys.post_reactions(POST), at)
        redis.hset(key, mapping={"0": 1 if at else size})
    tiers = TIERS._replace(threshold=1_000_000, low=900_000)
    for total, what in ((size * FULL, []), (size * FULL + 1, [b"1042", drain.GROW_HASH])):
        react(redis, total, 1)
        claimed = drain.claim(
            SHARD, "c", "", lease_us=LEASE, longest_us=LEASE, posts=9, rows=9, inline=9
        ).run(redis)
        posts = [SettledPost(POST, 1000, False, 0, {1: total})]
        reply = drain.settle(SHARD, "c", claimed[1], tiers=tiers, lags={}, posts=posts).run(redis)
        assert reply[3:] == what
    assert not redis.exists(keys.post_loading(POST))


def test_refused_rows_drop_the_sample_and_the_hyperloglog(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    assert settle(redis, {1: VIRAL}, drop=1) == LOAD_SAMPLE
    assert names(redis) == {"reaction_counts", "viral", "total_reactions", "loading"}


@pytest.mark.parametrize("drop", [0, 2])
def test_a_deleted_post_keeps_nothing(redis: Redis, small: SingleLoads, drop: int) -> None:
    """Whether Redis knows it, or the database says so."""
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    if drop == 0:
        redis.sadd(keys.outbox_deleted(SHARD), POST)
    what = settle(redis, {1: VIRAL}, drop=drop, behind=[(5, 2)] if drop else [])
    assert what == 0
    left = set() if drop else {"reactions", "reactions:1", "recent", "uniques"}
    assert names(redis) - left == set()
    assert redis.sismember(keys.outbox_deleted(SHARD), str(POST))
    assert not redis.exists(keys.outbox_dirty(SHARD))


def test_settling_one_post_leaves_its_neighbour_alone(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(1, 1), (2, 2)], post=OTHER, ever=[1, 2])
    before = {key: redis.dump(key) for key in redis.keys(f"post:*:{OTHER}:*")}
    settle(redis, {1: VIRAL})
    settle(redis, {1: 1}, drop=2)
    assert {key: redis.dump(key) for key in redis.keys(f"post:*:{OTHER}:*")} == before


# -- grow ------------------------------------------------------------------------------------------


def grow(redis: Redis, fill: int, most: int = 100, post: int = POST) -> int:
    call = loading.GROW.call((keys.post_reactions(post),), (fill, most))
    return int(call.run(redis))


@pytest.mark.parametrize("number_of", [1, 5, 37, 200])
@pytest.mark.parametrize("full", [2, 3, 10])
def test_a_hash_grows_until_its_buckets_are_as_full_as_they_may_be(
    redis: Redis, store: SingleLoads, number_of: int, full: int
) -> None:
    rows = {user: 1 + user % 6 for user in range(7, 7 * number_of + 1, 7)}
    complete(store, rows)
    while grow(redis, full, most=7):
        assert entries(redis) == rows  # whole after every step
    assert entries(redis) == rows
    size = fields(redis, keys.post_reactions(POST))[0]
    assert size & (size - 1) == 0
    assert len(rows) <= size * full
    assert size == 1 or size // 2 * full < len(rows) + size // 2  # no more than that takes


def test_a_hash_that_was_left_in_the_middle_of_growing_goes_on(
    redis: Redis, store: SingleLoads
) -> None:
    """Its buckets are not equally full, whatever their average."""
    rows = dict.fromkeys(range(1, 101), 1)
    complete(store, rows)
    assert grow(redis, 5, most=4) == 1
    assert fields(redis, keys.post_reactions(POST))[0] == 5
    assert settle(redis, {1: 5}) == drain.GROW_HASH
    assert grow(redis, 100_000) == 0
    assert fields(redis, keys.post_reactions(POST))[0] == 8
    assert entries(redis) == rows
    assert settle(redis, {1: 5}) == 0


def test_growing_divides_no_more_than_it_is_told_to(redis: Redis, store: SingleLoads) -> None:
    complete(store, dict.fromkeys(range(1, 101), 1))
    sizes = []
    for _ in range(4):
        assert grow(redis, 1, most=3) == 1
        sizes.append(fields(redis, keys.post_reactions(POST))[0])
    assert sizes == [4, 7, 10, 13]


def test_the_library_grows_a_hash_in_steps_to_the_right_average(
    redis: Redis, store: SingleLoads
) -> None:
    rows = dict.fromkeys(range(1, 5_001), 1)
    complete(store, dict.fromkeys(range(1, 301), 1))
    run_many(redis, [writes.record(user, POST, 1, 1) for user in range(301, 5_001)])
    assert entries(redis) == rows
    assert fields(redis, keys.post_reactions(POST))[0] == 1
    store.grow([POST, OTHER])
    assert entries(redis) == rows
    size = fields(redis, keys.post_reactions(POST))[0]
    assert size == 16
    assert react(redis, 4_999, 1).status == UNCHANGED


def test_a_hash_that_grows_little_by_little_stays_in_listpacks(
    redis: Redis, store: SingleLoads
) -> None:
    complete(store, {1: 1})
    for first in range(2, 2_502, 100):
        calls = [writes.record(user, POST, 1, 1) for user in range(first, first + 100)]
        run_many(redis, calls)
        store.grow([POST])
    assert entries(redis) == dict.fromkeys(range(1, 2_502), 1)
    assert fields(redis, keys.post_reactions(POST))[0] == 8
    kinds = {redis.object("encoding", key_of(what)) for what in bucket_names(2_001)}
    assert kinds == {b"listpack"}


def test_a_burst_between_two_drains_leaves_only_listpacks(redis: Redis, store: SingleLoads) -> None:
    """A bucket that became a hash table would stay one, at three times the memory."""
    complete(store, {1: 1})
    run_many(redis, [writes.record(user, POST, 1, 1) for user in range(2, 2_001)])
    assert redis.object("encoding", keys.post_reactions(POST)) == b"hashtable"
    store.grow([POST])
    assert entries(redis) == dict.fromkeys(range(1, 2_001), 1)
    kinds = {redis.object("encoding", key_of(what)) for what in bucket_names(2_000)}
    assert kinds == {b"listpack"}


def test_new_buckets_live_as_long_as_the_first(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    before = set(lives(redis))
    for what in before:
        redis.pexpire(key_of(what), 50_000)
    grow(redis, 1)
    found = lives(redis)
    assert set(found) > before
    assert set(found.values()) == {50_000}


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_hash_that_lost_a_bucket_does_not_grow_over_the_hole(
    redis: Redis, small: SingleLoads, lost: int
) -> None:
    rows = dict.fromkeys(range(1, 9), 1)
    complete(small, rows)
    assert fields(redis, keys.post_reactions(POST))[0] == 4
    redis.delete(keys.bucket(keys.post_reactions(POST), lost))
    grow(redis, 1)
    (found,) = PostSnapshots(redis).snapshots([POST])
    assert not found.complete
    gone = [user for user in rows if bucket_of(user, 4) == lost]
    assert gone
    for user in gone:
        # Nobody may take the absence of an entry for the absence of a reaction.
        assert react(redis, user, 2).status == ACCEPTED


def test_growing_takes_the_place_of_what_an_earlier_hash_left(
    redis: Redis, small: SingleLoads
) -> None:
    rows = dict.fromkeys(range(1, 6), 1)
    complete(small, rows)
    for at in range(buckets.count_for(5), 20):
        redis.hset(keys.bucket(keys.post_reactions(POST), at), mapping={"0": 1, "77": 3, "1": 4})
    grow(redis, 1)
    assert fields(redis, keys.post_reactions(POST))[0] >= 8
    assert entries(redis) == rows


def test_a_sample_or_nothing_does_not_grow(redis: Redis, small: SingleLoads) -> None:
    assert grow(redis, 1) == 0
    sample(small, [(user, 1) for user in range(1, 9)])
    before = {key: redis.dump(key) for key in redis.keys()}
    assert grow(redis, 1) == 0
    redis.hset(keys.post_reactions(OTHER), mapping={"5": 1})  # without its mark
    assert grow(redis, 1, post=OTHER) == 0
    redis.delete(keys.post_reactions(OTHER))
    assert {key: redis.dump(key) for key in redis.keys()} == before


def test_a_bucket_with_very_many_entries_is_divided_whole(redis: Redis) -> None:
    """Ids that are made to meet all fall into one; a Lua call takes a few thousand arguments."""
    homes = [user_in(at, 2) for at in range(2)]
    rows = {buckets.PRIME * number + homes[number % 2]: 1 for number in range(1, 20_001)}
    first = keys.post_reactions(POST)
    redis.hset(first, items=["0", 1, *(part for user in rows for part in (user, 1))])
    redis.pexpire(first, 50_000)
    assert grow(redis, 15_000) == 0
    assert entries(redis) == rows
    assert [redis.hlen(keys.bucket(first, at)) for at in range(2)] == [10_001, 10_001]
    assert PostSnapshots(redis).snapshots([POST])[0].complete


# -- react on a viral post -------------------------------------------------------------------------


def test_the_sample_is_in_the_order_of_the_last_reactions(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    assert recent(redis) == [4, 3, 2, 1]
    assert react(redis, 2, 5)[:2] == (REPLACED, 1)
    assert recent(redis) == [2, 4, 3, 1]
    assert entries(redis) == {2: 5, 4: 1, 3: 1, 1: 1}
    assert react(redis, 4, 1).status == UNCHANGED
    assert recent(redis) == [2, 4, 3, 1]


def test_a_new_one_pushes_the_oldest_out(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    assert react(redis, 9, 3)[:2] == (ACCEPTED, 0)  # who is not in the sample is not known
    assert recent(redis) == [9, 4, 3, 2]
    assert entries(redis) == {9: 3, 4: 1, 3: 1, 2: 1}


def test_one_who_takes_the_reaction_away_leaves_the_sample(
    redis: Redis, small: SingleLoads
) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    assert react(redis, 3, 0)[:2] == (REMOVED, 1)
    assert recent(redis) == [4, 2, 1]
    assert entries(redis) == {4: 1, 2: 1, 1: 1}
    assert react(redis, 3, 0).status == UNCHANGED  # the outbox knows
    assert react(redis, 8, 0)[:2] == (ACCEPTED, 0)
    assert recent(redis) == [4, 2, 1]
    assert react(redis, 3, 2)[:2] == (CREATED, 0)
    assert recent(redis) == [3, 4, 2, 1]


def test_an_empty_sample_is_a_lost_one(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(1, 1)])
    react(redis, 1, 0)
    assert recent(redis) == []
    react(redis, 2, 1)
    assert not redis.exists(keys.post_reactions(POST), keys.post_recent(POST))


def test_a_sample_that_lost_its_list_is_dropped(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)], ever=[1])
    redis.delete(keys.post_recent(POST))
    react(redis, 2, 5)
    assert names(redis) == {"viral", "total_reactions", "uniques", "pending", "delta"}


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("code", [0, 5])
def test_a_sample_that_lost_the_bucket_of_the_user_is_dropped(
    redis: Redis, small: SingleLoads, lost: int, code: int
) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    redis.delete(keys.bucket(keys.post_reactions(POST), lost))
    user = user_in(lost, 2)
    assert user <= 4
    assert react(redis, user, code).status == ACCEPTED  # no entry does not mean no reaction
    assert lookups.recent(POST, 4).run(redis) == [0]
    if lost:  # without the first nobody knows how many there were; its install replaces them
        assert names(redis) & {"reactions", "reactions:1"} == set()


def test_the_sample_follows_any_order_of_reactions(redis: Redis, small: SingleLoads) -> None:
    """Against a list in Python: always the newest, in their order; shorter after removals."""
    play = random.Random(7)  # noqa: S311 - not for secrecy
    sample(small, [(1, 1)])
    everyone = {1: 1}  # oldest first
    size = 1
    for _ in range(400):
        user, code = play.randint(1, 9), play.choice([0, 1, 1, 2, 3])
        listed = user in list(everyone)[-size:]
        if listed and size == 1 and code == 0:
            continue  # an empty list is no list
        status = react(redis, user, code).status
        if status == UNCHANGED:
            assert everyone.get(user, 0) == code
            continue
        everyone.pop(user, None)
        if code:
            everyone[user] = code
        size = min(4, size + bool(code) - listed)
        newest = list(reversed(everyone.items()))[:size]
        assert entries(redis) == dict(newest)
        assert recent(redis) == [user for user, _ in newest]
        flat = lookups.recent(POST, size).run(redis)
        assert list(zip(map(int, flat[::2]), map(int, flat[1::2]), strict=True)) == newest


def test_total_and_uniques_move_only_where_they_are_cached(
    redis: Redis, small: SingleLoads
) -> None:
    react(redis, 1, 1)
    sample(small, [(4, 1), (3, 1)], total=50, ever=[3, 4])
    total, uniques = keys.post_total_reactions(POST), keys.post_uniques(POST)
    assert (number(redis, total), redis.pfcount(uniques)) == (51, 3)
    react(redis, 9, 1)  # new
    assert (number(redis, total), redis.pfcount(uniques)) == (52, 4)
    react(redis, 9, 2)  # another type
    assert (number(redis, total), redis.pfcount(uniques)) == (52, 4)
    react(redis, 9, 0)  # gone, but was there
    assert (number(redis, total), redis.pfcount(uniques)) == (51, 4)
    react(redis, 77, 0)  # never there, as far as is known
    assert (number(redis, total), redis.pfcount(uniques)) == (51, 4)
    redis.delete(total, uniques)
    react(redis, 10, 1)
    react(redis, 10, 0)
    assert not redis.exists(total, uniques)


def test_a_regular_post_gets_none_of_the_viral_keys(redis: Redis, store: SingleLoads) -> None:
    complete(store, {1: 1})
    react(redis, 2, 1)
    react(redis, 1, 0)
    assert not names(redis) & VIRAL_KEYS


def test_reactions_do_not_prolong_or_end_the_life_of_a_cache(
    redis: Redis, small: SingleLoads
) -> None:
    settle(redis, {1: VIRAL})
    sample(small, [(4, 1), (3, 1)], total=50, ever=[3, 4])
    shorten(redis)
    for user in range(1, 12):
        react(redis, user, 1)
        react(redis, user, 2)
    react(redis, 4, 0)
    assert set(lives(redis).values()) == {20_000}


def test_a_deleted_post_refuses(redis: Redis) -> None:
    assert writes.delete(POST).run(redis) == 1
    before = {key: redis.dump(key) for key in redis.keys()}
    for code in (0, 1):
        assert react(redis, 1, code) == (REFUSED, 0, 0, 0)
    assert {key: redis.dump(key) for key in redis.keys()} == before
    assert react(redis, 1, 1, OTHER).status == ACCEPTED


# -- install_sample --------------------------------------------------------------------------------


def test_a_loaded_sample_is_overlaid_with_what_is_pending(redis: Redis, small: SingleLoads) -> None:
    """A removed, a replaced and a new one; the newest first, and no more than fit."""
    react(redis, 2, 0)
    react(redis, 5, 3)
    react(redis, 9, 4)
    sample(small, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], total=5)
    assert recent(redis) == [9, 5, 1, 3]
    assert entries(redis) == {9: 4, 5: 3, 1: 1, 3: 1}
    # The earlier reactions of all three were not known; the counts do what the total does.
    assert number(redis, keys.post_total_reactions(POST)) == 5 + 2


def test_a_sample_of_pending_reactions_only(redis: Redis, small: SingleLoads) -> None:
    for user in range(1, 10):
        react(redis, user, 1)
    sample(small, [(77, 1)], total=1)
    assert recent(redis) == [9, 8, 7, 6]


def test_a_corrupt_pending_entry_does_not_break_a_sample(redis: Redis, small: SingleLoads) -> None:
    for user, value in (("1", "garbage"), ("2", "5"), ("3", "")):
        redis.hset(keys.post_pending(POST), user, value)
    react(redis, 4, 1)
    sample(small, [(1, 1), (2, 2)], total=2)
    assert recent(redis) == [4, 1, 2]


def test_the_hyperloglog_is_everyone_ever_and_what_is_pending(
    redis: Redis, store: SingleLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_CHUNK", 10)  # several parts
    react(redis, 1_000_001, 1)
    react(redis, 5, 2)
    sample(store, [(5, 1)], ever=range(1, 101))
    assert redis.pfcount(keys.post_uniques(POST)) == 101
    assert lives(redis)["uniques"] > 0
    assert not [name for name in names(redis) if name.startswith("loading")]


@pytest.mark.parametrize("after", [1, 2, 9])
def test_a_hyperloglog_that_lost_a_part_is_not_collected_further(redis: Redis, after: int) -> None:
    """It would be too small for ever; the load is given up, and tried again later."""
    parts = [loading.collect(POST, "t", n == 0, 1000, [n, n + 100]) for n in range(10)]
    assert [call.run(redis) for call in parts[:after]] == [1] * after
    redis.delete(keys.post_loaded(POST, "t"))
    assert [call.run(redis) for call in parts[after:]] == [0] * (10 - after)
    assert not redis.exists(keys.post_loaded(POST, "t"))


def test_a_sample_goes_without_a_hyperloglog_that_was_lost_at_the_end(
    redis: Redis, store: SingleLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Call.run

    def lose_it(call: Call, client: Redis) -> Any:
        if call.script is loading.INSTALL_SAMPLE:
            assert client.delete(keys.post_loaded(POST, "t")) == 1
        return execute(call, client)

    monkeypatch.setattr(Call, "run", lose_it)
    sample(store, [(5, 1)], ever=range(1, 101))
    assert not redis.exists(keys.post_uniques(POST))
    assert recent(redis) == [5]


def test_an_earlier_hyperloglog_stays_where_none_is_read(redis: Redis, store: SingleLoads) -> None:
    redis.pfadd(keys.post_uniques(POST), *range(50))
    sample(store, [(5, 1)])
    assert redis.pfcount(keys.post_uniques(POST)) == 50
    assert lives(redis)["uniques"] > 0


def test_a_hyperloglog_that_was_read_takes_the_place_of_the_earlier_one(
    redis: Redis, store: SingleLoads
) -> None:
    redis.pfadd(keys.post_uniques(POST), *range(1_000, 1_050))
    sample(store, [(5, 1)], ever=[1, 2, 3])
    assert redis.pfcount(keys.post_uniques(POST)) == 3


@pytest.mark.parametrize("reason", ["claimed", "another load", "too much is pending"])
def test_a_refused_sample_changes_nothing_and_leaves_nothing(
    redis: Redis, store: SingleLoads, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(store, {1: 1})
    assert store.fence(POST, "t")
    if reason == "claimed":
        redis.delete(keys.post_loading(POST))  # as a claim does
    elif reason == "another load":
        assert store.fence(POST, "u")
    else:
        monkeypatch.setattr(cache, "MAX_OVERLAY_ENTRIES", 2)
        for user in (1, 2, 3):
            react(redis, user, 2)
    before = {key: redis.dump(key) for key in redis.keys()}
    assert not store.install_sample(POST, "t", total=1, newest=[(1, 1)], ever=range(2_500))
    assert {key: redis.dump(key) for key in redis.keys()} == before


def test_a_sample_takes_the_place_of_a_complete_hash(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 30), 1))
    assert lives(redis).keys() == bucket_names(29)
    sample(small, [(3, 2), (2, 2)])
    assert entries(redis) == {3: 2, 2: 2}
    assert names(redis) == {"reactions", "reactions:1", "recent", "viral", "total_reactions"}
    assert all(life > 0 for life in lives(redis).values())


@pytest.mark.parametrize("before", ["sample", "hash"])
def test_a_sample_takes_the_place_of_what_lost_its_first_bucket(
    redis: Redis, small: SingleLoads, before: str
) -> None:
    """Only the first says how many there were; what it leaves behind must not come back."""
    one = user_in(1, 2)
    two = user_in(1, 2, one)
    three = user_in(1, 2, two)
    rows = [(one, 1), (two, 1), (three, 1), (user_in(0, 2), 1)]
    if before == "sample":
        sample(small, rows)
    else:
        complete(small, dict(rows))
    redis.delete(keys.post_reactions(POST))
    # What happens now is in the outbox and in the database only: two go, one changes.
    sample(small, [(1_000, 2), (three, 3)])
    assert entries(redis) == {1_000: 2, three: 3}
    assert look(redis, one)[2] == -1
    assert react(redis, two, 1).status == ACCEPTED


def test_a_sample_of_the_real_size(redis: Redis, store: SingleLoads, posts: PostCache) -> None:
    newest = [(user, 1 + user % 6) for user in range(50_000, 48_750, -1)]
    sample(store, newest, total=40_000)
    assert recent(redis) == [user for user, _ in newest[:1000]]
    assert entries(redis) == dict(newest[:1000])
    assert fields(redis, keys.post_reactions(POST))[0] == -buckets.count_for(1_000) < -1
    react(redis, 7, 1)
    assert recent(redis) == [7] + [user for user, _ in newest[:999]]
    assert posts.recent(POST, 1000) == [(7, 1), *newest[:999]]


# -- install_reactions -----------------------------------------------------------------------------


def test_a_complete_hash_takes_the_place_of_everything_viral(
    redis: Redis, small: SingleLoads
) -> None:
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    complete(small, {1: 1, 2: 2})
    assert names(redis) == {"reaction_counts", "reactions"}
    assert entries(redis) == {1: 1, 2: 2}


def test_a_smaller_hash_leaves_nothing_of_a_larger_one(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 30), 1))
    complete(small, {1: 1, 2: 2, 3: 3})
    assert names(redis) == {"reactions", "reactions:1"}
    assert entries(redis) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_loaded_hash_that_lost_a_bucket_is_refused(
    redis: Redis, small: SingleLoads, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    execute = run_many

    def lose_a_bucket(client: Redis, calls: list[Call]) -> Any:
        assert [call.script for call in calls] == [loading.INSTALL_REACTIONS]
        assert client.delete(keys.bucket(keys.post_loaded(POST, "t"), lost)) == 1
        return execute(client, calls)

    assert store_fence(small)
    monkeypatch.setattr("reactions.redis.pipeline.run_many", lose_a_bucket)
    assert not small.install_reactions(POST, "t", dict.fromkeys(range(1, 6), 1))
    assert names(redis) == {"loading"}


def store_fence(store: SingleLoads) -> bool:
    return store.fence(POST, "t")


def test_what_is_pending_is_overlaid_in_the_right_bucket(redis: Redis, small: SingleLoads) -> None:
    react(redis, 1, 0)
    react(redis, 2, 4)
    react(redis, 8, 5)
    complete(small, dict.fromkeys(range(1, 6), 1))
    assert entries(redis) == {2: 4, 3: 1, 4: 1, 5: 1, 8: 5}
    assert len(set(lives(redis).values())) == 1


# -- counts and the fence --------------------------------------------------------------------------


def test_installed_counts_tell_the_tier(redis: Redis, redis_settings: Settings) -> None:
    store = SingleLoads(
        redis,
        redis_settings.model_copy(
            update={
                "viral_threshold": VIRAL,
                "cache_ttl_jitter": 0.0,
                "cache_ttl_cold_s": 100,
                "cache_ttl_viral_s": 400,
            }
        ),
    )
    react(redis, 1, 2)
    assert store.fence(POST, "t")
    assert store.install_counts(POST, "t", {1: VIRAL - 2}) == (True, {1: VIRAL - 2, 2: 1})
    assert lives(redis) == {"reaction_counts": 100_000}
    assert store.fence(POST, "t")
    assert store.install_counts(POST, "t", {1: VIRAL - 1}) == (True, {1: VIRAL - 1, 2: 1})
    assert lives(redis) == {"reaction_counts": 400_000, "viral": 400_000}
    assert store.fence_many([POST, OTHER], "t") == {
        POST: FenceReply.VIRAL,
        OTHER: FenceReply.REGULAR,
    }
    # Between the marks it stays viral, by the flag.
    assert store.install_counts(POST, "t", {1: VIRAL - 3})[0]
    assert lives(redis)["reaction_counts"] == 400_000


def test_a_deleted_post_is_fenced_for_nobody(redis: Redis, store: SingleLoads) -> None:
    assert store.fence(POST, "t")
    writes.delete(POST).run(redis)
    assert not store.install_counts(POST, "t", {1: 5})[0]
    assert not store.install_reactions(POST, "t", {1: 1})
    assert not store.install_sample(POST, "t", total=1, newest=[(1, 1)], ever=[1])
    assert store.fence_many([POST], "t") == {POST: FenceReply.DELETED}
    assert not store.fence(POST, "t")
    assert names(redis) == set()


def test_a_load_gives_way_to_one_under_way_if_it_is_to(store: SingleLoads) -> None:
    assert store.fence_many([POST, OTHER], "a", give_way=True).keys() == {POST, OTHER}
    assert store.fence_many([POST, OTHER], "b", give_way=True) == {}
    assert store.fence_many([POST], "c") == {POST: FenceReply.REGULAR}
    assert not store.install_counts(POST, "a", {1: 1})[0]
    assert store.install_counts(OTHER, "a", {1: 1})[0]


# -- look ------------------------------------------------------------------------------------------


def look(redis: Redis, user: int = 0, post: int = POST) -> tuple[int, int, int, dict[int, int]]:
    ((tier, size, code, *flat),) = lookups.lookup_posts(
        [post], user, [1_000], cold_ms=COLD_MS, regular_ms=REGULAR_MS, viral_ms=VIRAL_MS
    ).run(redis)
    return tier, size, code, {int(k): int(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def test_a_look_at_a_cold_post_finds_nothing_and_leaves_nothing(redis: Redis) -> None:
    assert look(redis, 1) == (0, 0, -1, {})
    assert look(redis) == (0, 0, -1, {})
    assert redis.dbsize() == 0


def test_a_look_at_a_regular_post(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: 3, 2: 2})
    assert look(redis, 1) == (0, 0, -1, {1: 3, 2: 2})
    complete(small, {1: 1, 2: 2, 3: 1, 4: 1, 5: 2})
    for user, code in {1: 1, 2: 2, 5: 2, 6: 0, 77: 0}.items():
        assert look(redis, user) == (0, buckets.count_for(5), code, {1: 3, 2: 2})
    assert look(redis, 0)[2] == -1


def test_a_look_finds_in_the_outbox_what_is_newer(redis: Redis, small: SingleLoads) -> None:
    complete(small, {1: 1, 2: 1, 3: 1})
    redis.hset(keys.post_claimed(POST), mapping={"1": "2:5", "2": "2:5", "9": "0:5"})
    redis.hset(keys.post_pending(POST), mapping={"1": "3:6", "3": "0:6"})
    assert [look(redis, user)[2] for user in (1, 2, 3, 9)] == [3, 2, 0, 0]
    redis.delete(keys.post_reactions(POST))
    assert [look(redis, user)[2] for user in (1, 2, 3, 9, 10)] == [3, 2, 0, 0, -1]


def test_a_look_at_a_viral_post(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: VIRAL})
    assert look(redis, 1) == (1, 0, -1, {1: VIRAL})
    sample(small, [(2, 3), (1, 2)], total=VIRAL)
    assert look(redis, 1) == (1, -2, 2, {1: VIRAL})
    assert look(redis, 2) == (1, -2, 3, {1: VIRAL})
    assert look(redis, 3) == (1, -2, -1, {1: VIRAL})


@pytest.mark.parametrize("viral", [False, True])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_look_takes_no_lost_bucket_for_an_answer(
    redis: Redis, small: SingleLoads, viral: bool, lost: int
) -> None:
    if viral:
        sample(small, [(1, 1), (2, 2), (3, 3)])
    else:
        complete(small, {1: 1, 2: 2, 3: 3})
    redis.delete(keys.bucket(keys.post_reactions(POST), lost))
    found = {user: look(redis, user)[2] for user in (1, 2, 3)}
    known = {user: user if lost and not bucket_of(user, 2) else -1 for user in (1, 2, 3)}
    assert found == known
    assert set(known.values()) > {-1} or not lost


def test_a_look_at_a_deleted_post(redis: Redis, small: SingleLoads) -> None:
    complete(small, {1: 1})
    writes.delete(POST).run(redis)
    assert look(redis, 1) == (2, 0, 0, {})


def test_a_look_survives_a_corrupt_entry(redis: Redis, small: SingleLoads) -> None:
    complete(small, {1: 1})
    redis.hset(keys.post_pending(POST), "1", "garbage")
    assert look(redis, 1)[2] == 1


def test_a_look_renews_what_is_past_half_its_life(redis: Redis, small: SingleLoads) -> None:
    def check(everything: set[str], life: int) -> None:
        assert set(lives(redis)) == everything
        for left in (life // 2 + 5_000, life // 2 - 5_000):
            for what in everything:
                redis.pexpire(key_of(what), left)
            look(redis, 1)
            renewed = life if left < life // 2 else left
            assert lives(redis) == dict.fromkeys(everything, renewed)

    settle(redis, {1: 5})
    check({"reaction_counts"}, COLD_MS)
    complete(small, dict.fromkeys(range(1, 6), 1))
    check({"reaction_counts"} | bucket_names(5), REGULAR_MS)
    sample(small, [(2, 3), (1, 2)], total=VIRAL, ever=[1])
    check(VIRAL_KEYS | {"reaction_counts", "reactions", "reactions:1"}, VIRAL_MS)


def test_a_look_renews_where_the_counts_are_lost(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 6), 1))
    shorten(redis)
    look(redis)
    assert set(lives(redis).values()) == {REGULAR_MS}


def test_a_look_at_many_posts_tells_of_each(redis: Redis, small: SingleLoads) -> None:
    """Of every tier; each lives for its own share of a TTL."""
    deleted, pending, unknown = POST + 200, POST + 300, POST + 400
    complete(small, {1: 1, 2: 2})
    settle(redis, {1: 1, 2: 1})
    settle(redis, {1: VIRAL}, post=OTHER)
    react(redis, 1, 5, post=pending)
    writes.delete(deleted).run(redis)
    for post in (POST, OTHER):
        shorten(redis, post)
    posts, shares = [OTHER, deleted, unknown, POST, pending], [900, 800, 700, 600, 500]
    assert lookups.lookup_posts(
        posts, 1, shares, cold_ms=COLD_MS, regular_ms=REGULAR_MS, viral_ms=VIRAL_MS
    ).run(redis) == [
        [1, 0, -1, b"1", str(VIRAL).encode()],
        [2, 0, 0],
        [0, 0, -1],
        [0, 1, 1, b"1", b"1", b"2", b"1"],
        [0, 0, 5],
    ]
    assert set(lives(redis).values()) == {REGULAR_MS * 600 // 1000}
    assert set(lives(redis, OTHER).values()) == {VIRAL_MS * 900 // 1000}


# -- recent ----------------------------------------------------------------------------------------


def test_recent_is_the_newest_with_their_reactions(
    redis: Redis, small: SingleLoads, posts: PostCache
) -> None:
    sample(small, [(4, 1), (3, 2), (2, 3), (1, 4)])
    assert lookups.recent(POST, 10).run(redis) == [b"4", b"1", b"3", b"2", b"2", b"3", b"1", b"4"]
    assert lookups.recent(POST, 1).run(redis) == [b"4", b"1"]
    assert posts.recent(POST, 2) == [(4, 1), (3, 2)]
    react(redis, 1, 6)
    assert posts.recent(POST, 2) == [(1, 6), (4, 1)]


@pytest.mark.parametrize("lost", ["reactions", "reactions:1", "recent"])
def test_recent_says_when_a_part_is_lost(
    redis: Redis, small: SingleLoads, posts: PostCache, lost: str
) -> None:
    sample(small, [(4, 1), (3, 2), (2, 3), (1, 4)])
    redis.delete(key_of(lost))
    assert lookups.recent(POST, 10).run(redis) == [0]
    assert posts.recent(POST, 10) is None


def test_recent_says_when_the_sample_is_shorter_than_it_could_be(
    redis: Redis, small: SingleLoads, posts: PostCache
) -> None:
    sample(small, [(4, 1), (3, 2), (2, 3), (1, 4)], total=20)
    react(redis, 3, 0)
    assert posts.recent(POST, 3) == [(4, 1), (2, 3), (1, 4)]
    assert posts.recent(POST, 4) is None
    redis.set(keys.post_total_reactions(POST), 3)  # nobody else is left
    assert posts.recent(POST, 4) == [(4, 1), (2, 3), (1, 4)]
    redis.delete(keys.post_total_reactions(POST))
    assert posts.recent(POST, 4) is None
    assert posts.recent(POST, 3) == [(4, 1), (2, 3), (1, 4)]


def test_recent_of_what_has_no_sample(redis: Redis, small: SingleLoads, posts: PostCache) -> None:
    assert posts.recent(POST, 10) is None
    complete(small, {1: 1})
    assert posts.recent(POST, 10) is None
    redis.rpush(keys.post_recent(POST), 1)
    assert posts.recent(POST, 10) is None


# -- delete ----------------------------------------------------------------------------------------


def test_a_deletion_forgets_all_but_what_a_drain_holds(redis: Redis, small: SingleLoads) -> None:
    react(redis, 1, 1)
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    redis.hset(keys.post_claimed(POST), "1", "1:5")
    react(redis, 2, 2)
    small.fence_call(POST, "t").run(redis)
    react(redis, 5, 1, OTHER)
    assert writes.delete(POST).run(redis) == 1
    assert names(redis) == {"claimed"}
    assert redis.smembers(keys.outbox_deleted(SHARD)) == {b"1042"}
    assert redis.smembers(keys.outbox_deletions(SHARD)) == {b"1042"}
    assert redis.zrange(keys.outbox_dirty(SHARD), 0, -1) == [b"1042", b"1142"]
    assert names(redis, OTHER) == {"pending", "delta"}


def test_a_deleted_post_that_no_drain_holds_is_clean(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 9), 1))
    react(redis, 2, 2)
    writes.delete(POST).run(redis)
    assert names(redis) == set()
    assert not redis.exists(keys.outbox_dirty(SHARD))


def test_a_second_deletion_does_not_begin_anew(redis: Redis) -> None:
    assert writes.delete(POST).run(redis) == 1
    redis.srem(keys.outbox_deletions(SHARD), POST)  # the rows are gone
    assert writes.delete(POST).run(redis) == 0
    assert not redis.exists(keys.outbox_deletions(SHARD))


# -- what is remembered of users -------------------------------------------------------------------

USER, FELLOW = 4_242, 4_342
"""Of one shard."""
FOREVER = 2**62


def write_through_users(
    redis: Redis, users: Mapping[int, list[tuple[int, int]]], until: int = FOREVER
) -> int:
    return int(
        user_scripts.write_through_users(until, 100_000, [500] * len(users), users).run(redis)
    )


def remembered(redis: Redis, user: int = USER) -> dict[int, int]:
    return fields(redis, keys.user_reactions(user))


def announce_load(redis: Redis, token: str = "t", user: int = USER) -> None:  # noqa: S107 - no secret
    redis.set(keys.user_loading(user), token, px=30_000)


def test_what_a_drain_committed_is_remembered_of_each_user(redis: Redis) -> None:
    announce_load(redis)
    announce_load(redis, user=FELLOW)
    assert write_through_users(redis, {USER: [(1, 2), (2, 0)], FELLOW: [(1, 3)]}) == 1
    assert write_through_users(redis, {USER: [(2, 5), (7, 1)]}) == 1
    assert remembered(redis) == {1: 2, 2: 5, 7: 1}
    assert remembered(redis, FELLOW) == {1: 3}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    assert not redis.exists(keys.user_loading(USER), keys.user_loading(FELLOW))


@pytest.mark.parametrize("user", [1, 9, 10, 99, 100, 205, 2**53 + 1, 2**63 - 1])
def test_whoever_a_user_is_their_keys_are_found(redis: Redis, user: int) -> None:
    """A number beyond a double's, or of one digit, too."""
    announce_load(redis, user=user)
    assert write_through_users(redis, {user: [(1, 2)]}) == 1
    assert redis.keys() == [keys.user_reactions(user).encode()]


def test_after_its_deadline_a_drain_only_drops_what_it_touched(redis: Redis) -> None:
    """Another drain may have committed something newer by then."""
    write_through_users(redis, {USER: [(1, 2), (2, 3)], FELLOW: [(1, 1)]})
    redis.pexpire(keys.user_reactions(USER), 20_000)
    seconds, micros = redis.time()
    for user in (USER, FELLOW):
        announce_load(redis, user=user)
    users = {USER: [(1, 9), (5, 9)], FELLOW: [(1, 9)]}
    assert write_through_users(redis, users, until=seconds * 1_000_000 + micros) == 0
    assert remembered(redis) == {2: 3}
    assert remembered(redis, FELLOW) == {}
    assert redis.pttl(keys.user_reactions(USER)) <= 20_000
    assert not redis.exists(keys.user_loading(USER), keys.user_loading(FELLOW))
    assert write_through_users(redis, {USER: [(2, 9)]}, until=0) == 0
    assert redis.dbsize() == 0


def test_a_drain_may_write_until_its_deadline(redis: Redis) -> None:
    seconds, micros = redis.time()
    assert (
        write_through_users(redis, {USER: [(1, 2)]}, until=(seconds + 60) * 1_000_000 + micros) == 1
    )


def test_of_a_user_at_most_500_posts_are_kept_the_newest_of_them(redis: Redis) -> None:
    for post in range(1, 501):
        write_through_users(redis, {USER: [(post, 1)]})
    assert len(remembered(redis)) == 500
    write_through_users(redis, {USER: [(501, 1)]})
    kept = remembered(redis)
    assert kept == dict.fromkeys(range(127, 502), 1)
    assert redis.object("encoding", keys.user_reactions(USER)) == b"listpack"


@pytest.mark.parametrize("posts", [600, 2_500, 20_000])
def test_a_batch_with_very_many_reactions_of_one_user(redis: Redis, posts: int) -> None:
    """As batch_rows allows; a Lua call takes a few thousand arguments."""
    assert write_through_users(redis, {USER: [(post, 1) for post in range(1, posts + 1)]}) == 1
    kept = remembered(redis)
    assert 300 < len(kept) <= 500
    assert set(kept.values()) == {1}


def install_user(
    redis: Redis,
    found: Mapping[int, int],
    token: str = "t",  # noqa: S107
    *,
    whole: bool = False,
) -> int:
    return int(user_scripts.install_user(USER, token, 50_000, found, whole=whole).run(redis))


def test_what_a_reader_found_is_cached_also_that_there_is_nothing(redis: Redis) -> None:
    announce_load(redis)
    assert install_user(redis, {1: 2, 7: 0}) == 1
    assert remembered(redis) == {0: 0, 1: 2, 7: 0}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    assert not redis.exists(keys.user_loading(USER))
    assert install_user(redis, {1: 5}) == 0  # a token serves once


def test_all_of_a_user_takes_the_place_of_what_was_and_is_kept_up_to_date(redis: Redis) -> None:
    write_through_users(redis, {USER: [(5, 1)]})
    announce_load(redis)
    assert install_user(redis, {1: 2, 7: 0}, whole=True) == 1
    assert remembered(redis) == {0: 1, 1: 2, 7: 0}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    write_through_users(redis, {USER: [(1, 0), (9, 3)]})
    assert remembered(redis) == {0: 1, 1: 0, 7: 0, 9: 3}


def test_absence_is_no_answer_any_more_once_something_was_dropped(redis: Redis) -> None:
    """By a drain that came late, or for want of room."""
    everything = dict.fromkeys(range(1, 401), 1)
    announce_load(redis)
    install_user(redis, everything, whole=True)
    write_through_users(redis, {USER: [(9, 3)]}, until=0)
    assert remembered(redis) == {post: 1 for post in everything if post != 9}
    announce_load(redis)
    install_user(redis, everything, whole=True)
    write_through_users(redis, {USER: [(post, 1) for post in range(401, 500)]})
    assert remembered(redis) == {0: 1} | dict.fromkeys(range(1, 500), 1)
    write_through_users(redis, {USER: [(500, 1)]})
    assert remembered(redis).keys() == set(range(126, 501))  # and no mark


def test_a_reader_who_is_refused_says_nothing_of_absence(redis: Redis) -> None:
    announce_load(redis)
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, whole=True) == 0
    assert remembered(redis) == {1: 3}


def test_a_reader_is_refused_after_a_drain_or_another_reader(redis: Redis) -> None:
    assert install_user(redis, {1: 2}) == 0
    announce_load(redis, "u")
    assert install_user(redis, {1: 2}) == 0
    assert text(redis.get(keys.user_loading(USER))) == "u"
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, "u") == 0
    assert remembered(redis) == {1: 3}


def test_what_a_reader_found_is_bounded_too(redis: Redis) -> None:
    for first in range(1, 1_001, 200):
        announce_load(redis)
        assert install_user(redis, dict.fromkeys(range(first, first + 200), 1)) == 1
        assert 200 <= len(remembered(redis)) <= 500


@pytest.mark.parametrize("writer", ["drain", "reader"])
def test_what_is_kept_of_a_user_stays_a_listpack_of_the_newest(redis: Redis, writer: str) -> None:
    """A drain of many of a user's reactions, or a feed, comes when the hash is nearly full."""
    write_through_users(redis, {USER: [(post, 1) for post in range(1, 451)]})
    more = dict.fromkeys(range(451, 651), 1)
    if writer == "drain":
        write_through_users(redis, {USER: list(more.items())})
    else:
        announce_load(redis)
        install_user(redis, more)
    assert set(more) <= set(remembered(redis))
    assert redis.object("encoding", keys.user_reactions(USER)) == b"listpack"


# -- advance ---------------------------------------------------------------------------------------


def test_an_erasure_moves_step_by_step(redis: Redis) -> None:
    key = keys.outbox_forgetting(SHARD)
    redis.hset(key, str(USER), "")
    assert markers.advance_erasure(USER, "5|", "5|9").run(redis) == 0
    assert markers.advance_erasure(USER, "", "5|").run(redis) == 1
    assert markers.advance_erasure(USER, "", "6|").run(redis) == 0  # another worker was faster
    assert redis.hgetall(key) == {b"4242": b"5|"}
    assert markers.advance_erasure(USER, "5|", "5|9").run(redis) == 1
    assert markers.advance_erasure(USER, "5|9", "").run(redis) == 1
    assert not redis.exists(key)


def test_an_erasure_that_was_asked_for_anew_begins_anew(redis: Redis) -> None:
    key = keys.outbox_forgetting(SHARD)
    redis.hset(key, mapping={str(USER): "", str(FELLOW): "5|"})
    assert markers.advance_erasure(USER, "5|9", "").run(redis) == 0
    assert redis.hgetall(key) == {b"4242": b"", b"4342": b"5|"}
    assert markers.advance_erasure(1_042, "", "5|").run(redis) == 0  # finished, or never asked for
    assert redis.hlen(key) == 2
