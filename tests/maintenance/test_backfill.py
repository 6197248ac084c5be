"""A backfill copies an older table exactly, while drains, loads and reads go on."""

from __future__ import annotations

import io
import threading

import pytest
from sqlalchemy import text

from reactions.core.errors import ReactionsUnavailable
from reactions.drain.batch import Drained
from reactions.maintenance import backfill
from reactions.maintenance.backfill import HEADER, Backfill, Backfilled, BackfillError
from reactions.postgres.database import Database
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.reading import POST, SHARD, USER, react
from tests.support.waiting import wait_until

BEFORE = 1_700_000_000_000_000


def take_over(engine: Engine, *lines: str, before_us: int = BEFORE) -> Backfilled:
    source = io.StringIO("\n".join([HEADER, *lines]))
    return Backfill(engine.client, engine.database, engine.settings).run(source, before_us)


def rows(engine: Engine) -> dict[int, tuple[int, int]]:
    """user -> (code, version) of the post."""
    with engine.database.transaction() as connection:
        found = connection.execute(text("SELECT user_id, reaction, version FROM reactions"))
        return {user: (code, version) for user, code, version in found}


def forgotten(engine: Engine) -> int:
    with engine.database.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM forgotten_users")).scalar_one())


def test_no_two_of_a_post_have_the_same_version(engine: Engine) -> None:
    late = BEFORE + 5
    lines = [f"{POST},1,like,{late}", f"{POST},2,love,{BEFORE}", f"{POST},3,wow,{BEFORE}"]
    lines += [f"{POST},4,like,{BEFORE - 1}", f"{POST},1,sad,7", f"{POST},5,like,7"]
    for changed in (5, 0):
        done = take_over(engine, *lines)
        assert (done.lines, done.changed, done.reached) == (6, changed, POST)
    assert rows(engine) == {
        1: (1, BEFORE),
        2: (2, BEFORE - 1),
        3: (4, BEFORE - 2),
        4: (1, BEFORE - 3),
        5: (1, 6),  # one below the line of user 1 that lost
    }
    assert engine.verify().holds


def test_a_store_that_fails_is_waited_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a minute: here until the first error, and here not at all."""
    hasty = engine.settings.model_copy(update={"database_timeout_s": 0.2})
    impatient = Database(hasty)
    line = f"{HEADER}\n{POST},1,like,{BEFORE}"
    with engine.database.engine.connect() as other:
        other.execute(text("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE"))
        with monkeypatch.context() as patch:
            patch.setattr(backfill, "PATIENCE_S", 0.0)
            with pytest.raises(ReactionsUnavailable, match="timeout"):
                Backfill(engine.client, impatient, hasty).run(io.StringIO(line), BEFORE)
        monkeypatch.setattr("reactions.maintenance.backfill.time.sleep", lambda _: other.rollback())
        done = Backfill(engine.client, impatient, hasty).run(io.StringIO(line), BEFORE)
    assert done.changed == 1
    impatient.close()


def test_what_is_recorded_here_wins(engine: Engine) -> None:
    react(engine, POST, [1], "love")
    react(engine, POST, [2])
    react(engine, POST, [2], None)
    engine.drain()
    react(engine, POST, [3], "wow")  # not durable yet
    take_over(engine, *(f"{POST},{user},like,{BEFORE}" for user in (1, 2, 3, 4)))
    counts = {"like": 2, "love": 1, "laugh": 0, "wow": 1, "sad": 0, "angry": 0}
    assert engine.reactions.counts(POST) == counts  # the drain of user 3's pending change adds 1
    engine.drain()
    assert engine.reactions.counts(POST) == counts | {"like": 1}
    own = [engine.reactions.reaction_of(user, POST) for user in (1, 2, 3, 4)]
    assert own == ["love", None, "wow", "like"]
    assert engine.verify().holds


def test_a_drain_that_counted_before_does_not_settle_after(engine: Engine) -> None:
    react(engine, POST, [1])
    claims, _ = engine.outbox.claim({SHARD: ""})
    batch = engine.persister.record(claims, Drained())
    worker = threading.Thread(target=take_over, args=(engine, f"{POST},2,like,{BEFORE}"))
    worker.start()
    wait_until(lambda: len(rows(engine)) == 2)
    assert worker.is_alive()
    engine.persister.settle(claims, batch, Drained())
    worker.join()
    assert engine.reactions.counts(POST)["like"] == 2
    assert engine.verify().found == {}


def test_what_was_read_before_is_not_cached_after(engine: Engine) -> None:
    assert engine.cache_install.fence(POST, "token")
    counts = engine.queries.counts([POST])[POST]
    take_over(engine, f"{POST},2,like,{BEFORE}")
    assert not engine.cache_install.install_counts(POST, "token", counts)[0]
    assert engine.reactions.counts(POST)["like"] == 1


@pytest.mark.parametrize("viral", [False, True])
def test_what_is_cached_is_dropped(engine: Engine, viral: bool) -> None:
    settings = engine.settings.model_copy(update={"viral_threshold": 10 if viral else 100})
    react(engine, POST, range(100, 120))
    engine.drain()
    engine.loader.load([POST])
    shown = engine.reactions.summaries([POST], USER)[0]
    assert (shown.total, shown.reaction) == (20, None)  # and the user's cache says so
    source = io.StringIO(f"{HEADER}\n{POST},{USER},love,{BEFORE}\n")
    Backfill(engine.client, engine.database, settings).run(source, BEFORE)
    shown = engine.reactions.summaries([POST], USER)[0]
    assert (shown.total, shown.reaction) == (21, "love")
    assert engine.reactions.uniques(POST) == 21
    assert engine.verify().found == {}


def test_the_caches_of_users_are_dropped(engine: Engine) -> None:
    assert engine.reactions.reaction_of(USER, POST) is None
    assert engine.client.exists(keys.user_reactions(USER))
    take_over(engine, f"{POST},{USER},like,{BEFORE}")
    assert engine.reactions.reaction_of(USER, POST) == "like"


def test_what_was_deleted_stays_so(engine: Engine) -> None:
    engine.reactions.delete_post(POST)
    engine.reactions.forget_user(USER)
    wait_until(lambda: [engine.eraser.erase()] and forgotten(engine))
    done = take_over(
        engine,
        f"{POST},1,like,{BEFORE}",
        f"{POST + 1},{USER},like,{BEFORE}",
        f"{POST + 1},9,like,{BEFORE}",
    )
    assert (done.lines, done.changed, done.refused) == (3, 1, {POST})
    assert (done.lines_of_deleted_posts, done.lines_of_forgotten_users) == (1, 1)
    assert set(rows(engine)) == {9}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "four fields"),
        ("1,2,like", "four fields"),
        ("1,2,like,3,4", "four fields"),
        ("1,2,cake,3", "'cake'; run: reactions types list, or add"),
        (",2,like,3", "NULL in the column post_id: leave such rows out"),
        ("1,\\N,like,3", "NULL in the column user_id: leave such rows out"),
        ("1,2,NULL,3", "NULL in the column type: .* coalesce"),
        ('1,2,like,""', "NULL in the column at_us: .* coalesce"),
        ("0,2,like,3", "integer"),
        ("1,-2,like,3", "integer"),
        ("1,2,like,3.5", "integer"),
        (f"1,{2**63},like,3", "integer"),
        ("1," + "9" * 5_000 + ",like,3", "four fields"),
        (f"{POST - 1},2,like,3", "order"),
        (f"{POST},7,like,{BEFORE}", "order"),
        (f"{POST},9,like,{BEFORE + 1}", "order"),
    ],
)
def test_an_invalid_line_is_named(engine: Engine, line: str, said: str) -> None:
    with pytest.raises(BackfillError, match=f"line 3 .*{said}"):
        take_over(engine, f"{POST},8,like,{BEFORE}", line, f"{POST},9,like,{BEFORE}")
    assert engine.verify().holds


def test_a_time_that_leaves_no_room_for_versions_is_named(engine: Engine) -> None:
    with pytest.raises(BackfillError, match="line 3 has an at_us that is too low"):
        take_over(engine, f"{POST},1,like,1", f"{POST},2,like,1")


def test_a_time_in_the_future_and_another_header_are_refused(engine: Engine) -> None:
    with pytest.raises(BackfillError, match="in the future"):
        take_over(engine, before_us=2**62)
    with pytest.raises(BackfillError, match="first line"):
        Backfill(engine.client, engine.database, engine.settings).run(io.StringIO("a,b\n"), BEFORE)
