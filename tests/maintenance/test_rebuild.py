"""After a loss of Redis, a rebuild loads the working set, the most recent posts first."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from tests.maintenance.losing import REGULAR, VIRAL, fill
from tests.support.engine import Engine
from tests.support.reading import traffic


def test_a_rebuild_goes_on_where_it_was_the_newest_first(
    viral_at_ten: Engine,
    loss_detection: LossDetection,
    rebuild: Rebuild,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each run loads at least one chunk, and the next run continues."""
    posts = list(range(1, 12))
    for post in posts:
        viral_at_ten.reactions.react_many((user, post, "like") for user in range(1, 4))
    viral_at_ten.drain()
    with viral_at_ten.database.engine.begin() as connection:  # changed one after the other
        connection.execute(text("UPDATE posts SET touched = touched - 60000000 * post_id"))
    loss_detection.run()
    viral_at_ten.client.flushall()
    assert loss_detection.run() is not None
    monkeypatch.setattr("reactions.maintenance.rebuild.CHUNK", 3)
    cached = []
    while rebuild.unfinished():
        rebuild.run(0.0)
        cached.append([p for p in posts if viral_at_ten.post_snapshots.snapshots([p])[0].complete])
    assert cached == [posts[:3], posts[:6], posts[:9], posts, posts]
    assert rebuild.run() is None
    assert viral_at_ten.verify().holds


def test_posts_that_were_touched_together_are_loaded_together(
    viral_at_ten: Engine, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = list(range(1, 12))
    for post in posts:
        viral_at_ten.reactions.react(1, post, "like")
    viral_at_ten.drain()
    with viral_at_ten.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET touched = (SELECT max(touched) FROM posts)"))
    monkeypatch.setattr("reactions.maintenance.rebuild.CHUNK", 3)
    rebuild.request()
    rebuild.run()
    assert all(found.complete for found in viral_at_ten.post_snapshots.snapshots(posts))


def test_posts_touched_in_the_future_are_loaded(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """The clock of Redis was an hour ahead until it was lost."""
    fill(viral_at_ten)
    with viral_at_ten.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET touched = touched + 3600000000"))
    loss_detection.run()
    viral_at_ten.client.flushall()
    loss_detection.run()
    assert rebuild.run() is not None
    regular, viral = viral_at_ten.post_snapshots.snapshots([REGULAR, VIRAL])
    assert (regular.complete, viral.sampled) == (True, True)


def test_what_nobody_touched_within_a_day_is_left_out(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    fill(viral_at_ten)
    with viral_at_ten.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE posts SET touched = touched - 90000000000 WHERE post_id = :post"),
            {"post": VIRAL},
        )
    loss_detection.run()
    viral_at_ten.client.flushall()
    loss_detection.run()
    run = rebuild.run()
    assert run is not None
    assert not rebuild.unfinished()
    regular, viral = viral_at_ten.post_snapshots.snapshots([REGULAR, VIRAL])
    assert regular.complete
    assert not viral.sampled
    assert viral_at_ten.reactions.counts(VIRAL)["like"] == 15  # the first read loads it


def test_what_is_touched_during_a_pass_is_loaded_by_the_next(
    viral_at_ten: Engine,
    loss_detection: LossDetection,
    rebuild: Rebuild,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posts = list(range(1, 10))
    for post in posts:
        viral_at_ten.reactions.react(1, post, "like")
    viral_at_ten.drain()
    with viral_at_ten.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET touched = touched - 60000000 * post_id"))
    loss_detection.run()
    viral_at_ten.client.flushall()
    loss_detection.run()
    monkeypatch.setattr("reactions.maintenance.rebuild.CHUNK", 3)
    rebuild.run(0.0)
    viral_at_ten.reactions.react(2, posts[-1], "love")  # moves it past the position of the pass
    viral_at_ten.drain()
    viral_at_ten.client.delete(*viral_at_ten.client.keys(f"post:*:{posts[-1]}:*"))
    monkeypatch.setattr("reactions.maintenance.rebuild.AGAIN_US", 0)
    for _ in range(3):
        rebuild.run(0.0)
    assert not viral_at_ten.post_snapshots.snapshots(posts[-1:])[0].complete
    monkeypatch.undo()
    while rebuild.unfinished():
        rebuild.run()
    assert viral_at_ten.post_snapshots.lacking(posts) == []
    assert viral_at_ten.verify().found == {}


def test_after_a_rebuild_a_feed_is_warm(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """The counts are cached too, including pending changes."""
    fill(viral_at_ten)
    loss_detection.run()
    viral_at_ten.client.flushall()
    viral_at_ten.reactions.react(50, REGULAR, "wow")
    loss_detection.run()
    viral_at_ten.persister.drain([])
    rebuild.run()
    for trips in (2, 1):  # the first read writes the summaries
        with traffic(viral_at_ten.reactions) as seen:
            regular, viral = viral_at_ten.reactions.summaries([REGULAR, VIRAL])
        assert (seen.trips, seen.queries) == (trips, [])
        assert (regular.total, regular.counts["wow"], viral.total) == (7, 1, 15)
