"""claim.lua, settle.lua, trim.lua, hold.lua: who may drain, what they take, what they leave."""

from __future__ import annotations

from typing import Any

from redis import Redis

from reactions.redis import keys
from reactions.redis.pipeline import run_many
from reactions.redis.scripts import drain, loading, writes
from reactions.redis.scripts.drain import (
    BECAME_VIRAL,
    LOAD_HASH,
    LOAD_SAMPLE,
    SettledPost,
    TierRules,
)

SHARD = 42
POST, OTHER = 1042, 1142
LEASE = 5_000_000
TIERS = TierRules(100, 80, 1000, 60_000, 61_000, 62_000, 63_000)


def react(redis: Redis, user: int, code: int, post: int = POST) -> None:
    writes.record(user, post, code, 10_000_000).run(redis)


def claim(
    redis: Redis, token: str, previous: str = "", posts: int = 100, rows: int = 1000, **more: int
) -> Any:
    limits: dict[str, Any] = {"lease_us": LEASE, "longest_us": LEASE, "inline": 1000, **more}
    return drain.claim(SHARD, token, previous, posts=posts, rows=rows, **limits).run(redis)


def settle(redis: Redis, token: str, claimed: Any, counts: dict[int, dict[int, int]]) -> Any:
    over = {int(post) for post, _, _, taken_over, _ in claimed[3:] if taken_over}
    posts = [SettledPost(p, 1000, False, 0, found, p in over) for p, found in counts.items()]
    return drain.settle(SHARD, token, claimed[1], tiers=TIERS, lags={100: 3}, posts=posts).run(
        redis
    )


def lease_expiry(redis: Redis) -> int:
    return int(str(redis.get(keys.outbox_lease(SHARD))).split("|")[1])


def rows(reply: Any) -> dict[int, dict[int, int]]:
    return {
        int(post): {
            int(user): int(entry.split(b":")[0])
            for user, entry in zip(flat[::2], flat[1::2], strict=True)
        }
        for post, _, _, _, flat in reply[3:]
    }


def test_a_claim_takes_the_oldest_first_and_says_how_many_are_left(redis: Redis) -> None:
    for number in range(5):
        react(redis, 1, 1, post=POST + 100 * number)
    reply = claim(redis, "a", posts=2)
    assert list(rows(reply)) == [POST, POST + 100]
    assert reply[2] == 3
    assert redis.exists(keys.post_pending(POST + 200)) == 1


def test_a_claim_stops_at_its_rows_but_takes_at_least_one_post(redis: Redis) -> None:
    for user in range(1, 11):
        react(redis, user, 1)
    react(redis, 1, 1, post=OTHER)
    reply = claim(redis, "a", rows=3)
    assert {post: len(found) for post, found in rows(reply).items()} == {POST: 10}
    assert reply[2] == 1


def test_a_large_post_comes_without_its_rows(redis: Redis) -> None:
    for user in range(1, 11):
        react(redis, user, 1)
    ((post, rows_of_it, _, _, entries),) = claim(redis, "a", inline=5)[3:]
    assert (post, rows_of_it, entries) == (b"1042", 10, [])
    assert redis.hlen(keys.post_claimed(POST)) == 10


def test_one_drain_at_a_time_and_the_second_is_noted(redis: Redis) -> None:
    react(redis, 1, 1)
    first = claim(redis, "a")
    assert claim(redis, "b") == [0]
    assert settle(redis, "a", first, {POST: {1: 1}}) == [1, 0, 1]


def test_a_lease_lapses_and_what_was_claimed_is_taken_again(redis: Redis) -> None:
    react(redis, 1, 1)
    first = claim(redis, "a", lease_us=1)
    react(redis, 2, 2)  # pending again, behind the claim
    second = claim(redis, "b")
    assert rows(second) == rows(first) == {POST: {1: 1}}
    assert settle(redis, "a", first, {POST: {1: 1}}) == [0]  # the first woke up late
    assert settle(redis, "b", second, {POST: {1: 1}})[:2] == [1, 1]
    assert rows(claim(redis, "c")) == {POST: {2: 2}}


def test_what_came_behind_a_leftover_claim_is_more_to_do(redis: Redis) -> None:
    """Its wake-up may have been used up by the drain that died."""
    react(redis, 1, 1)
    claim(redis, "a", lease_us=1)
    react(redis, 2, 2)
    assert claim(redis, "b")[2] == 1


def test_a_lease_from_before_a_clock_step_does_not_block(redis: Redis) -> None:
    react(redis, 1, 1)
    redis.set(keys.outbox_lease(SHARD), "a|4000000000000000|0")
    assert rows(claim(redis, "b")) == {POST: {1: 1}}


def test_a_token_serves_for_one_claim_only(redis: Redis) -> None:
    """A retry delivered twice: the second presents a token that the first has used up."""
    react(redis, 1, 1)
    claim(redis, "a")
    assert claim(redis, "b", previous="a")[0] == 1
    assert claim(redis, "c", previous="a") == [0]


def test_an_empty_claim_gives_the_lease_back_and_clears_the_wake_up(redis: Redis) -> None:
    react(redis, 1, 1)
    settle(redis, "a", claim(redis, "a"), {POST: {1: 1}})
    react(redis, 1, 1, post=OTHER)
    redis.delete(keys.outbox_dirty(SHARD), keys.post_pending(OTHER))
    assert claim(redis, "b")[2:] == [0]
    assert not redis.exists(keys.outbox_lease(SHARD), keys.outbox_wake(SHARD))


def test_a_dirty_post_with_nothing_to_do_is_forgotten(redis: Redis) -> None:
    redis.zadd(keys.outbox_dirty(SHARD), {str(POST): 1})
    assert claim(redis, "a")[3:] == []
    assert not redis.exists(keys.outbox_dirty(SHARD))


def test_a_claim_refuses_the_load_under_way(redis: Redis) -> None:
    assert loading.fence(POST, "load", 1000).run(redis) == 1
    react(redis, 1, 1)
    claim(redis, "a")
    assert not redis.exists(keys.post_loading(POST))
    assert loading.fence(POST, "load", 1000).run(redis) == 0


def test_settling_writes_counts_absolutely_with_what_is_pending(redis: Redis) -> None:
    react(redis, 1, 1)
    claimed = claim(redis, "a")
    react(redis, 2, 2)
    react(redis, 1, 3)  # replaces what is claimed
    redis.hset(keys.post_reaction_counts(POST), mapping={"1": 999, "9": 5})  # drift of any kind
    assert settle(redis, "a", claimed, {POST: {1: 1, 2: 0, 3: 0}})[:2] == [1, 1]
    counts = redis.hgetall(keys.post_reaction_counts(POST))
    assert counts == {b"1": b"0", b"2": b"1", b"3": b"1"}
    assert redis.pttl(keys.post_reaction_counts(POST)) > 0
    assert not redis.exists(keys.post_claimed(POST), keys.outbox_lease(SHARD))
    assert redis.zscore(keys.outbox_dirty(SHARD), str(POST)) == claimed[1]
    assert redis.hgetall(keys.outbox_lags(SHARD)) == {b"100": b"3"}


def test_settling_drops_the_hash_of_a_post_with_refused_rows(redis: Redis) -> None:
    redis.hset(keys.post_reactions(POST), mapping={"0": 1})
    react(redis, 1, 1)
    claimed = claim(redis, "a")
    post = SettledPost(POST, 1000, False, 1, {1: 0})
    drain.settle(SHARD, "a", claimed[1], tiers=TIERS, lags={}, posts=[post]).run(redis)
    assert not redis.exists(keys.post_reactions(POST))


def test_settling_fences_a_load_of_what_is_used_often_but_not_cached(redis: Redis) -> None:
    """Counts that were cached already are the sign; a viral post always needs its sample."""
    for post in (POST, OTHER):
        react(redis, 1, 1, post=post)
    settled = settle(redis, "a", claim(redis, "a"), {POST: {1: 1}, OTHER: {1: 100}})
    assert settled[3:] == [b"1142", BECAME_VIRAL, b"1142", LOAD_SAMPLE]
    for post in (POST, OTHER):
        react(redis, 2, 1, post=post)
    settled = settle(redis, "b", claim(redis, "b"), {POST: {1: 2}, OTHER: {1: 101}})
    assert settled[3:] == [b"1042", LOAD_HASH, b"1142", LOAD_SAMPLE]
    assert redis.get(keys.post_loading(POST)) == b"b"
    assert 0 < redis.pttl(keys.post_loading(POST)) <= 1000
    redis.hset(keys.post_reactions(POST), mapping={"0": 1})
    react(redis, 3, 1)
    assert settle(redis, "c", claim(redis, "c"), {POST: {1: 3}})[3:] == []


def test_settling_answers_for_as_many_posts_as_a_batch_may_have(redis: Redis) -> None:
    """More values than Lua can unpack."""
    posts = [SHARD + 100 * number for number in range(1, 5_001)]
    counts = {post: {1: 1} for post in posts}
    for what in (0, LOAD_HASH):  # at the second time all have cached counts, and lack their hash
        calls = [writes.record(7, post, 1 + what, 10_000_000) for post in posts]
        run_many(redis, calls)
        token = f"t{what}"
        claimed = claim(redis, token, posts=5_000, rows=5_000)
        reply = settle(redis, token, claimed, counts)
        assert reply[:3] == [1, 0, 0]
        expected = dict.fromkeys(posts, what) if what else {}
        assert dict(zip(map(int, reply[3::2]), reply[4::2], strict=True)) == expected


def test_settling_without_the_lease_changes_nothing(redis: Redis) -> None:
    react(redis, 1, 1)
    claimed = claim(redis, "a")
    redis.delete(keys.outbox_lease(SHARD))
    before = {key: redis.dump(key) for key in redis.keys()}
    assert settle(redis, "a", claimed, {POST: {1: 1}}) == [0]
    assert drain.trim(POST, "a", LEASE, [1]).run(redis) == 0
    assert drain.extend_lease(SHARD, "a", LEASE).run(redis) == 0
    assert {key: redis.dump(key) for key in redis.keys()} == before


def test_trim_drops_rows_and_prolongs_the_lease(redis: Redis) -> None:
    for user in range(1, 3001):
        react(redis, user, 1)
    claim(redis, "a", lease_us=1_000, inline=5)
    before = lease_expiry(redis)
    assert drain.trim(POST, "a", LEASE, list(range(1, 2501))).run(redis) == 1
    assert redis.hlen(keys.post_claimed(POST)) == 500
    assert lease_expiry(redis) > before


def test_what_came_behind_a_claim_that_was_taken_over_keeps_its_age(redis: Redis) -> None:
    """Erasures and tombstones wait until all from before is durable: it must not look younger."""
    react(redis, 1, 1)
    claim(redis, "a", lease_us=1)
    react(redis, 2, 2)  # behind it, and older than the next claim
    oldest = redis.zscore(keys.outbox_dirty(SHARD), "1042")
    taken = claim(redis, "b")
    assert [post[3] for post in taken[3:]] == [1]
    settle(redis, "b", taken, {POST: {1: 1}})
    assert redis.zscore(keys.outbox_dirty(SHARD), "1042") == oldest
    fresh = claim(redis, "c")
    assert [post[3] for post in fresh[3:]] == [0]
    react(redis, 3, 1)
    settle(redis, "c", fresh, {POST: {1: 1, 2: 1}})
    assert redis.zscore(keys.outbox_dirty(SHARD), "1042") == fresh[1]


def test_trim_leaves_the_claim_to_settle(redis: Redis) -> None:
    """Else what was cached before would stay, if the drain died between the two."""
    for user in (1, 2, 3):
        react(redis, user, 1)
    claim(redis, "a", inline=1)
    assert drain.trim(POST, "a", LEASE, [1, 2, 3]).run(redis) == 1
    assert drain.trim(POST, "a", LEASE, [1, 2, 3]).run(redis) == 1
    assert redis.hkeys(keys.post_claimed(POST)) == [b"3"]


def test_a_held_shard_waits_for_the_one_that_holds_it(redis: Redis) -> None:
    react(redis, 1, 1)
    claim(redis, "a", lease_us=1)
    assert drain.extend_lease(SHARD, "a", LEASE).run(redis) == 1
    assert claim(redis, "b") == [0]
    assert rows(claim(redis, "c", previous="a")) == {POST: {1: 1}}
