"""``reactions replay``: it sends a trace, and refuses types that are not configured."""

from __future__ import annotations

from pathlib import Path

from reactions.core.settings import Settings
from reactions.demo.synthetic_trace import synthesize
from tests.cli.running import last_line, reactions


def test_every_event_is_accepted(settings: Settings, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    synthesize(trace, 500, ["like", "wow"])
    result = reactions("replay", str(trace), "--json", "--writers=1", **settings.environment())
    assert result.returncode == 0, result.stderr
    figures = last_line(result)
    assert figures["events"] == sum(figures["statuses"].values()) == 500


def test_a_type_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("ts_seconds,user_id,item_id,type\n1,5,777,RT\n")
    result = reactions("replay", str(trace))
    assert result.returncode == 2
    assert "set REACTIONS_REACTION_TYPES=RT" in " ".join(result.stderr.split())
