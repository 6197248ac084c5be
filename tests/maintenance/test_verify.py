"""The verification of all posts, and of a trace against the rows."""

from __future__ import annotations

import pytest

from reactions.maintenance.checker import PostChecker
from reactions.maintenance.compare import Difference, Kind
from tests.maintenance.damage import DAMAGE, VIRAL
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
