"""The verification of all posts, and of a trace against the rows."""

from __future__ import annotations

import pytest

from reactions.maintenance.checker import PostChecker
from reactions.maintenance.compare import Difference, Kind
from reactions.maintenance.verify import Verifier, mismatched
from tests.maintenance.damage import DAMAGE, VIRAL, execute
from tests.support.engine import Engine


def test_verify_counts_a_large_post_in_slices(
    sound: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.maintenance.checker.SLICE", 4)
    assert sound.verify().found == {}
    DAMAGE["a count in the database"][2](sound)
    found = sound.verify()
    assert found.found[Kind.LEDGER] == 2
    assert "6 rows of type 1, the counts table has 13" in str(found.examples)
    PostChecker(sound.client, sound.database, sound.settings).repair(
        [Difference(Kind.LEDGER, VIRAL, "")]
    )
    assert sound.verify().found == {}


def test_a_trace_is_compared_with_the_rows(engine: Engine) -> None:
    engine.reactions.react_many((user, 1, "like") for user in (1, 2))
    engine.reactions.react(1, 2, "love")
    engine.drain()
    notes: list[str] = []
    assert mismatched(engine.database, {1: {1: 1, 2: 1}, 2: {1: 2}}, notes.append) == 0
    assert notes == []
    # Another type, a row that the trace does not have, and two that the database does not have.
    trace = {1: {1: 3}, 2: {1: 2, 2: 1}, 3: {9: 1}}
    assert mismatched(engine.database, trace, notes.append) == 4
    assert len(notes) == 4


def test_a_post_that_only_redis_knows_is_compared_and_repaired(sound: Engine) -> None:
    """As after the restore of an old dump, when nothing else drops the caches."""
    sound.reactions.react_many((user, 99_042, "like") for user in (1, 2))
    sound.drain()
    sound.loader.load([99_042])
    assert sound.reactions.counts(99_042)["like"] == 2
    for table in ("reactions", "reaction_counts", "posts"):
        execute(sound, f"DELETE FROM {table} WHERE post_id = 99042")  # noqa: S608
    assert sound.verify().found[Kind.COUNTS] == 1
    Verifier(sound.client, sound.database, sound.settings, repair=True).verify()
    assert sound.reactions.counts(99_042)["like"] == 0
    assert sound.reactions.reaction_of(1, 99_042) is None
    assert sound.verify().found == {}
