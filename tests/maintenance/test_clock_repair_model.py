"""Whatever the clocks of the shards did, and wherever repairs died: users see what they did."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import text

from reactions.core.constants import shard_of
from reactions.maintenance import clock_repair
from tests.maintenance.clock_story import HOUR_US, POSTS, USERS, Story, mortal, repair
from tests.maintenance.erasing import DiedError
from tests.support.engine import Engine
from tests.support.profiles import examples
from tests.support.types import write_default_types

Step = tuple[Any, ...]
TABLES = "reactions, reaction_counts, posts, forgotten_users, deleted_posts, dead_letters"

reacts = st.tuples(
    st.just("react"),
    st.sampled_from(USERS),
    st.sampled_from(POSTS),
    st.sampled_from(["like", "love", "wow", None]),
    st.sampled_from([0, 0, HOUR_US, 10 * HOUR_US]),
)
others = st.tuples(st.sampled_from(["drain", "drain", "lose"]), st.sampled_from(POSTS))
repairs = st.tuples(st.just("repair"), st.integers(0, 14), st.booleans())


@pytest.fixture
def paged(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(clock_repair, "PAGE", 2)
    return engine


@hypothesis(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(reacts | reacts | others | repairs, max_size=25))
def test_a_repair_shows_what_was_done_in_its_order(paged: Engine, steps: list[Step]) -> None:
    paged.client.flushall()
    write_default_types(paged.client)
    with paged.database.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {TABLES}"))
    story = Story(paged)
    play: Mapping[str, Callable[..., object]] = {
        "react": story.react,
        "drain": lambda _: paged.drain(),
        "lose": lambda post: story.lose_drain(shard_of(post)),
        "repair": partial(_die, story),
    }
    for name, *arguments in steps:
        play[name](*arguments)
    repair(story).repair()
    assert repair(story).ahead_us() == {}
    paged.drain()
    story.check(one_clock=False)
    story.go_on()


def _die(story: Story, life: int, after: bool) -> None:
    """Begin a repair that dies at some step, or ends before it."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(DiedError):
        mortal(story, patch, life, after=after).repair()
