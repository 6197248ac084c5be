"""Every Redis key: its name, one slot for all keys of a shard, and no two equal keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from reactions.core.constants import MAX_ID, SHARDS, shard_of
from reactions.redis import scripts
from reactions.redis.keys import default_keys as keys
from reactions.redis.keys import keys_of
from reactions.redis.scripts import drain, loading, lookups, markers, writes
from reactions.redis.scripts import user_cache as user_scripts

OF_POST: dict[Callable[[int], str], str] = {
    keys.post_reactions: "post:{42}:1042:reactions",
    keys.post_reaction_counts: "post:{42}:1042:reaction_counts",
    keys.post_viral: "post:{42}:1042:viral",
    keys.post_total_reactions: "post:{42}:1042:total_reactions",
    keys.post_recent: "post:{42}:1042:recent",
    keys.post_rate: "post:{42}:1042:rate",
    keys.post_uniques: "post:{42}:1042:uniques",
    keys.post_summary: "post:{42}:1042:summary",
    keys.post_loading: "post:{42}:1042:loading",
    keys.post_pending: "post:{42}:1042:pending",
    keys.post_claimed: "post:{42}:1042:claimed",
    keys.post_delta: "post:{42}:1042:delta",
}
OF_SHARD: dict[Callable[[int], str], str] = {
    keys.outbox_dirty: "outbox:{42}:dirty",
    keys.outbox_clock: "outbox:{42}:clock",
    keys.outbox_lease: "outbox:{42}:lease",
    keys.outbox_wake: "outbox:{42}:wake",
    keys.outbox_lags: "outbox:{42}:lags",
    keys.outbox_deleted: "outbox:{42}:deleted",
    keys.outbox_deletions: "outbox:{42}:deletions",
    keys.outbox_forgetting: "outbox:{42}:forgetting",
    keys.outbox_epoch: "outbox:{42}:epoch",
    keys.outbox_committed: "outbox:{42}:committed",
    keys.outbox_confirmed: "outbox:{42}:confirmed",
}
OF_USER: dict[Callable[[int], str], str] = {
    keys.user_reactions: "user:{17}:1017:reactions",
    keys.user_loading: "user:{17}:1017:loading",
    keys.user_allowance: "user:{17}:1017:allowance",
}
COMMENTS = keys_of("comment")
POST = st.integers(1, MAX_ID)
SHARD = st.integers(0, SHARDS - 1)

relaxed = settings(deadline=None)  # a busy machine may be slow


@pytest.mark.parametrize(("function", "key"), OF_POST.items())
def test_keys_of_a_post(function: Callable[[int], str], key: str) -> None:
    assert function(1042) == key


@pytest.mark.parametrize(("function", "key"), OF_USER.items())
def test_keys_of_a_user(function: Callable[[int], str], key: str) -> None:
    assert function(1017) == key


@pytest.mark.parametrize(("function", "key"), OF_SHARD.items())
def test_keys_of_a_shard(function: Callable[[int], str], key: str) -> None:
    assert function(42) == key


def test_this_file_covers_every_key() -> None:
    public = {
        function
        for name, function in inspect.getmembers(keys, callable)
        if not name.startswith("_")
    }
    rest: set[object] = {keys.post_prefix, keys.post_loaded, keys.bucket}
    rest |= {
        keys.of_reaction,
        keys.of_post,
        keys.outbox_types,
        keys.outbox_layout,
    }
    assert public == {*OF_POST, *OF_SHARD, *OF_USER, *rest}
    assert keys.outbox_types() == "outbox:{0}:types"
    assert keys.outbox_layout() == "outbox:{0}:layout"
    assert keys.bucket("first", 0) == "first"
    assert keys.bucket("first", 3) == "first:3"
    assert keys.post_loaded(1042, "t") == "post:{42}:1042:loading:t"


def test_every_cache_key_of_a_post_is_listed_once() -> None:
    assert sorted(keys.of_post(1042)) == sorted(OF_POST.values())


def test_the_keys_of_another_space() -> None:
    assert COMMENTS.post_pending(1042) == "comment:{42}:1042:pending"
    assert COMMENTS.post_prefix(42) == "comment:{42}:"
    assert COMMENTS.outbox_dirty(42) == "outbox:comment:{42}:dirty"
    assert COMMENTS.outbox_types() == "outbox:comment:{0}:types"
    assert COMMENTS.user_reactions(1017) == "user:{17}:1017:reactions:comment"
    assert COMMENTS.user_loading(1017) == "user:{17}:1017:loading:comment"
    # What all spaces share:
    assert COMMENTS.user_allowance(1017) == keys.user_allowance(1017)
    assert COMMENTS.outbox_layout() == keys.outbox_layout()


def test_each_space_has_one_object() -> None:
    assert keys_of("comment") is COMMENTS
    assert keys_of("post") is keys


@relaxed
@given(POST)
def test_the_keys_of_a_reaction_are_in_the_order_of_the_script(post_id: int) -> None:
    """The hot path makes them from two prefixes; the header of ``react.lua`` names the order."""
    of_post = "reactions reaction_counts pending claimed delta recent total_reactions uniques"
    shard = shard_of(post_id)
    made = [*(getattr(keys, f"post_{name}")(post_id) for name in of_post.split())]
    made += [getattr(keys, f"outbox_{name}")(shard) for name in ("dirty", "clock", "wake")]
    made += [keys.outbox_deleted(shard), keys.post_summary(post_id)]
    assert keys.of_reaction(post_id) == tuple(made)
    assert writes.record(keys, 1, post_id, 1, 10).keys == tuple(made)


@relaxed
@given(POST)
def test_all_keys_of_a_post_and_its_shard_are_in_one_slot(post_id: int) -> None:
    shard = shard_of(post_id)
    assert shard == int(str(post_id)[-2:])  # the same as post_id % 100
    made = [function(post_id) for function in OF_POST]
    made += [function(shard) for function in OF_SHARD]
    assert {re.findall(r"\{(.*?)\}", key)[0] for key in made} == {str(shard)}
    assert len({key_slot(key.encode()) for key in made}) == 1


@relaxed
@given(POST)
def test_a_post_key_is_the_prefix_that_scripts_append_to(post_id: int) -> None:
    prefix = keys.post_prefix(shard_of(post_id))
    for function, example in OF_POST.items():
        assert function(post_id) == f"{prefix}{post_id}:{example.rpartition(':')[2]}"


@relaxed
@given(st.lists(POST, unique=True, min_size=2), st.lists(SHARD, unique=True, min_size=2))
def test_no_two_keys_are_equal(posts: Sequence[int], shards: Sequence[int]) -> None:
    """Whatever the space: names of spaces that resemble those of keys or of other spaces, too."""
    made = []
    names = [function.__name__ for function in (*OF_POST, *OF_SHARD, *OF_USER)]
    for space in (keys, COMMENTS, *map(keys_of, ("comments", "dirty", "reactions", "posts"))):
        for name in names:
            if space is keys or name != "user_allowance":  # all spaces share it
                numbers = shards if name.startswith("outbox") else posts
                made += [getattr(space, name)(number) for number in numbers]
    assert len(set(made)) == len(made)


def test_shards_spread_over_the_slots() -> None:
    """Each of the hundred shards has a slot of its own, so a cluster can distribute them."""
    assert len({key_slot(keys.outbox_dirty(shard).encode()) for shard in range(SHARDS)}) == SHARDS


@relaxed
@given(POST, POST)
def test_every_call_names_all_its_keys_within_one_slot(user_id: int, post_id: int) -> None:
    shard = shard_of(post_id)
    settled = [drain.SettledPost(post_id, 1, False, 0, {1: 2})]
    tiers = drain.TierRules(1, 1, 1, 1, 1, 1, 1)
    calls = [
        writes.record(keys, user_id, post_id, 1, 10),
        drain.claim(keys, shard, "t", "", lease_us=1, longest_us=1, posts=1, rows=1, inline=1),
        drain.settle(
            keys,
            shard,
            "t",
            1,
            tiers=tiers,
            lags={10: 1},
            posts=settled,
        ),
        drain.trim(keys, post_id, "t", 1, [user_id]),
        drain.extend_lease(keys, shard, "t", 1),
        loading.grow(keys, post_id, 1),
        loading.fence(keys, post_id, "t", 1),
        loading.install_counts(
            keys, post_id, "t", ttl_ms=1, viral_ttl_ms=1, viral=1, counts={1: 2}
        ),
        loading.install_reactions(keys, post_id, "t", ttl_ms=1, overlay=1, size=1),
        loading.install_sample(keys, post_id, "t", ttl_ms=1, overlay=1, total=1, newest=[(1, 1)]),
        lookups.lookup_posts(keys, [post_id], user_id, [1], cold_ms=1, regular_ms=1, viral_ms=1),
        lookups.recent(keys, post_id, 1),
        loading.collect(keys, post_id, "t", True, 1, [user_id]),
        writes.delete(keys, post_id),
        loading.snapshot(keys, post_id, "t"),
        markers.write_epoch(keys, shard, "", "new"),
    ]
    of_users = [
        user_scripts.write_through_users(keys, 1, 1, [1], {user_id: [(post_id, 1)]}),
        user_scripts.write_through_users(keys, 0, 1, [1], {user_id: [(post_id, 1)]}),
        user_scripts.install_user(keys, user_id, "t", 1, {post_id: 1}, whole=True),
        markers.advance_erasure(keys, user_id, "", "1|"),
        markers.raise_clock(keys, shard_of(user_id), 1),
        markers.read_clock(keys, shard_of(user_id)),
        markers.set_clock_back(keys, shard_of(user_id), 1, 1),
        writes.limit(keys, user_id, 1, 1),
    ]
    assert {call.script for call in [*calls, *of_users]} == set(scripts.ALL)
    for call in of_users:
        assert len(call.keys) == call.script.keys
        assert {key_slot(key.encode()) for key in call.keys} == {
            key_slot(keys.outbox_dirty(shard_of(user_id)).encode())
        }
    for call in calls:
        assert len(call.keys) == call.script.keys
        assert len(set(call.keys)) == len(call.keys)
        assert {key_slot(key.encode()) for key in call.keys} == {
            key_slot(keys.outbox_dirty(shard).encode())
        }
