"""The replay of dead letters: changes that PostgreSQL refused are recorded later."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from reactions.maintenance.dead_letters import DeadLetterReplay
from tests.support.engine import Engine

POST = 1042


@pytest.fixture
def replays(engine: Engine) -> DeadLetterReplay:
    return DeadLetterReplay(engine.client, engine.database, engine.settings)


@pytest.fixture
def accept(engine: Engine) -> Iterator[Callable[[], None]]:
    """The database refuses user 13 until the test calls this."""
    _execute(engine, "ALTER TABLE reactions ADD CONSTRAINT unlucky CHECK (user_id <> 13)")

    def accept() -> None:
        _execute(engine, "ALTER TABLE reactions DROP CONSTRAINT IF EXISTS unlucky")

    yield accept
    accept()


def _execute(engine: Engine, statement: str) -> None:
    with engine.database.engine.begin() as connection:
        connection.execute(text(statement))


def test_a_refused_change_can_be_recorded_later(
    engine: Engine, replays: DeadLetterReplay, accept: Callable[[], None]
) -> None:
    client = engine.reactions
    client.react_many((user, POST, "like") for user in (12, 13, 14))
    engine.drain()
    engine.loader.load([POST])
    (letter,) = engine.dead_letters.list(10)
    assert (letter.post, letter.user) == (str(POST), "13")
    assert letter.value.startswith("1:")
    assert "unlucky" in letter.reason
    done = replays.replay([letter])
    assert done.recorded == 0
    assert "unlucky" in done.refused[0]
    assert engine.dead_letters.list(10) == [letter]
    assert client.reaction_of(13, POST) is None
    accept()
    assert replays.replay([letter]).recorded == 1
    assert engine.dead_letters.list(10) == []
    assert client.reaction_of(13, POST) == "like"
    assert client.counts(POST)["like"] == 3
    assert engine.verify().holds
    assert replays.replay([letter]).recorded == 1  # a second replay is safe
    assert engine.verify().holds


def test_a_newer_reaction_wins_over_a_replay(engine: Engine, replays: DeadLetterReplay) -> None:
    engine.reactions.react(13, POST, "love")
    engine.drain()
    engine.dead_letters.add(str(POST), "13", "1:5", "from long ago")
    assert replays.replay(engine.dead_letters.list(10)).recorded == 1
    assert engine.reactions.reaction_of(13, POST) == "love"
    assert engine.verify().holds


@pytest.mark.parametrize(
    ("post", "value"),
    [
        ("x", "1:5"),
        ("0", "1:5"),
        ("1042", ""),
        ("1042", "1"),
        ("1042", "one:two"),
        ("1042", "99:5"),
    ],
)
def test_an_invalid_change_is_refused_and_stays(
    engine: Engine, replays: DeadLetterReplay, post: str, value: str
) -> None:
    engine.dead_letters.add(post, "13", value, "broken")
    engine.dead_letters.add(str(POST), "14", "2:7", "fine by now")
    done = replays.replay(engine.dead_letters.list(10))
    assert done.recorded == 1
    assert len(done.refused) == 1
    assert [letter.post for letter in engine.dead_letters.list(10)] == [post]
    assert engine.queries.reactions([POST]) == {POST: {14: 2}}
    assert engine.verify().holds


def test_a_replay_on_a_deleted_post_writes_nothing(
    engine: Engine, replays: DeadLetterReplay
) -> None:
    engine.reactions.delete_post(POST)
    engine.eraser.erase()
    engine.dead_letters.add(str(POST), "13", "1:5", "because")
    assert replays.replay(engine.dead_letters.list(10)).recorded == 1
    assert engine.queries.reactions([POST]) == {POST: {}}
