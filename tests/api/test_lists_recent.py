"""``Lists.recent``: the newest reactors."""

from __future__ import annotations

import pytest

from reactions.api.client import Reactions
from reactions.core.model import Reactor
from tests.support.engine import Engine
from tests.support.reading import (
    POST,
    SHARD,
    SMALL_SAMPLE,
    make_viral,
    react,
    traffic,
)


def test_recent_of_a_viral_post_is_one_round_trip(small: Engine) -> None:
    make_viral(small, POST)
    client = small.reactions
    client.react(3, POST, "love")
    client.recent(POST, 1)  # loads the script into the server
    with traffic(client) as seen:
        assert client.recent(POST, 4) == [
            Reactor(3, "love"),
            Reactor(15, "like"),
            Reactor(14, "like"),
            Reactor(13, "like"),
        ]
    assert (seen.trips, seen.queries) == (1, [])


def test_recent_of_a_regular_post_is_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 8))
    engine.drain()
    react(engine, POST, [2], "love")
    client = engine.reactions
    client.counts(POST)
    with traffic(client) as seen:
        assert [r.user_id for r in client.recent(POST, 3)] == [2, 7, 6]
    assert len(seen.queries) == 1
    assert seen.trips <= 4
    assert [r.user_id for r in client.recent(POST)] == [2, 7, 6, 5, 4, 3, 1]


@pytest.mark.parametrize("lost", ["recent", "reactions", "reactions:1"])
def test_recent_reads_the_database_when_a_part_of_the_sample_is_missing(
    small: Engine, lost: str
) -> None:
    make_viral(small, POST)
    small.reactions.react(2, POST, "wow")
    assert small.client.delete(f"post:{{{SHARD}}}:{POST}:{lost}") == 1
    assert [r.user_id for r in small.reactions.recent(POST, 4)] == [2, 15, 14, 13]


def test_recent_reads_the_database_when_users_left_the_sample(small: Engine) -> None:
    """The sample is too small then; the next reactors are in the database."""
    make_viral(small, POST)
    react(small, POST, [15, 13], None)
    expected = [14, 12, 11, 10, 9]
    assert [r.user_id for r in small.reactions.recent(POST, SMALL_SAMPLE)] == expected
    small.drain()
    assert [r.user_id for r in small.reactions.recent(POST, SMALL_SAMPLE)] == expected


def test_recent_of_more_than_a_sample(small: Engine) -> None:
    """The limit may be larger than the sample."""
    make_viral(small, POST)
    newest = [r.user_id for r in small.reactions.recent(POST, 12)]
    assert newest == list(range(15, 15 - len(newest), -1))
    assert len(newest) in (SMALL_SAMPLE, 12)


def test_a_type_that_is_not_configured_has_its_name_from_the_registry(
    small: Engine,
) -> None:
    react(small, POST, range(1, 8))
    react(small, POST, [8, 9, 10], "angry")
    react(small, POST, [11, 12])
    small.drain()
    types = {name: code for name, code in small.settings.reaction_types.items() if name != "angry"}
    with Reactions(small.settings.model_copy(update={"reaction_types": types})) as client:
        assert {r.reaction for r in client.recent(POST, 5)} == {"like", "angry"}
        assert {r.reaction for r in client.reactors(POST).items} == {"like", "angry"}
        assert client.reaction_of(9, POST) == "angry"
        counts = dict.fromkeys(types, 0) | {"like": 9, "angry": 3}
        assert client.summaries([POST], 9)[0].counts == counts
