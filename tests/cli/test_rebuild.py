"""``reactions rebuild``: the given posts, or those that were active lately."""

from __future__ import annotations

from tests.cli.conftest import POST, VIRAL, Run, figures
from tests.support.engine import Engine


def test_rebuild_loads_the_given_or_the_active_posts(filled: Engine, run: Run) -> None:
    filled.client.flushall()
    result = run("rebuild", "--post", str(VIRAL), "--json")
    assert result.exit_code == 0
    assert figures(result) == {"looked_at": 1, "cached": 1}
    assert [s.sampled for s in filled.post_snapshots.snapshots([POST, VIRAL])] == [False, True]
    assert figures(run("rebuild", "--json")) == {"looked_at": 2, "cached": 1}
    assert filled.post_snapshots.snapshots([POST])[0].complete
    assert filled.verify().found == {}
