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
