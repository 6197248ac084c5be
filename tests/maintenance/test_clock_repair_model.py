"""Whatever the clocks of the shards did, and wherever repairs died: users see what they did."""

from __future__ import annotations

import contextlib
import random

import pytest

from reactions.core.constants import shard_of
from reactions.maintenance import clock_repair
from tests.maintenance.clock_story import HOUR_US, POSTS, USERS, Story, mortal, repair
from tests.maintenance.erasing import DiedError
from tests.support.engine import Engine
from tests.support.profiles import examples

STEPS = 40
AHEAD = 0, HOUR_US, HOUR_US, 10 * HOUR_US


@pytest.mark.parametrize("seed", range(examples(25)))
def test_a_repair_shows_what_was_done_in_its_order(
    engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_repair, "PAGE", 3)
    chance, story = random.Random(seed), Story(engine)  # noqa: S311 - not for secrecy
    steps = chance.choices(["react", "drain", "lose", "repair"], [30, 3, 2, 3], k=STEPS)
    for step in steps:
        user, post = chance.choice(USERS), chance.choice(POSTS)
        if step == "react":
            name = chance.choice(["like", "love", "wow", None])
            story.react(user, post, name, chance.choice(AHEAD))
        elif step == "drain":
            engine.drain()
        elif step == "lose":
            story.lose_drain(shard_of(post))
        else:
            _die(story, chance.randrange(20), after=chance.random() < 0.5)
    repair(story).repair()
    assert repair(story).ahead_us() == {}
    engine.drain()
    story.check(one_clock=False)
    story.go_on()


def _die(story: Story, life: int, *, after: bool) -> None:
    """Begin a repair that dies at some step, or ends before it."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(DiedError):
        mortal(story, patch, life, after=after).repair()
