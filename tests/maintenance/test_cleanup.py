"""A cleanup deletes old records and tombstones, and keeps what a late change may need."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.maintenance.cleanup import Cleanup
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.row_counts import RowCounts
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine, make_engine

POST, OTHER = 1042, 1143
DAY_US = 86_400_000_000


@pytest.fixture
def cleanup(engine: Engine) -> Cleanup:
    return Cleanup(engine.client, engine.database, engine.settings)


def sql(engine: Engine, statement: str) -> None:
    with engine.database.engine.begin() as connection:
        connection.execute(text(statement))


def removed(engine: Engine, post: int = POST) -> dict[int, int]:
    """user -> version, for the tombstones."""
    with engine.database.engine.connect() as connection:
        query = "SELECT user_id, version FROM reactions WHERE post_id = :post AND reaction = 0"
        return dict(connection.execute(text(query), {"post": post}).all())


def age(engine: Engine, days: int) -> None:
    """Make the rows of users 1 to 3 older."""
    update = "UPDATE reactions SET version = version - :age WHERE user_id <= 3"
    with engine.database.engine.begin() as connection:
        connection.execute(text(update), {"age": days * DAY_US})


@pytest.fixture
def old(engine: Engine) -> Engine:
    """Users 1 to 3 removed their reaction 40 days ago, user 4 today; 5 and 6 still have one."""
    client = engine.reactions
    for post in (POST, OTHER):
        client.react_many((user, post, "like") for user in range(1, 7))
        client.react_many((user, post, None) for user in range(1, 5))
    engine.drain()
    client.react_many((user, POST, None) for user in range(1, 5))
    engine.drain()
    age(engine, 40)
    return engine


def test_old_tombstones_go_and_their_counts_with_them(old: Engine, cleanup: Cleanup) -> None:
    assert removed(old).keys() == {1, 2, 3, 4}
    run = cleanup.run()
    assert run is not None
    assert run.repaired == 6
    assert removed(old).keys() == removed(old, OTHER).keys() == {4}
    assert old.queries.counts([POST]) == {POST: {1: 2}}
    assert old.queries.count_ever(POST) == 3
    assert old.verify().holds
    assert "6 tombstones" in DutyRuns(old.database).last()["cleanup"].detail


def test_it_works_in_batches_within_its_budget(old: Engine) -> None:
    settings = old.settings.model_copy(update={"batch_rows": 2})
    cleanup = Cleanup(old.client, old.database, settings)
    gone = []
    while (run := cleanup.run(0.0)) and run.repaired:
        gone.append(run.repaired)
    assert gone == [2, 2, 2]
    assert old.verify().holds


def test_none_goes_while_something_as_old_is_pending(old: Engine, cleanup: Cleanup) -> None:
    """The change may be older than a tombstone, and would win if the tombstone were gone."""
    old.reactions.react(1, 7042, "like")
    long_ago = old.clock.now_us() - 35 * DAY_US
    old.client.zadd(keys.outbox_dirty(42), {"7042": long_ago})
    run = cleanup.run()
    assert run is not None
    assert run.repaired == 0
    old.drain()
    run = cleanup.run()
    assert run is not None
    assert run.repaired == 6


def test_a_row_that_came_back_meanwhile_stays(old: Engine, cleanup: Cleanup) -> None:
    old.reactions.react(1, POST, "love")
    old.drain()
    assert cleanup.run() is not None
    assert old.reactions.reaction_of(1, POST) == "love"
    assert old.queries.reactions([POST])[POST] == {1: 2, 5: 1, 6: 1}
    assert old.verify().holds


def test_an_audit_under_way_moves_along(old: Engine, cleanup: Cleanup) -> None:
    audits = RowCounts(old.database)
    assert not audits.slice(POST, 5, repair=False).finished  # of six
    cleanup.run()
    found = audits.slice(POST, 5, repair=False)
    assert found.finished
    assert found.differences == {}


def test_the_index_finds_the_oldest_tombstones(old: Engine) -> None:
    query = (
        "EXPLAIN SELECT post_id, user_id FROM reactions WHERE reaction = 0 AND version <"
        " 1795000000000000 ORDER BY version LIMIT 2000"
    )
    with old.database.engine.connect() as connection:
        # The tables are small, so the planner would rather read and sort them whole.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_sort = off"))
        lines = connection.execute(text(query)).scalars().all()
    assert not [line for line in lines if "Seq Scan" in line], lines
    assert [line for line in lines if "version <" in line], lines


def test_old_records_go_and_totals_stay(engine: Engine, cleanup: Cleanup) -> None:
    duties = DutyRuns(engine.database)
    for _ in range(3):
        with duties.run("audit") as run:
            assert run is not None
            run.found["ledger"] += 2
            run.looked_at, run.repaired = 10, 2
    sql(engine, "UPDATE runs SET started_at = started_at - interval '31 days' WHERE id <= 2")
    done = cleanup.run()
    assert done is not None
    assert done.repaired == 2
    (total, _cleanup) = duties.totals()
    assert (total.runs, total.looked_at, total.repaired) == (3, 30, 6)
    assert total.kinds == {"ledger": 6}


def test_settings_reach_the_duty(engine: Engine) -> None:
    settings = engine.settings.model_copy(update={"tombstone_days": 1})
    made = make_engine(settings)
    made.reactions.react(1, POST, "like")
    made.reactions.unreact(1, POST)
    made.drain()
    age(made, 2)
    run = Cleanup(made.client, made.database, settings).run()
    assert run is not None
    assert run.repaired == 1
    made.close()
