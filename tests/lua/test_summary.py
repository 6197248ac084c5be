"""include/summary.lua: which scripts write, extend and drop the ready summary of a post."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import lookups, writes
from reactions.redis.scripts.writes import MAX_SUMMARY_BYTES
from reactions.redis.summary_parser import is_stamped
from tests.lua.support import (
    COLD_MS,
    CREATED,
    OTHER,
    POST,
    REGULAR_MS,
    REMOVED,
    UNCHANGED,
    VIRAL,
    VIRAL_MS,
    acknowledge,
    claim,
    complete,
    lookup,
    react,
    read_summary,
    sample,
    settle,
)
from tests.support.loads import SingleLoads

SUMMARY = keys.post_summary(POST)
MAX_LISTED = 32


def crowd(redis: Redis, users: int, code: int = 1, post: int = POST) -> None:
    for user in range(1, users + 1):
        react(redis, user, code, post)


@contextmanager
def full_memory(redis: Redis) -> Iterator[None]:
    """Redis rejects what needs memory, and evicts nothing."""
    policy: Any = redis.config_get("maxmemory-policy")
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", policy["maxmemory-policy"])


# -- a lookup writes it ----------------------------------------------------------------------------


def test_a_lookup_of_a_quiet_post_writes_it(redis: Redis) -> None:
    settle(redis, {1: 3, 2: 2})
    assert not redis.exists(SUMMARY)
    lookup(redis)
    assert read_summary(redis) == (0, {1: 3, 2: 2}, {})


def test_a_lookup_lists_everyone_in_the_outbox_with_their_newest_code(redis: Redis) -> None:
    settle(redis, {1: 3, 2: 2})
    for user in (7, 8):
        react(redis, user, 1)
    assert claim(redis, "token")[0] == 1
    react(redis, 8, 2)
    react(redis, 9, 0)
    react(redis, 9, 3)
    lookup(redis)
    assert read_summary(redis) == (0, {1: 4, 2: 3, 3: 1}, {7: 1, 8: 2, 9: 3})


@pytest.mark.parametrize(("waiting", "written"), [(MAX_LISTED, True), (MAX_LISTED + 1, False)])
@pytest.mark.parametrize("claimed", [0, 5, MAX_LISTED])
def test_a_lookup_lists_so_many_at_most(
    redis: Redis, waiting: int, written: bool, claimed: int
) -> None:
    settle(redis, {1: 1})
    crowd(redis, claimed)
    if claimed:
        claim(redis, "token")
    for user in range(100, 100 + waiting - claimed):
        react(redis, user, 1)
    lookup(redis)
    found = read_summary(redis)
    assert (found is not None) is written
    assert found is None or len(found[2]) == MAX_LISTED


def test_a_lookup_without_cached_counts_writes_none(redis: Redis, store: SingleLoads) -> None:
    complete(store, {1: 1})
    react(redis, 2, 1)
    lookup(redis, 1)
    assert not redis.exists(SUMMARY)


@pytest.mark.parametrize("claimed", [False, True])
def test_a_lookup_of_a_deleted_post_writes_its_tier_alone(redis: Redis, claimed: bool) -> None:
    settle(redis, {1: 3})
    react(redis, 1, 1)
    if claimed:
        claim(redis, "token")
    writes.delete(keys, POST).run(redis)
    lookup(redis, 1)
    assert read_summary(redis) == (2, {}, {})
    assert 0 < redis.pttl(SUMMARY) <= COLD_MS // 4


def test_a_lookup_of_many_posts_writes_one_for_each(redis: Redis) -> None:
    settle(redis, {1: 3})
    settle(redis, {2: VIRAL}, post=OTHER)
    react(redis, 1, 2)
    lookups.lookup_posts(
        keys,
        [OTHER, POST],
        1,
        [1_000] * 2,
        cold_ms=COLD_MS,
        regular_ms=REGULAR_MS,
        viral_ms=VIRAL_MS,
    ).run(redis)
    assert read_summary(redis) == (0, {1: 3, 2: 1}, {1: 2})
    assert read_summary(redis, OTHER) == (1, {2: VIRAL}, {})


def test_no_two_stamps_are_the_same(redis: Redis) -> None:
    """The counts may be those of before; the text is not."""
    settle(redis, {1: 3})
    texts = set()
    for _ in range(10):
        redis.delete(SUMMARY)
        lookups.lookup_posts(
            keys, [POST], 0, [1_000], cold_ms=COLD_MS, regular_ms=1, viral_ms=1, stamped=True
        ).run(redis)
        text = redis.get(SUMMARY)
        assert isinstance(text, bytes)
        assert is_stamped(text)
        texts.add(text)
        assert read_summary(redis) == (0, {1: 3}, {})
    assert len(texts) == 10


def test_it_lives_a_quarter_of_the_posts_life(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: 5})

    def check(life: int) -> None:
        lookup(redis)
        assert life // 4 - 5_000 < redis.pttl(SUMMARY) <= life // 4

    check(COLD_MS)
    complete(small, dict.fromkeys(range(1, 6), 1))
    check(REGULAR_MS)
    sample(small, [(2, 3), (1, 2)], total=VIRAL, ever=[1])
    check(VIRAL_MS)


def test_a_lookup_answers_when_memory_is_full(redis: Redis) -> None:
    settle(redis, {1: 2})
    react(redis, 1, 1)
    with full_memory(redis):
        assert lookup(redis, 1) == (0, 0, 1, {1: 3})
        assert not redis.exists(SUMMARY)
    lookup(redis, 1)
    assert read_summary(redis) == (0, {1: 3}, {1: 1})


def test_a_lookup_replaces_a_key_of_another_type(redis: Redis) -> None:
    settle(redis, {1: 2})
    redis.rpush(SUMMARY, "somebody", "else's")
    assert react(redis, 1, 1).version
    lookup(redis)
    assert read_summary(redis) == (0, {1: 3}, {1: 1})


# -- react appends to it ---------------------------------------------------------------------------


def test_react_appends_each_change(redis: Redis, store: SingleLoads) -> None:
    complete(store, {1: 1, 2: 1})
    settle(redis, {1: 2})
    complete(store, {1: 1, 2: 1})
    lookup(redis)
    redis.pexpire(SUMMARY, 20_000)
    assert react(redis, 1, 1).status == UNCHANGED
    assert read_summary(redis) == (0, {1: 2}, {})
    assert react(redis, 3, 2).status == CREATED
    assert react(redis, 1, 0).status == REMOVED
    react(redis, 3, 5)
    assert redis.get(SUMMARY) == b"0,1,2;3:0:2;1:1:0;3:2:5"
    assert read_summary(redis) == (0, {1: 1, 5: 1}, {3: 5, 1: 0})
    assert 0 < redis.pttl(SUMMARY) <= 20_000  # a change does not make it live longer


def test_react_writes_none_where_there_is_none(redis: Redis) -> None:
    settle(redis, {1: 2})
    react(redis, 1, 1)
    assert not redis.exists(SUMMARY)


def test_a_refused_reaction_leaves_it(redis: Redis) -> None:
    writes.delete(keys, POST).run(redis)
    lookup(redis)
    react(redis, 1, 1)
    assert read_summary(redis) == (2, {}, {})


@pytest.mark.parametrize(
    ("length", "kept"), [(MAX_SUMMARY_BYTES - 1, True), (MAX_SUMMARY_BYTES, False)]
)
def test_react_drops_a_long_one(redis: Redis, length: int, kept: bool) -> None:
    redis.set(SUMMARY, "0,1,".ljust(length, "2"), px=20_000)
    react(redis, 1, 1)
    assert redis.exists(SUMMARY) == kept


def test_a_summary_stays_short(redis: Redis) -> None:
    settle(redis, {1: 2})
    lookup(redis)
    longest = 0
    for user in range(10**18, 10**18 + 40):
        react(redis, user, 1)
        longest = max(longest, redis.strlen(SUMMARY))
    assert MAX_SUMMARY_BYTES <= longest < MAX_SUMMARY_BYTES + 30
    assert not redis.exists(SUMMARY)


# -- every other change drops it -------------------------------------------------------------------

CHANGES: dict[str, Callable[[Redis, SingleLoads], object]] = {
    "settle": lambda redis, _: settle(redis, {1: 3}),
    "settle_and_drop": lambda redis, _: settle(redis, {1: 3}, drop=1),
    "settle_a_deleted_post": lambda redis, _: settle(redis, {}, drop=2),
    "install_counts": lambda _, store: store.install_counts(POST, "t", {1: 4}),
    "install_reactions": lambda _, store: store.install_reactions(POST, "t", {1: 1}),
    "install_sample": lambda _, store: store.install_sample(POST, "t", total=1, newest=[(1, 1)]),
    "delete": lambda redis, _: writes.delete(keys, POST).run(redis),
    "drop": lambda _, store: store.drop(POST),
    "demote": lambda _, store: store.demote(POST),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_other_change_drops_it(redis: Redis, store: SingleLoads, change: str) -> None:
    settle(redis, {1: 2})
    assert store.fence(POST, "t")
    react(redis, 9, 1)
    lookup(redis)
    lookup(redis, post=OTHER)
    assert redis.exists(SUMMARY)
    CHANGES[change](redis, store)
    assert not redis.exists(SUMMARY)


@pytest.mark.parametrize("change", [c for c in CHANGES if c.startswith("install")])
def test_a_refused_install_leaves_it(redis: Redis, store: SingleLoads, change: str) -> None:
    settle(redis, {1: 2})
    lookup(redis)
    CHANGES[change](redis, store)
    assert read_summary(redis) == (0, {1: 2}, {})


def test_a_refused_settlement_leaves_it(redis: Redis) -> None:
    settle(redis, {1: 2})
    react(redis, 9, 1)
    taken = claim(redis, "late")
    redis.delete(keys.outbox_lease(POST % 100))
    claim(redis, "another")
    lookup(redis)
    assert acknowledge(redis, "late", taken, {POST: {1: 7}}) == [0]
    assert read_summary(redis) == (0, {1: 3}, {9: 1})


def test_a_claim_leaves_it(redis: Redis) -> None:
    """What it lists moves from pending to claimed."""
    settle(redis, {1: 2})
    lookup(redis)
    react(redis, 9, 1)
    claim(redis, "token")
    assert read_summary(redis) == (0, {1: 3}, {9: 1})
