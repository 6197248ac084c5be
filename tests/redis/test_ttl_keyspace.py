"""Every cache key has a TTL, and no outbox key has one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from reactions.core.constants import LOAD_LIFE_MS
from reactions.redis.connection import Client
from reactions.redis.pipeline import Call, run_many
from reactions.redis.scripts import loading
from tests.redis.lives import (
    USER,
    lives,
    react,
)
from tests.support.engine import Engine


def test_every_cache_key_has_a_ttl_and_no_outbox_key_has_one(
    timed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every kind of operation."""
    client = timed.reactions
    react(timed, 1, range(1, 4))  # only counted
    react(timed, 2, range(1, 9))  # regular
    react(timed, 3, range(1, 4))  # regular, then close to viral
    react(timed, 4, range(1, 30))  # viral
    react(timed, 5, range(1, 30))  # deleted
    react(timed, 6, range(1, 30))  # viral, then regular
    react(timed, 10, range(1, 4))
    timed.drain()
    assert timed.loader.load([2, 3]) == 2
    client.delete_post(5)
    timed.eraser.erase()
    react(timed, 3, range(4, 15))
    client.react_many((user, 6, None) for user in range(1, 25))
    timed.drain()
    client.summaries(range(1, 100), USER)
    client.summaries([1, 777], 12_345)
    client.counts(888)
    client.uniques(4)
    client.recent(4)
    client.reactors(4)
    client.delete_post(4)
    client.delete_post(999)
    client.forget_user(3)
    timed.eraser.erase(0.0)
    react(timed, 8, range(1, 30))
    timed.drain()
    react(timed, 9, range(1, 5))
    claims, _ = timed.outbox.claim({9: ""})
    assert claims
    react(timed, 9, range(3, 9), "love")
    interrupt_loads(timed, monkeypatch)
    found = lives(timed)
    durable = r"outbox:\{\d+\}:\w+|post:\{\d+\}:\d+:(pending|claimed|delta)"
    for kind in (
        r"post:\{\d+\}:\d+:(reactions|reaction_counts|viral|total_reactions|recent|uniques)",
        r"post:\{\d+\}:\d+:reactions:[1-9]\d*",
        r"post:\{\d+\}:\d+:(loading|summary)",
        r"post:\{\d+\}:\d+:loading:t",
        r"post:\{\d+\}:\d+:loading:t:\d+",
        r"user:\{\d+\}:\d+:(reactions|loading)",
        r"outbox:\{\d+\}:(dirty|clock|lease|wake|lags|committed|deleted|deletions|forgetting)",
        r"post:\{\d+\}:\d+:(pending|claimed|delta)",
    ):
        parts = re.search(r"\((\w+(?:\|\w+)+)\)", kind)
        for name in parts[1].split("|") if parts else [""]:
            one = kind.replace(parts[0], name) if parts else kind
            assert any(re.fullmatch(one, key) for key in found), f"no {one}"
    assert {key for key, life in found.items() if life < 0} == {
        key for key in found if re.fullmatch(durable, key)
    }


def interrupt_loads(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the loads of a hash, a sample and a user's reactions, which die before the install."""
    run, send = Call.run, run_many
    installs = (loading.INSTALL_REACTIONS, loading.INSTALL_SAMPLE)

    def dies(call: Call, client: Client) -> object:
        if call.script in installs:
            raise InterruptedError
        return run(call, client)

    def dies_of_many(client: Client, calls: Sequence[Call]) -> object:
        if any(call.script in installs for call in calls):
            raise InterruptedError
        return send(client, calls)

    with monkeypatch.context() as patch:
        patch.setattr(Call, "run", dies)
        patch.setattr("reactions.redis.pipeline.run_many", dies_of_many)
        assert engine.cache_install.fence(1, "t")
        with pytest.raises(InterruptedError):
            engine.cache_install.install_reactions(1, "t", dict.fromkeys(range(1, 20), 1))
        assert engine.cache_install.fence(8, "t")
        with pytest.raises(InterruptedError):
            engine.cache_install.install_sample(
                8, "t", total=1, newest=[(1, 1)], ever=range(1, 3_000)
            )
    run_many(engine.client, [engine.eraser._users.fence_command(USER, "t")])


def test_the_leftovers_of_a_load_expire_soon(
    timed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_loads(timed, monkeypatch)
    found = lives(timed)
    assert len([key for key in found if ":loading:t" in key]) > 3
    del found["outbox:{0}:types"], found["outbox:{0}:layout"]
    assert all(0 < life <= LOAD_LIFE_MS / 1000 for life in found.values())


def test_each_key_has_a_ttl_or_belongs_to_the_outbox(engine: Engine) -> None:
    """With the TTLs that are the default."""
    for post in range(1, 30):
        react(engine, post, range(1, post + 1))
    engine.drain()
    assert engine.loader.load([29])
    engine.reactions.counts(77)  # a cold post
    react(engine, 5, range(1, 41))
    engine.outbox.claim({6: "", 5: ""})
    outbox = ("pending", "claimed", "delta")
    for key in engine.client.scan_iter():
        name = key.decode()
        durable = name.startswith("outbox:") or name.endswith(outbox)
        assert (engine.client.pttl(key) == -1) == durable, name
