"""Each header is a contract: its KEYS, in order, are those that the typed function sends."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from reactions.core import resources
from reactions.core.constants import shard_of
from reactions.redis import scripts
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import Call, Script
from reactions.redis.scripts import drain, loading, lookups, markers, user_cache, writes

POST, USER, TOKEN = 1042, 1017, "t"
SHARD = shard_of(POST)
TIERS = drain.TierRules(1, 1, 1, 1, 1, 1, 1)

CALLS = [
    writes.record(keys, USER, POST, 1, 10),
    writes.delete(keys, POST),
    writes.limit(keys, USER, 1, 1),
    drain.claim(keys, SHARD, TOKEN, "", lease_us=1, longest_us=1, posts=1, rows=1, inline=1),
    drain.settle(keys, SHARD, TOKEN, 1, tiers=TIERS, lags={}, posts=[]),
    drain.trim(keys, POST, TOKEN, 1, [USER]),
    drain.extend_lease(keys, SHARD, TOKEN, 1),
    loading.grow(keys, POST, 1),
    loading.fence(keys, POST, TOKEN, 1),
    loading.install_counts(keys, POST, TOKEN, ttl_ms=1, viral_ttl_ms=1, viral=1, counts={}),
    loading.install_reactions(keys, POST, TOKEN, ttl_ms=1, overlay=1, size=1),
    loading.install_sample(keys, POST, TOKEN, ttl_ms=1, overlay=1, total=1, newest=[]),
    loading.collect(keys, POST, TOKEN, True, 1, [USER]),
    loading.snapshot(keys, POST, TOKEN),
    lookups.lookup_posts(
        keys, [POST, POST + 100], USER, [1, 1], cold_ms=1, regular_ms=1, viral_ms=1
    ),
    lookups.recent(keys, POST, 1),
    markers.advance_erasure(keys, USER, "", "1|"),
    markers.raise_clock(keys, SHARD, 1),
    markers.read_clock(keys, SHARD),
    markers.set_clock_back(keys, SHARD, 1, 1),
    markers.write_epoch(keys, SHARD, "", "new"),
    user_cache.write_through_users(keys, 1, 1, [1, 1], {USER: [(POST, 1)], USER + 1: [(POST, 1)]}),
    user_cache.write_through_users(keys, 0, 1, [1, 1], {USER: [(POST, 1)], USER + 1: [(POST, 1)]}),
    user_cache.install_user(keys, USER, TOKEN, 1, {}, whole=True),
]

KEY = re.compile(r" (\d+) ((?:post|user|outbox):[\w:<>]+)")
MORE = re.compile(r", followed by ((?:post|user|outbox):\w+) of ")


def header_keys(script: Script) -> list[str]:
    """The names of the keys in the header, in the order of their numbers."""
    block = re.search(r"^-- KEYS.*?(?=^-- ARGV)", resources.lua(script.name), re.M | re.S)
    assert block is not None
    named = [(int(number), name) for number, name in KEY.findall(block[0])]
    assert [number for number, _ in named] == list(range(1, script.keys + 1))
    return [name for _, name in named]


def sent_keys(keys: Sequence[str]) -> list[str]:
    """The names as a header has them: ``post:{42}:1042:loading:t`` is ``post:loading:<token>``."""
    names = [re.sub(r"^(\w+):\{\d+\}(?::\d+)?:", r"\1:", key) for key in keys]
    return [re.sub(rf":{TOKEN}$", ":<token>", name) for name in names]


def test_every_script_is_called_here() -> None:
    assert {call.script for call in CALLS} == set(scripts.ALL)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.script.name)
def test_the_header_names_the_keys_that_the_typed_function_sends(call: Call) -> None:
    stated, sent = header_keys(call.script), sent_keys(call.keys)
    assert sent[: len(stated)] == stated
    further = MORE.search(resources.lua(call.script.name))
    assert set(sent[len(stated) :]) == ({further[1]} if further else set())


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_the_header_states_as_many_keys_as_the_binding_sends(script: Script) -> None:
    header = resources.lua(script.name).split("\n\n", 1)[0]
    stated = re.search(r"-- KEYS(.*?)-- ARGV", header, re.DOTALL)
    assert stated is not None
    assert len(set(re.findall(r"\b(\d+) (?:post|user|outbox|the)", stated[1]))) == script.keys
