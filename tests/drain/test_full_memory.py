"""``maxmemory`` is reached and nothing is left to evict: writes raise, and no data is harmed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from reactions import BatchInterrupted, ReactionsUnavailable, Status
from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine, make_engine
from tests.support.servers import running_redis

pytestmark = pytest.mark.slow

POSTS = range(1, 151)
BATCH = 500
ROOM = 600_000
"""Bytes that are left for pending changes when the caches are filled."""

ADVICE = "memory is full: .*maxmemory"


@dataclass
class Full:
    """An engine whose Redis is full.

    Attributes:
        acknowledged: (user, post) that ``react`` or ``react_many`` returned from.
    """

    engine: Engine
    redis: Redis
    acknowledged: set[tuple[int, int]]

    def keyspace(self) -> dict[bytes, bytes | None]:
        return {key: self.redis.dump(key) for key in self.redis.scan_iter(count=10_000)}

    def pending(self) -> set[tuple[int, int]]:
        posts = self.engine.outbox_state.dirty_posts()
        return {(int(u), p) for p in posts for u in self.redis.hkeys(keys.post_pending(p))}


@pytest.fixture(params=["valkey volatile-lru", "valkey noeviction", "redis volatile-lru"])
def full(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Iterator[Full]:
    """Fill Redis through the client: first caches, then pending changes, until it refuses."""
    kind, policy = request.param.split()
    with running_redis(tmp_path, kind) as server, Redis(port=server.port) as redis:
        redis.config_set("maxmemory-policy", policy)
        engine = make_engine(settings.model_copy(update={"redis_url": SecretStr(server.url)}))
        for user in (1, 2):  # used twice: complete hashes
            engine.reactions.react_many((user, post, "love") for post in POSTS)
            engine.drain()
        memory: Any = redis.info("memory")
        redis.config_set("maxmemory", memory["used_memory"] + ROOM)
        yield Full(engine, redis, fill(engine))
        engine.close()


def fill(engine: Engine) -> set[tuple[int, int]]:
    """Send batches until one is interrupted, then single reactions until 20 in a row fail."""
    acknowledged: set[tuple[int, int]] = set()
    users = iter(range(10, 10_000_000))
    while True:
        pairs = [(next(users), post) for post in POSTS for _ in range(BATCH // len(POSTS) + 1)]
        try:
            outcomes: Iterable[Any] = engine.reactions.react_many(
                (user, post, "like") for user, post in pairs
            )
        except BatchInterrupted as cut:
            outcomes = cut.outcomes
        taken = {pair for pair, outcome in zip(pairs, outcomes, strict=True) if outcome}
        acknowledged |= taken
        if len(taken) < len(pairs) // 10:
            break
    refused = 0
    while refused < 20:
        pair = (next(users), POSTS[refused])
        try:
            engine.reactions.react(*pair, "like")
        except ReactionsUnavailable:
            refused += 1
        else:
            acknowledged.add(pair)
            refused = 0
    return acknowledged


def test_a_full_redis_refuses_whole_scripts_and_loses_nothing(full: Full) -> None:
    engine, client = full.engine, full.engine.reactions
    assert_only_caches_were_evicted(full)
    before = full.keyspace()
    assert_writes_are_refused(full)
    assert full.keyspace() == before
    # Each script that Redis accepted was applied as a whole, even the last one.
    for dirty in engine.outbox_state.dirty_posts():
        delta = full.redis.hgetall(keys.post_delta(dirty))
        assert delta == {b"1": str(full.redis.hlen(keys.post_pending(dirty))).encode()}

    engine.persister.drain(range(60))
    late = {(1, post) for post in range(1_001, 1_101)}
    assert len(client.react_many((user, post, "like") for user, post in late)) == len(late)
    engine.drain()
    everyone = {(user, post) for user in (1, 2) for post in POSTS} | full.acknowledged | late
    rows = engine.queries.reactions(sorted({post for _, post in everyone}))
    assert {(user, post) for post, users in rows.items() for user in users} == everyone
    found = engine.verify()
    assert found.holds, found
    assert found.reactions == len(everyone)
    client.react(3, 1, "sad")
    assert client.counts(1)["sad"] == 1


def assert_only_caches_were_evicted(full: Full) -> None:
    keyspace: Any = full.redis.info("keyspace")["db0"]
    stats: Any = full.redis.info("stats")
    evicting = full.redis.config_get("maxmemory-policy")["maxmemory-policy"] != "noeviction"
    assert evicting == (stats["evicted_keys"] > 0)
    assert evicting == (keyspace["expires"] == 0)
    assert full.pending() == full.acknowledged


def assert_writes_are_refused(full: Full) -> None:
    """Every write raises; reads and a write that changes nothing still work."""
    client = full.engine.reactions
    user, post = next(iter(full.acknowledged))
    for refused in (
        lambda: client.react(1, POSTS[-1] + 1, "like"),
        lambda: client.react(9_999_999_999, post, "like"),
        lambda: client.react(user, post, "wow"),
        lambda: client.unreact(user, post),
        lambda: client.forget_user(user),
    ):
        with pytest.raises(ReactionsUnavailable, match=ADVICE):
            refused()
    items = [(user, post, "wow"), (user, post, "like"), (1, POSTS[-1] + 1, "like")]
    with pytest.raises(BatchInterrupted, match=ADVICE) as cut:
        client.react_many(items)
    assert [outcome and outcome.status for outcome in cut.value.outcomes] == [
        None,
        Status.UNCHANGED,
        None,
    ]
    assert client.reaction_of(user, post) == "like"
    assert client.summaries([post], user)[0].reaction == "like"
