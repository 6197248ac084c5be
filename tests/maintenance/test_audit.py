"""The audit counts every row, a slice at a time, and corrects the counts table."""

from __future__ import annotations

import pytest

from reactions.maintenance.audit import CountAudit
from reactions.maintenance.compare import Kind
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.row_counts import RowCounts
from tests.maintenance.damage import COLD, REGULAR, VIRAL, execute
from tests.support.engine import Engine


@pytest.fixture
def audit(sound: Engine) -> CountAudit:
    return CountAudit(sound.client, sound.database, sound.settings)


def test_an_audit_goes_all_the_way_round_in_slices(
    sound: Engine, audit: CountAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run continues where time was up. Large posts take several slices."""
    monkeypatch.setattr("reactions.maintenance.audit.SLICE", 4)
    execute(sound, "UPDATE reaction_counts SET count = count + 2 WHERE post_id IN (1042, 1142)")
    found = 0
    for _ in range(100):
        run = audit.run(0.0)
        assert run is not None
        found += run.found[Kind.LEDGER]
        if DutyRuns(sound.database).position("audit") == 0 and found:
            break
        sound.reactions.react(50 + found, VIRAL, "love")
        sound.drain()
    run = audit.run()
    assert run is not None
    assert run.found.total() == 0
    assert sound.verify().holds


def test_an_audit_never_counts_a_large_post_at_once(
    sound: Engine, audit: CountAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even though the counts table lost the counts, so that the post seems small."""
    monkeypatch.setattr("reactions.maintenance.audit.SLICE", 6)
    execute(sound, "DELETE FROM reaction_counts WHERE post_id = 1142")
    assert RowCounts(sound.database).suspects([REGULAR, VIRAL, COLD], 6) == [VIRAL]
    run = audit.run()
    assert run is not None
    assert run.found[Kind.LEDGER] == 2
    assert sound.queries.counts([VIRAL]) == {VIRAL: {1: 6, 2: 6}}
    assert sound.verify().found == {}
