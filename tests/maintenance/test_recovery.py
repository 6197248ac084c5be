"""After a loss of PostgreSQL, or of both stores, the caches follow what PostgreSQL has."""

from __future__ import annotations

import pytest

from reactions import PostDeleted
from reactions.core.constants import shard_of
from reactions.core.errors import ReactionsUnavailable
from reactions.core.type_registry import ReactionType
from reactions.maintenance.epochs import Epochs, Loss
from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.keys import default_keys as keys
from reactions.redis.type_copy import write_types
from tests.maintenance.damage import execute
from tests.maintenance.losing import (
    REGULAR,
    VIRAL,
    dump_database,
    dump_redis,
    fill,
    restore_database,
    restore_redis,
)
from tests.support.engine import Engine

NEWER = 1242
"""A post that only the newer state knows."""


def detect(loss_detection: LossDetection) -> dict[str, int] | None:
    run = loss_detection.run()
    return None if run is None else dict(run.found)


def go_on(engine: Engine, loss_detection: LossDetection) -> None:
    """What happens after the dump: reactions, removals, a new post; and the duty runs."""
    client = engine.reactions
    client.react_many((user, post, "love") for user in (1, 2, 30) for post in (REGULAR, VIRAL))
    client.unreact(4, VIRAL)
    client.react(9, NEWER, "like")
    engine.drain()
    engine.loader.load([REGULAR, VIRAL, NEWER])
    for user in (1, 9):
        client.summaries([REGULAR, VIRAL, NEWER], user)
        engine.user_loader.load([user])
    for _ in range(2):
        assert loss_detection.run() is None


def test_after_an_old_dump_users_see_what_postgresql_has_and_what_is_pending(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    client = viral_at_ten.reactions
    fill(viral_at_ten)
    loss_detection.run()
    dump = dump_database(viral_at_ten)
    go_on(viral_at_ten, loss_detection)
    client.react(50, REGULAR, "wow")
    client.react(51, NEWER, "wow")
    restore_database(viral_at_ten, dump)
    assert detect(loss_detection) == {Loss.DATABASE: 100}
    assert client.counts(REGULAR)["like"] == 6
    assert client.counts(VIRAL)["like"] == 15
    assert client.counts(NEWER) == {**client.counts(NEWER), "like": 0, "wow": 1}
    assert client.reaction_of(1, REGULAR) == "like"
    assert client.reaction_of(4, VIRAL) == "like"
    assert client.reaction_of(9, NEWER) is None
    assert rebuild.run() is not None
    viral_at_ten.drain()
    found = viral_at_ten.verify()
    assert found.holds, found
    assert viral_at_ten.queries.reactions([NEWER]) == {NEWER: {51: 4}}
    assert client.counts(REGULAR)["wow"] == 1
    assert viral_at_ten.post_snapshots.lacking([REGULAR, VIRAL]) == []
    assert loss_detection.run() is None


def test_a_dump_from_before_the_first_epoch(
    viral_at_ten: Engine, loss_detection: LossDetection, rebuild: Rebuild
) -> None:
    fill(viral_at_ten)
    dump = dump_database(viral_at_ten)
    loss_detection.run()
    go_on(viral_at_ten, loss_detection)
    restore_database(viral_at_ten, dump)
    assert detect(loss_detection) == {Loss.DATABASE: 100}
    assert viral_at_ten.reactions.counts(NEWER)["like"] == 0
    run = rebuild.run()
    assert run is not None
    assert run.repaired >= 2
    assert viral_at_ten.verify().holds
    assert loss_detection.run() is None


def test_what_was_deleted_since_the_dump_is_deleted_again(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    fill(viral_at_ten)
    loss_detection.run()
    dump = dump_database(viral_at_ten)
    viral_at_ten.reactions.delete_post(REGULAR)
    while any(viral_at_ten.erasure_requests.unfinished()):
        viral_at_ten.eraser.erase()
    go_on_without_changes(loss_detection)
    restore_database(viral_at_ten, dump)
    assert detect(loss_detection) == {Loss.DATABASE: 100}
    while any(viral_at_ten.erasure_requests.unfinished()):
        viral_at_ten.eraser.erase()
    assert viral_at_ten.queries.reactions([REGULAR]) == {REGULAR: {}}
    assert viral_at_ten.posts.deleted([REGULAR]) == {REGULAR}
    with pytest.raises(PostDeleted):
        viral_at_ten.reactions.react(1, REGULAR, "like")


def go_on_without_changes(loss_detection: LossDetection) -> None:
    for _ in range(2):
        assert loss_detection.run() is None


def test_a_type_that_the_dump_does_not_know_is_registered_again(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    """Else PostgreSQL would refuse what is pending, and dead letters would be left."""
    registry = TypeRegistry(viral_at_ten.database)
    loss_detection.run()
    dump = dump_database(viral_at_ten)
    registry.add("moon", 99)
    registry.rename("moon", "rocket")
    registry.rename("like", "thumb")
    write_types(viral_at_ten.client, keys, registry.all())
    go_on_without_changes(loss_detection)
    restore_database(viral_at_ten, dump)
    assert detect(loss_detection) == {Loss.DATABASE: 100}
    found = {known.code: known for known in registry.all()}
    assert found[99] == ReactionType(99, "rocket", former=("moon",))
    assert found[1].names == ("like",)  # a worker may not rename


def test_a_snapshot_from_before_the_last_recovery(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    """Its epoch has another incarnation, and its caches are older than PostgreSQL."""
    fill(viral_at_ten)
    viral_at_ten.loader.load([REGULAR, VIRAL])
    loss_detection.run()
    snapshot = dump_redis(viral_at_ten)
    viral_at_ten.client.flushall()
    assert detect(loss_detection) == {Loss.EMPTY: 100}
    viral_at_ten.reactions.react_many((u, p, "love") for u in (1, 40) for p in (REGULAR, VIRAL))
    viral_at_ten.drain()
    restore_redis(viral_at_ten, snapshot)
    assert detect(loss_detection) == {Loss.OTHER: 100}
    assert viral_at_ten.reactions.counts(REGULAR)["love"] == 2
    assert viral_at_ten.reactions.reaction_of(1, VIRAL) == "love"
    assert viral_at_ten.verify().holds


def test_a_dump_that_is_younger_than_the_last_tick(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    """The epochs are the same, but a restore makes the tables anew, or empties them."""
    fill(viral_at_ten)
    loss_detection.run()
    dump = dump_database(viral_at_ten)
    viral_at_ten.reactions.react(9, NEWER, "like")
    viral_at_ten.drain()
    viral_at_ten.loader.load([NEWER])
    execute(viral_at_ten, "TRUNCATE redis_epochs")
    restore_database(viral_at_ten, dump)
    assert detect(loss_detection) == {Loss.DATABASE: 100}
    assert viral_at_ten.reactions.counts(NEWER)["like"] == 0
    assert viral_at_ten.verify().holds
    assert loss_detection.run() is None


def test_a_tick_that_postgresql_does_not_note_is_no_loss(
    loss_detection: LossDetection, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_detection.run()

    def fail(*_: object) -> None:
        raise ReactionsUnavailable("postgresql", "tried on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "note", fail)
        for _ in range(3):
            with pytest.raises(ReactionsUnavailable):
                loss_detection.run()
    assert loss_detection.run() is None


def test_a_shard_that_ran_ahead_raises_no_other(
    viral_at_ten: Engine, loss_detection: LossDetection
) -> None:
    """A year ahead: the other shards would show their reactions in the future, too."""
    fill(viral_at_ten)
    loss_detection.run()
    execute(
        viral_at_ten,
        "UPDATE posts SET touched = touched + 31536000000000 WHERE post_id = :post",
        post=REGULAR,
    )
    viral_at_ten.client.flushall()
    assert detect(loss_detection) == {Loss.EMPTY: 100}
    now = viral_at_ten.clock.now_us()
    clocks = {
        post: int(viral_at_ten.client.get(keys.outbox_clock(shard_of(post))) or 0)
        for post in (REGULAR, VIRAL)
    }
    assert clocks[REGULAR] > now + 31_000_000_000_000
    assert clocks[VIRAL] < now + 60_000_000
