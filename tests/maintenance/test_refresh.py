"""The refresh reloads the samples of viral posts that are lost or not the newest."""

from __future__ import annotations

import pytest

from reactions.maintenance.compare import Kind
from reactions.maintenance.refresh import RefreshSamples
from reactions.postgres.duty_runs import DutyRuns
from tests.maintenance.damage import DAMAGE, VIRAL
from tests.support.engine import Engine


@pytest.fixture
def refresh(sound: Engine) -> RefreshSamples:
    return RefreshSamples(sound.client, sound.database, sound.settings)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("a sample out of order", Kind.SAMPLE),
        ("a short sample", Kind.SHORT),
        ("a viral post without its flag", Kind.UNFLAGGED),
    ],
)
def test_a_refresh_loads_what_is_not_the_newest(
    sound: Engine, refresh: RefreshSamples, damage: str, kind: Kind
) -> None:
    """The refresh also checks viral posts that did not change since their last check."""
    run = refresh.run()
    assert run is not None
    assert (run.looked_at, dict(run.found)) == (1, {})
    DAMAGE[damage][2](sound)
    run = refresh.run()
    assert run is not None
    assert (dict(run.found), run.repaired) == ({kind: 1}, 1)
    assert sound.post_snapshots.snapshots([VIRAL])[0].sampled
    assert sound.verify().found == {}


@pytest.mark.parametrize("lost", ["reactions", "recent", "everything"])
def test_a_refresh_loads_a_sample_that_is_lost(
    sound: Engine, refresh: RefreshSamples, lost: str
) -> None:
    if lost == "everything":
        sound.client.delete(*sound.client.keys(f"post:*:{VIRAL}:*"))
    else:
        sound.client.delete(f"post:{{42}}:{VIRAL}:{lost}")
    run = refresh.run()
    assert run is not None
    assert dict(run.found) == {Kind.MISSING: 1}
    assert sound.post_snapshots.snapshots([VIRAL])[0].sampled
    assert sound.verify().found == {}


def test_a_refresh_goes_on_where_it_was(
    sound: Engine, refresh: RefreshSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    for post in range(3, 8):
        sound.reactions.react_many((user, post, "like") for user in range(1, 12))
    sound.drain()
    monkeypatch.setattr("reactions.maintenance.refresh.CHUNK", 2)
    positions = []
    for _ in range(4):
        run = refresh.run(0.0)  # each run does at least one chunk
        assert run is not None
        positions.append((run.looked_at, DutyRuns(sound.database).position("refresh")))
    assert positions == [(2, 4), (2, 6), (2, VIRAL), (0, 0)]
