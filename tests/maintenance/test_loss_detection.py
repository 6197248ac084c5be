"""A loss of Redis is noticed, and nothing that is durable goes back."""

from __future__ import annotations

import pytest

from reactions import PostDeleted
from reactions.core.constants import shard_of
from reactions.drain.batch import Drained
from reactions.maintenance.epochs import Epochs, Loss, RedisEpoch
from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.keys import default_keys as keys
from tests.maintenance.losing import (
    DELETED,
    REGULAR,
    VIRAL,
    dump_redis,
    fill,
    restore_redis,
)
from tests.support.engine import Engine


def test_nothing_lost_is_nothing_done(viral_at_ten: Engine, loss_detection: LossDetection) -> None:
    fill(viral_at_ten)
    for _ in range(3):
        assert loss_detection.run() is None
    assert "loss_detection" not in DutyRuns(viral_at_ten.database).last()


def test_an_empty_server_is_noticed_and_rebuilt(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    fill(viral_at_ten)
    loss_detection.run()
    viral_at_ten.client.flushall()
    viral_at_ten.reactions.react(77, REGULAR, "love")  # before the loss is noticed
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.EMPTY: 100}
    assert rebuild.run() is not None
    regular, viral = viral_at_ten.post_snapshots.snapshots([REGULAR, VIRAL])
    assert len(viral.recent) == 15
    assert regular.complete or regular.pending
    with pytest.raises(PostDeleted):
        viral_at_ten.reactions.react(1, DELETED, "like")
    assert loss_detection.run() is None
    viral_at_ten.drain()
    assert viral_at_ten.verify().holds
    assert viral_at_ten.reactions.counts(REGULAR)["love"] == 1
    last = DutyRuns(viral_at_ten.database).last()
    assert last["loss_detection"].found == 100
    assert last["rebuild"].looked_at >= 2


def test_no_version_comes_twice_after_a_loss(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    """Versions were ahead of the clock, and the new server starts at its own time."""
    ahead = viral_at_ten.client.time()[0] * 1_000_000 + 3_600_000_000
    viral_at_ten.client.set(keys.outbox_clock(shard_of(REGULAR)), ahead)
    viral_at_ten.reactions.react(1, REGULAR, "like")
    viral_at_ten.drain()
    loss_detection.run()
    viral_at_ten.client.flushall()
    loss_detection.run()
    viral_at_ten.reactions.react(1, REGULAR, "love")
    viral_at_ten.drain()
    assert viral_at_ten.queries.reactions([REGULAR]) == {REGULAR: {1: 2}}


def test_after_an_older_snapshot_nothing_that_is_durable_goes_back(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    client = viral_at_ten.reactions
    fill(viral_at_ten)
    client.react_many((user, REGULAR, "wow") for user in (1, 2, 50))  # pending in the snapshot
    loss_detection.run()
    snapshot = dump_redis(viral_at_ten)
    viral_at_ten.drain()
    client.react_many((user, post, "love") for user in (1, 2, 3) for post in (REGULAR, VIRAL))
    client.unreact(4, VIRAL)
    viral_at_ten.drain()
    client.summaries([REGULAR, VIRAL], 3)
    loss_detection.run()
    restore_redis(viral_at_ten, snapshot)
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.OLDER: 100}
    viral_at_ten.drain()
    found = viral_at_ten.verify()
    assert found.holds, found
    assert viral_at_ten.queries.reactions([REGULAR])[REGULAR] == {
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
    viral_at_ten: Engine, loss_detection: LossDetection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(viral_at_ten)
    loss_detection.run()
    viral_at_ten.client.flushall()

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ErasureRequests, "mark_deleted", die)
        with pytest.raises(RuntimeError):
            loss_detection.run()
    assert loss_detection.run() is not None
    with pytest.raises(PostDeleted):
        viral_at_ten.reactions.react(1, DELETED, "like")


def test_only_the_shards_that_were_lost_are_recovered(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """As when one node of a cluster is replaced."""
    fill(viral_at_ten)
    for post in (REGULAR, VIRAL):
        viral_at_ten.loader.load([post])
    loss_detection.run()
    viral_at_ten.client.delete(*viral_at_ten.client.keys("*{43}*"))
    before = {key: viral_at_ten.client.dump(key) for key in viral_at_ten.client.keys("post:{42}:*")}
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.EMPTY: 1}
    run = rebuild.run()
    assert run is not None
    assert run.looked_at == 1
    assert viral_at_ten.post_snapshots.snapshots([VIRAL])[0].sampled
    assert {
        key: viral_at_ten.client.dump(key) for key in viral_at_ten.client.keys("post:{42}:*")
    } == before


def test_two_runs_do_not_take_each_other_for_a_loss(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    fill(viral_at_ten)
    with DutyRuns(viral_at_ten.database).run("loss_detection", quiet=True) as run:
        assert run is not None
        assert loss_detection.run() is None
    ticks = [epoch.tick for epoch in epochs_of(viral_at_ten)]
    assert len(set(ticks)) <= 1
    loss_detection.run()
    loss_detection.run()
    assert {epoch.tick for epoch in epochs_of(viral_at_ten)} == {2}


def epochs_of(engine: Engine) -> list[RedisEpoch]:
    found = Epochs(engine.client, engine.database, engine.settings).in_redis().values()
    return [epoch for written in found if (epoch := RedisEpoch.read(written))]


@pytest.mark.parametrize(
    ("before", "when"),
    [
        *(("sound", when) for when in ("in_database", "replace", "note")),
        *(("empty", when) for when in ("in_database", "replace", "note", "set_rebuild")),
        *(("older", when) for when in ("in_database", "replace", "note", "set_rebuild")),
    ],
)
def test_a_loss_during_a_run_is_noticed_by_the_next(
    viral_at_ten: Engine,
    loss_detection: LossDetection,
    rebuild: Rebuild,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    before: str,
) -> None:
    fill(viral_at_ten)
    loss_detection.run()
    if before == "empty":
        viral_at_ten.client.flushall()
    elif before == "older":
        snapshot = dump_redis(viral_at_ten)
        loss_detection.run()
        restore_redis(viral_at_ten, snapshot)
    method = getattr(Epochs, when)

    def then_lose(epochs: Epochs, *arguments: object) -> object:
        done = method(epochs, *arguments)
        viral_at_ten.client.flushall()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Epochs, when, then_lose)
        first = loss_detection.run()
    found = [run.found for run in (first, loss_detection.run()) if run]
    assert found[-1] == {Loss.EMPTY: 100}
    with pytest.raises(PostDeleted):
        viral_at_ten.reactions.react(1, DELETED, "like")
    assert loss_detection.run() is None
    while rebuild.unfinished():
        rebuild.run()
    assert viral_at_ten.post_snapshots.lacking([REGULAR, VIRAL]) == []


def test_a_read_while_a_batch_is_under_way_does_not_keep_what_was_before(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    """The claim is lost with Redis, so no fence stops the read, and no drain will settle it."""
    client = viral_at_ten.reactions
    client.react(1, REGULAR, "like")
    viral_at_ten.drain()
    loss_detection.run()
    client.react(2, REGULAR, "like")
    claims, _ = viral_at_ten.outbox.claim({shard_of(REGULAR): ""})
    viral_at_ten.client.flushall()
    assert client.counts(REGULAR)["like"] == 1
    assert viral_at_ten.cache_install.fence(REGULAR, "slow")  # another read, which installs late
    done = Drained()
    viral_at_ten.persister.settle(claims, viral_at_ten.persister.record(claims, done), done)
    assert done.lost == 1
    assert not viral_at_ten.cache_install.install_counts(REGULAR, "slow", {1: 1})[0]
    assert client.counts(REGULAR)["like"] == 2
    loss_detection.run()
    rebuild.run()
    assert viral_at_ten.verify().found == {}
