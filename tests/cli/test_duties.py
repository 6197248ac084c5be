"""``reactions duties``: runs, failures, findings, and the time of the last success."""

from __future__ import annotations

import re

import pytest

from reactions.postgres.duty_runs import DutyRuns
from tests.cli.conftest import Run, figures
from tests.support.engine import Engine


def test_duties_shows_the_last_success_and_the_results(filled: Engine, run: Run) -> None:
    assert "is beat running" in run("duties").stdout
    with DutyRuns(filled.database).run("audit") as audit:
        assert audit is not None
        audit.found["ledger"] = 2
        audit.detail.append("post 7: 3 rows")
    with pytest.raises(RuntimeError), DutyRuns(filled.database).run("cleanup"):
        raise RuntimeError("no")
    result = run("duties", "--json")
    assert re.search(r"audit +\d\.\d s ago", result.stdout)
    assert re.search(r"cleanup +never +0 +1", result.stdout)
    audited, cleaned = figures(result)["duties"]
    assert (audited["runs"], audited["kinds"]) == (1, {"ledger": 2})
    assert (cleaned["failures"], cleaned["succeeded_at"]) == (1, None)


def test_the_table_fits_80_columns_and_nothing_is_cut(filled: Engine, run: Run) -> None:
    for duty in ("loss_detection", "reconcile-regular", "sweep"):
        with DutyRuns(filled.database).run(duty) as recorded:
            assert recorded is not None
            recorded.looked_at = 12_345_678_901
            recorded.found.update(counts=1_234, unflagged=56)
            recorded.detail.append("post 7: 3 rows " * 10)
    shown = run("duties").stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert re.search(r"reconcile-regular +\d\.\d s ago +1 +0 +12,346 M +1,290 +0", shown)
    assert "sweep found: counts 1,234, unflagged 56" in shown
    assert " ".join(shown.split()).count("post 7: 3 rows") == 30
