"""A client beside a layout of Redis that it does not know: it sends nothing."""

from __future__ import annotations

import pytest

from reactions.api.client import Reactions
from reactions.core.errors import LayoutMismatch
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.waiting import wait_until

POST = 1042
NEWER = "9|9"
"""A layout that this version does not know."""


def test_a_layout_that_this_version_does_not_know_is_refused_before_anything_is_sent(
    engine: Engine,
) -> None:
    engine.client.set(keys.outbox_layout(), NEWER)
    with Reactions(engine.settings) as old:
        for call in (
            lambda: old.react(1, POST, "like"),
            lambda: old.react_many([(1, POST, None)]),
            lambda: old.summaries([POST], 1),
            lambda: old.history(1),
        ):
            with pytest.raises(LayoutMismatch, match="install the version of reactions"):
                call()
    assert engine.outbox_state.pending() == 0


def test_a_running_process_stops_when_the_layout_leaves_it_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.api.known_types.LOOK_S", 0.1)
    running = engine.reactions
    running.react(1, POST, "like")
    engine.client.set(keys.outbox_layout(), NEWER)

    def refused() -> bool:
        try:
            running.react(2, POST, "like")
            running.unreact(2, POST)
        except LayoutMismatch:
            return True
        return False

    wait_until(refused, what="the relay to read the layout")
    with pytest.raises(LayoutMismatch):
        running.counts(POST)
    engine.client.delete(keys.outbox_layout())
    running.react(2, POST, "like")
