"""A loss of Redis is noticed by itself, and what it held is rebuilt; nothing durable is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from reactions import PostDeleted
from reactions.core.constants import shard_of
from reactions.drain.batch import Drained
from reactions.maintenance.epochs import Epochs, Loss, RedisEpoch, loss
from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis import keys
from reactions.redis.erasure_requests import ErasureRequests
from tests.support.engine import Engine, make_engine
from tests.support.reading import traffic

REGULAR, VIRAL, DELETED = 1042, 1143, 1044


@pytest.fixture
def small(engine: Engine) -> Iterator[Engine]:
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    yield made
    made.close()


@pytest.fixture
def loss_detection(small: Engine) -> LossDetection:
    return LossDetection(small.client, small.database, small.settings)


@pytest.fixture
def rebuild(small: Engine) -> Rebuild:
    return Rebuild(small.client, small.database, small.settings)


def fill(engine: Engine) -> None:
    client = engine.reactions
    for post, users in ((REGULAR, 6), (VIRAL, 15), (DELETED, 3)):
        client.react_many((user, post, "like") for user in range(1, users + 1))
    engine.drain()
    client.delete_post(DELETED)
    while any(engine.erasure_requests.unfinished()):
        engine.eraser.erase()


def dump(engine: Engine) -> dict[bytes, bytes]:
    """As a snapshot of the server."""
    return {key: engine.client.dump(key) for key in engine.client.scan_iter()}  # type: ignore[misc]


def restore(engine: Engine, snapshot: dict[bytes, bytes]) -> None:
    engine.client.flushall()
    for key, value in snapshot.items():
        life = 0 if key.startswith(b"outbox:") or key.endswith((b"pending", b"delta")) else 60_000
        engine.client.restore(key, life, value)


@pytest.mark.parametrize(
    ("in_redis", "in_database", "what"),
    [
        (None, None, Loss.NONE),
        (RedisEpoch("a", 5), None, Loss.NONE),
        (None, RedisEpoch("a", 5), Loss.EMPTY),
        (RedisEpoch("b", 9), RedisEpoch("a", 5), Loss.EMPTY),
        (RedisEpoch("a", 4), RedisEpoch("a", 5), Loss.OLDER),
        (RedisEpoch("a", 5), RedisEpoch("a", 5), Loss.NONE),
        # A worker died after it wrote Redis and before it wrote PostgreSQL.
        (RedisEpoch("a", 6), RedisEpoch("a", 5), Loss.NONE),
    ],
)
def test_what_two_epochs_say(
    in_redis: RedisEpoch | None, in_database: RedisEpoch | None, what: Loss
) -> None:
    assert loss(in_redis, in_database) is what


@pytest.mark.parametrize("written", ["", "x", "a|b|c", "a|1", "\ufffd|1|2|3"])
def test_another_value_is_no_epoch(written: str) -> None:
    assert RedisEpoch.read(written) is None


def test_nothing_lost_is_nothing_done(small: Engine, loss_detection: LossDetection) -> None:
    fill(small)
    for _ in range(3):
        assert loss_detection.run() is None
    assert "loss_detection" not in DutyRuns(small.database).last()


def test_an_empty_server_is_noticed_and_rebuilt(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    fill(small)
    loss_detection.run()
    small.client.flushall()
    small.reactions.react(77, REGULAR, "love")  # before anybody noticed
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.EMPTY: 100}
    assert rebuild.run() is not None
    regular, viral = small.post_snapshots.snapshots([REGULAR, VIRAL])
    assert len(viral.recent) == 15
    assert regular.complete or regular.pending
    with pytest.raises(PostDeleted):
        small.reactions.react(1, DELETED, "like")
    assert loss_detection.run() is None
    small.drain()
    assert small.verify().holds
    assert small.reactions.counts(REGULAR)["love"] == 1
    last = DutyRuns(small.database).last()
    assert last["loss_detection"].found == 100
    assert last["rebuild"].looked_at >= 2


def test_no_version_comes_twice_after_a_loss(small: Engine, loss_detection: LossDetection) -> None:
    """Versions were ahead of the clock; the new server starts at its own time."""
    ahead = small.client.time()[0] * 1_000_000 + 3_600_000_000
    small.client.set(keys.outbox_clock(shard_of(REGULAR)), ahead)
    small.reactions.react(1, REGULAR, "like")
    small.drain()
    loss_detection.run()
    small.client.flushall()
    loss_detection.run()
    small.reactions.react(1, REGULAR, "love")
    small.drain()
    assert small.queries.reactions([REGULAR]) == {REGULAR: {1: 2}}


def test_after_an_older_snapshot_nothing_that_is_durable_goes_back(
    small: Engine, loss_detection: LossDetection
) -> None:
    client = small.reactions
    fill(small)
    client.react_many((user, REGULAR, "wow") for user in (1, 2, 50))  # pending in the snapshot
    loss_detection.run()
    snapshot = dump(small)
    small.drain()
    client.react_many((user, post, "love") for user in (1, 2, 3) for post in (REGULAR, VIRAL))
    client.unreact(4, VIRAL)
    small.drain()
    client.summaries([REGULAR, VIRAL], 3)
    loss_detection.run()
    restore(small, snapshot)
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.OLDER: 100}
    small.drain()
    found = small.verify()
    assert found.holds, found
    assert small.queries.reactions([REGULAR])[REGULAR] == {
        1: 2,
        2: 2,
        3: 2,
        4: 1,
        5: 1,
        6: 1,
        50: 4,
    }
    for user in (1, 2, 3):
        assert client.reaction_of(user, VIRAL) == "love"
    assert client.reaction_of(4, VIRAL) is None


def test_a_recovery_that_died_is_done_again(
    small: Engine, loss_detection: LossDetection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(small)
    loss_detection.run()
    small.client.flushall()

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ErasureRequests, "mark_deleted", die)
        with pytest.raises(RuntimeError):
            loss_detection.run()
    assert loss_detection.run() is not None
    with pytest.raises(PostDeleted):
        small.reactions.react(1, DELETED, "like")


def test_a_rebuild_goes_on_where_it_was_the_newest_first(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call a chunk at least; one that dies is gone on with."""
    posts = list(range(1, 12))
    for post in posts:
        small.reactions.react_many((user, post, "like") for user in range(1, 4))
    small.drain()
    with small.database.engine.begin() as connection:  # touched one after the other
        connection.execute(text("UPDATE posts SET touched = touched - 60000000 * post_id"))
    loss_detection.run()
    small.client.flushall()
    assert loss_detection.run() is not None
    monkeypatch.setattr("reactions.maintenance.rebuild.CHUNK", 3)
    cached = []
    while rebuild.unfinished():
        rebuild.run(0.0)
        cached.append([p for p in posts if small.post_snapshots.snapshots([p])[0].complete])
    assert cached == [posts[:3], posts[:6], posts[:9], posts, posts]
    assert rebuild.run() is None
    assert small.verify().holds


def test_posts_that_were_touched_together_are_loaded_together(
    small: Engine, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = list(range(1, 12))
    for post in posts:
        small.reactions.react(1, post, "like")
    small.drain()
    with small.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET touched = (SELECT max(touched) FROM posts)"))
    monkeypatch.setattr("reactions.maintenance.rebuild.CHUNK", 3)
    rebuild.request()
    rebuild.run()
    assert all(found.complete for found in small.post_snapshots.snapshots(posts))


def test_what_nobody_touched_within_a_day_is_left_out(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    fill(small)
    with small.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE posts SET touched = touched - 90000000000 WHERE post_id = :post"),
            {"post": VIRAL},
        )
    loss_detection.run()
    small.client.flushall()
    loss_detection.run()
    run = rebuild.run()
    assert run is not None
    assert not rebuild.unfinished()
    regular, viral = small.post_snapshots.snapshots([REGULAR, VIRAL])
    assert regular.complete
    assert not viral.sampled
    assert small.reactions.counts(VIRAL)["like"] == 15  # the first read brings it back


def test_only_the_shards_that_were_lost_are_recovered(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """As when one node of a cluster is replaced."""
    fill(small)
    for post in (REGULAR, VIRAL):
        small.loader.load([post])
    loss_detection.run()
    small.client.delete(*small.client.keys("*{43}*"))
    before = {key: small.client.dump(key) for key in small.client.keys("post:{42}:*")}
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.EMPTY: 1}
    run = rebuild.run()
    assert run is not None
    assert run.looked_at == 1
    assert small.post_snapshots.snapshots([VIRAL])[0].sampled
    assert {key: small.client.dump(key) for key in small.client.keys("post:{42}:*")} == before


def test_two_that_watch_do_not_take_each_other_for_a_loss(
    small: Engine, loss_detection: LossDetection
) -> None:
    fill(small)
    with DutyRuns(small.database).run("loss_detection", quiet=True) as run:
        assert run is not None
        assert loss_detection.run() is None
    ticks = [epoch.tick for epoch in epochs_of(small)]
    assert len(set(ticks)) <= 1
    loss_detection.run()
    loss_detection.run()
    assert {epoch.tick for epoch in epochs_of(small)} == {2}


def epochs_of(engine: Engine) -> list[RedisEpoch]:
    found = Epochs(engine.client, engine.database).in_redis().values()
    return [epoch for written in found if (epoch := RedisEpoch.read(written))]


@pytest.mark.parametrize(
    ("before", "when"),
    [
        *(("sound", when) for when in ("in_database", "replace", "note")),
        *(("empty", when) for when in ("in_database", "replace", "note", "set_rebuild")),
        *(("older", when) for when in ("in_database", "replace", "note", "set_rebuild")),
    ],
)
def test_a_loss_while_it_looks_is_seen_by_the_next_look(
    small: Engine,
    loss_detection: LossDetection,
    rebuild: Rebuild,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    before: str,
) -> None:
    fill(small)
    loss_detection.run()
    if before == "empty":
        small.client.flushall()
    elif before == "older":
        snapshot = dump(small)
        loss_detection.run()
        restore(small, snapshot)
    method = getattr(Epochs, when)

    def then_lose(epochs: Epochs, *arguments: object) -> object:
        done = method(epochs, *arguments)
        small.client.flushall()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Epochs, when, then_lose)
        first = loss_detection.run()
    found = [run.found for run in (first, loss_detection.run()) if run]
    assert found[-1] == {Loss.EMPTY: 100}
    with pytest.raises(PostDeleted):
        small.reactions.react(1, DELETED, "like")
    assert loss_detection.run() is None
    while rebuild.unfinished():
        rebuild.run()
    assert small.post_snapshots.lacking([REGULAR, VIRAL]) == []


def test_a_read_while_a_batch_is_under_way_does_not_keep_what_was_before(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """The claim was lost with all of Redis, so no fence stops the read, and nobody will settle."""
    client = small.reactions
    client.react(1, REGULAR, "like")
    small.drain()
    loss_detection.run()
    client.react(2, REGULAR, "like")
    claims, _ = small.outbox.claim({shard_of(REGULAR): ""})
    small.client.flushall()
    assert client.counts(REGULAR)["like"] == 1
    assert small.cache_install.fence(REGULAR, "slow")  # another read, which comes late
    done = Drained()
    small.persister.settle(claims, small.persister.record(claims, done), done)
    assert done.lost == 1
    assert not small.cache_install.install_counts(REGULAR, "slow", {1: 1})[0]
    assert client.counts(REGULAR)["like"] == 2
    loss_detection.run()
    rebuild.run()
    assert small.verify().found == {}


def test_what_is_touched_during_a_pass_is_loaded_by_the_next(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = list(range(1, 10))
    for post in posts:
        small.reactions.react(1, post, "like")
    small.drain()
    with small.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET touched = touched - 60000000 * post_id"))
    loss_detection.run()
    small.client.flushall()
    loss_detection.run()
    monkeypatch.setattr("reactions.maintenance.rebuild.CHUNK", 3)
    rebuild.run(0.0)
    small.reactions.react(2, posts[-1], "love")  # and out of the way of the pass
    small.drain()
    small.client.delete(*small.client.keys(f"post:*:{posts[-1]}:*"))
    monkeypatch.setattr("reactions.maintenance.rebuild.AGAIN_US", 0)
    for _ in range(3):
        rebuild.run(0.0)
    assert not small.post_snapshots.snapshots(posts[-1:])[0].complete
    monkeypatch.undo()
    while rebuild.unfinished():
        rebuild.run()
    assert small.post_snapshots.lacking(posts) == []
    assert small.verify().found == {}


def test_after_a_rebuild_a_feed_is_warm(
    small: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """Counts too, with what is pending by then."""
    fill(small)
    loss_detection.run()
    small.client.flushall()
    small.reactions.react(50, REGULAR, "wow")
    loss_detection.run()
    small.persister.drain([])
    rebuild.run()
    with traffic(small.reactions) as seen:
        regular, viral = small.reactions.summaries([REGULAR, VIRAL])
    assert (seen.trips, seen.queries) == (1, [])
    assert (regular.total, regular.counts["wow"], viral.total) == (7, 1, 15)
