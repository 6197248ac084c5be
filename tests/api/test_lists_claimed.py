"""Lists of reactors that have a claimed change and a newer pending one."""

from __future__ import annotations

from typing import Any

import pytest

from reactions.api import lists
from reactions.core.model import Reactor, Row
from reactions.core.settings import Settings
from reactions.drain.batch import Drained
from tests.support.engine import Engine
from tests.support.reading import POST, SHARD, evict, lists_of, make_viral, react


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A claim that stays, however long the test takes."""
    return settings.model_copy(update={"lease_s": 60.0})


@pytest.mark.parametrize("viral", [False, True])
def test_lists_show_changes_that_are_pending_behind_a_claim(small: Engine, viral: bool) -> None:
    """User 1 changes the type, 2 leaves, 3 returns, and 4 has a claimed change only."""
    if viral:
        make_viral(small, POST)
    else:
        react(small, POST, range(1, 16))
        small.drain()
    react(small, POST, [1, 2], "love")
    react(small, POST, [3], None)
    react(small, POST, [4], "sad")
    claims, _ = small.outbox.claim({SHARD: ""})
    assert claims
    react(small, POST, [1], "wow")
    react(small, POST, [2], None)
    react(small, POST, [3], "angry")
    expected = [
        Reactor(3, "angry"),
        Reactor(1, "wow"),
        Reactor(4, "sad"),
        *(Reactor(user, "like") for user in range(15, 4, -1)),
    ]
    check(small, expected)
    batch = small.persister.record(claims, Drained())
    check(small, expected)
    small.persister.settle(claims, batch, Drained())
    check(small, expected)
    small.drain()
    check(small, expected)


def test_nobody_is_on_two_pages_when_a_drain_runs_between_two_reads(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain runs after the query and before the check of pending changes."""
    monkeypatch.setattr(lists, "MAX_LISTED_CHANGES", 10)
    react(engine, POST, range(1, 6))
    engine.drain()
    react(engine, POST, [1], "love")
    client = engine.reactions
    page = client.reactors(POST, limit=2)
    seen = list(page.items)
    react(engine, POST, range(100, 115))
    queries = lists_of(client)._queries
    newest = queries.newest

    def late(*args: Any, **options: Any) -> list[Row]:
        found = newest(*args, **options)
        engine.drain()
        return found

    monkeypatch.setattr(queries, "newest", late)
    while page.cursor is not None:
        page = client.reactors(POST, limit=9, cursor=page.cursor)
        seen += page.items
    assert [reactor.user_id for reactor in seen] == [1, 5, 4, 3, 2]


def check(engine: Engine, expected: list[Reactor]) -> None:
    """Compare pages, pages by type and the newest reactors, with and without caches."""
    client = engine.reactions
    for _ in range(2):
        first = client.reactors(POST, limit=2)
        rest = client.reactors(POST, limit=200, cursor=first.cursor)
        assert [*first.items, *rest.items] == expected
        for name in engine.settings.reaction_types:
            found = client.reactors(POST, name).items
            assert list(found) == [r for r in expected if r.reaction == name]
        assert client.recent(POST, 3) == expected[:3]
        for user in (1, 2, 3, 4):
            mine = [r.reaction for r in expected if r.user_id == user]
            assert client.reaction_of(user, POST) == (mine[0] if mine else None)
        evict(engine)
