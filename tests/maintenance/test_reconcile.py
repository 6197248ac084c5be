"""Reconciliation: which posts it compares, what it repairs, and where it continues."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.core.constants import MAX_ID
from reactions.core.model import PostTier
from reactions.maintenance.audit import CountAudit
from reactions.maintenance.compare import Kind
from reactions.maintenance.reconcile import Reconcile
from reactions.postgres.duty_runs import DutyRuns
from tests.maintenance.damage import COLD, DAMAGE, DELETED, REGULAR, VIRAL, execute
from tests.support.engine import Engine


@pytest.fixture
def reconcile(sound: Engine) -> Reconcile:
    return Reconcile(sound.client, sound.database, sound.settings)


def test_touched_posts_of_a_tier_are_found_repaired_and_recorded(
    sound: Engine, reconcile: Reconcile
) -> None:
    """Each run repairs the posts of its tier that drains noted."""
    DAMAGE["a count too high"][2](sound)
    DAMAGE["a sample out of order"][2](sound)
    run = reconcile.run(PostTier.VIRAL)
    assert run is not None
    assert (run.looked_at, dict(run.found), run.repaired) == (1, {Kind.SAMPLE: 1}, 1)
    run = reconcile.run(PostTier.HOT)  # six reactions in a batch
    assert run is not None
    assert (dict(run.found), run.repaired) == ({Kind.COUNTS: 1}, 1)
    assert sound.verify().holds
    last = DutyRuns(sound.database).last()
    assert {"reconcile-viral", "reconcile-hot"} <= last.keys()
    assert (last["reconcile-viral"].found, last["reconcile-viral"].repaired) == (1, 1)
    assert "post 1142: the sample is not the newest" in last["reconcile-viral"].detail
    assert last["reconcile-viral"].ended_at is not None


def to_check(engine: Engine) -> set[int]:
    """The posts of all tiers that changed since their last check."""
    now = int(engine.clock.now_us())
    return {post.post_id for post in engine.posts.to_check(PostTier, now, MAX_ID, 10)}


def test_a_post_is_looked_at_again_only_when_it_was_touched(
    sound: Engine, reconcile: Reconcile
) -> None:
    execute(sound, "UPDATE posts SET touched = touched - 3600000000")  # an hour ago
    assert to_check(sound) == {REGULAR, VIRAL, COLD, DELETED}
    reconcile.run(PostTier.VIRAL)
    assert VIRAL not in to_check(sound)
    sound.reactions.react(1, VIRAL, "wow")
    sound.drain()
    assert VIRAL in to_check(sound)


def test_a_check_in_the_future_does_not_count(sound: Engine, reconcile: Reconcile) -> None:
    """The clock of Redis was an hour ahead, and was set back."""
    execute(sound, "UPDATE posts SET checked = touched + 3600000000")
    assert to_check(sound) == {REGULAR, VIRAL, COLD, DELETED}
    reconcile.run(PostTier.VIRAL)
    execute(sound, "UPDATE posts SET touched = touched - 3600000000")
    assert to_check(sound) == {REGULAR, COLD, DELETED}


def test_a_reconciliation_goes_on_where_time_was_up(
    sound: Engine, reconcile: Reconcile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.maintenance.reconcile.CHUNK", 1)
    execute(sound, "UPDATE posts SET tier = 0, touched = touched - post_id * 60000000")
    looked_at: list[int] = []
    while not looked_at or DutyRuns(sound.database).position("reconcile-regular"):
        run = reconcile.run(PostTier.REGULAR, 0.0)
        assert run is not None
        looked_at.append(run.looked_at)
    assert looked_at == [1, 1, 1, 1, 0]  # includes the deleted post


def test_a_tier_that_a_drain_could_not_note_is_noted(sound: Engine, reconcile: Reconcile) -> None:
    execute(sound, "UPDATE posts SET tier = 0, checked = 0")
    reconcile.run(PostTier.REGULAR)
    assert tiers(sound) == {VIRAL: 2, REGULAR: 0, COLD: 0, DELETED: 0}
    execute(sound, "UPDATE posts SET tier = 2, checked = 0")
    reconcile.run(PostTier.VIRAL)
    assert tiers(sound) == {VIRAL: 2, REGULAR: 0, COLD: 0, DELETED: 0}


def test_what_was_hot_is_regular_when_it_has_been_quiet(
    sound: Engine, reconcile: Reconcile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.maintenance.reconcile.MAX_COOLED", 1)
    execute(sound, "UPDATE posts SET tier = 1 WHERE post_id <> 1142")
    reconcile.run(PostTier.HOT)
    assert set(tiers(sound).values()) == {1, 2}
    execute(sound, "UPDATE posts SET touched = touched - 660000000")
    reconcile.run(PostTier.HOT)
    assert set(tiers(sound).values()) == {0, 2}


def tiers(engine: Engine) -> dict[int, int]:
    with engine.database.engine.connect() as connection:
        return dict(connection.execute(text("SELECT post_id, tier FROM posts")).all())


def test_a_duty_is_done_by_one_worker_at_a_time(sound: Engine, reconcile: Reconcile) -> None:
    with DutyRuns(sound.database).run("audit") as run:
        assert run is not None
        assert CountAudit(sound.client, sound.database, sound.settings).run() is None
        assert reconcile.run(PostTier.VIRAL) is not None
    assert CountAudit(sound.client, sound.database, sound.settings).run() is not None
