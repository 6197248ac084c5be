"""Rising posts: their early viral treatment, the list of them, and the end of false alarms."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from reactions.core.model import PostTier, Tier
from reactions.maintenance.refresh import RefreshSamples
from reactions.maintenance.virality import ReleaseCalmPosts, RisingPosts
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine, make_engine
from tests.support.reading import react, shrink

POST, OTHER = 1042, 1142


@pytest.fixture
def early(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Viral from 100 reactions on; watched from 10 on, and rising an hour before the threshold."""
    shrink(monkeypatch, 5, 4, 8)
    update = {
        "viral_threshold": 100,
        "viral_watch": 0.1,
        "viral_horizon_s": 3_600.0,
        "viral_window_s": 60.0,
    }
    made = make_engine(engine.settings.model_copy(update=update))
    yield made
    made.close()


@pytest.fixture
def rising(early: Engine) -> RisingPosts:
    return RisingPosts(early.client, early.database, early.settings)


@pytest.fixture
def virality(early: Engine) -> ReleaseCalmPosts:
    return ReleaseCalmPosts(early.client, early.database, early.settings)


def rise(engine: Engine, post: int = POST, users: int = 40) -> None:
    """Drain one half, then the other: a rate needs the growth between two batches."""
    react(engine, post, range(1, users // 2 + 1))
    engine.drain()
    react(engine, post, range(users // 2 + 1, users + 1))
    engine.drain()


def noted(engine: Engine, post: int = POST) -> PostTier:
    with engine.database.engine.connect() as connection:
        query = text("SELECT tier FROM posts WHERE post_id = :post")
        return PostTier(connection.scalar(query, {"post": post}))


def calm(engine: Engine, post: int = POST) -> None:
    """Move the last growth of the post an hour into the past."""
    written = engine.client.get(keys.post_rate(post))
    assert isinstance(written, bytes)
    rate, at, total = written.decode().split("|")
    long_ago = int(at) - 3_600_000_000
    engine.client.set(keys.post_rate(post), f"{rate}|{long_ago}|{total}", px=60_000)


def test_a_post_rising_is_listed_and_has_a_sample(early: Engine, rising: RisingPosts) -> None:
    rise(early)
    react(early, OTHER, range(1, 41))  # one batch alone has no rate
    early.drain()
    (found,) = rising.list()
    assert (found.post_id, found.reactions) == (POST, 40)
    assert found.per_s == pytest.approx(20 / 60, rel=0.2)
    assert found.threshold_in_s == pytest.approx(60 * 3, rel=0.3)
    assert noted(early) is PostTier.RISING
    (snapshot,) = early.post_snapshots.snapshots([POST])
    assert snapshot.rising
    assert snapshot.recent == [40, 39, 38, 37, 36]
    (summary,) = early.reactions.summaries([POST], 3)
    assert (summary.tier, summary.total, summary.reaction) == (Tier.VIRAL, 40, "like")
    assert early.verify().found == {}


def test_at_the_threshold_it_is_viral_and_no_longer_listed(
    early: Engine, rising: RisingPosts
) -> None:
    rise(early)
    react(early, POST, range(41, 101))
    early.drain()
    assert rising.list() == []
    assert noted(early) is PostTier.VIRAL
    assert early.client.get(keys.post_viral(POST)) == b"1"
    assert early.verify().found == {}


def test_a_false_alarm_is_let_go_though_nobody_reacts(
    early: Engine, rising: RisingPosts, virality: ReleaseCalmPosts
) -> None:
    rise(early)
    run = virality.run()
    assert run is not None
    assert (run.looked_at, run.repaired) == (1, 0)
    calm(early)
    assert rising.list()[0].threshold_in_s > 2 * 3_600
    run = virality.run()
    assert run is not None
    assert (run.looked_at, run.repaired, dict(run.found)) == (1, 1, {"calm": 1})
    assert noted(early) is PostTier.REGULAR
    (snapshot,) = early.post_snapshots.snapshots([POST])
    assert snapshot.complete
    assert not snapshot.viral
    assert early.cache.uniques(POST) is None
    assert early.verify().found == {}
    assert rising.list() == []


def test_above_the_lower_threshold_it_stays_viral(
    early: Engine, virality: ReleaseCalmPosts
) -> None:
    rise(early, users=90)
    calm(early)
    assert virality.run() is not None
    assert noted(early) is PostTier.VIRAL
    assert early.post_snapshots.snapshots([POST])[0].sampled
    assert early.verify().found == {}


def test_one_whose_rate_was_lost_is_let_go(
    early: Engine, rising: RisingPosts, virality: ReleaseCalmPosts
) -> None:
    rise(early)
    early.client.delete(keys.post_rate(POST))
    assert math.isinf(rising.list()[0].threshold_in_s)
    assert virality.run() is not None
    assert rising.list() == []
    assert early.verify().found == {}


def test_a_deleted_post_is_rising_no_more(
    early: Engine, rising: RisingPosts, virality: ReleaseCalmPosts
) -> None:
    rise(early)
    early.reactions.delete_post(POST)
    assert not early.client.exists(keys.post_rate(POST))
    while any(early.erasure_requests.unfinished()):
        early.eraser.erase()
    assert virality.run() is not None
    assert rising.list() == []
    assert early.verify().holds


def test_it_is_recorded(early: Engine, virality: ReleaseCalmPosts) -> None:
    rise(early)
    calm(early)
    virality.run()
    (total,) = DutyRuns(early.database).totals()
    assert (total.duty, total.runs, total.kinds) == ("virality", 1, {"calm": 1})
    assert total.succeeded_at is not None
    assert DutyRuns(early.database).last()["virality"].detail == "calm 1; post 1042: 40 reactions"


def test_a_load_under_way_does_not_flag_one_that_was_let_go(
    early: Engine, virality: ReleaseCalmPosts
) -> None:
    rise(early)
    calm(early)
    assert early.cache_install.fence(POST, "slow")
    virality.run()
    newest = [(user, 1) for user in (40, 39, 38, 37, 36)]
    assert not early.cache_install.install_sample(POST, "slow", total=40, newest=newest)
    assert early.post_snapshots.snapshots([POST])[0].complete
    assert early.verify().found == {}


@pytest.mark.parametrize("lost", ["reactions", "recent", "viral"])
def test_a_refresh_leaves_it_rising(early: Engine, lost: str) -> None:
    rise(early)
    early.client.delete(f"post:{{42}}:{POST}:{lost}")
    run = RefreshSamples(early.client, early.database, early.settings).run()
    assert run is not None
    assert run.repaired == 1
    (snapshot,) = early.post_snapshots.snapshots([POST])
    assert snapshot.rising == snapshot.sampled == (lost != "viral")
    assert snapshot.complete == (lost == "viral")  # without its flag it is a regular post again
    assert early.verify().found == {}
