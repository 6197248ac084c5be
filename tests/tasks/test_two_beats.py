"""Duties that are sent twice: by two beats, each with a schedule of its own, to real workers.

RedBeat's lock is a lease and no fence, so two beats may send for a moment. Whatever they send, at
most one run of a duty works at a time, and it finds what there is to find.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis
from sqlalchemy import text

from reactions.core.settings import Settings
from reactions.postgres.duty_runs import DutyRuns
from tests.support.engine import Engine
from tests.support.waiting import wait_until
from tests.tasks.crowd import (
    PATIENCE_S,
    THRESHOLD,
    Crowd,
    age_and_await_deletion,
    break_and_await_repair,
    sql,
)
from tests.tasks.flow import assert_durable
from tests.tasks.hasty_processes import Hasty, hasty, idle, sent

pytestmark = pytest.mark.slow

LEASE_S = 2.0
# Keys of tests/tasks/hasty.py in the broker. Importing that module would patch DutyRuns here.
REFUSED, INSIDE, TOGETHER = "hasty:refused", "hasty:inside", "hasty:together"
DUTIES = {
    *("audit", "reconcile-hot", "reconcile-regular", "reconcile-viral"),
    *("refresh", "cleanup", "virality", "loss_detection"),
}
ENTRIES = DUTIES - {"reconcile-regular"} | {"reconcile-rest", "erase", "sweep"}
"""Names in the schedule of Beat."""
OVERLAPS = """
SELECT a.duty, a.started_at, a.ended_at, b.started_at, b.ended_at
FROM runs AS a JOIN runs AS b ON a.duty = b.duty AND a.id < b.id
WHERE tstzrange(a.started_at, a.ended_at) && tstzrange(b.started_at, b.ended_at)
"""
STALLED = """
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%audits%'
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Posts become viral early, and hot only by a note. Blocked queries do not time out."""
    values = {"viral_threshold": THRESHOLD, "hot_rate": 1e6, "database_timeout_s": 20.0}
    return settings.model_copy(update={**values, "wake_interval_s": 0.2})


@pytest.fixture
def broker(settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(settings.broker_url.get_secret_value(), decode_responses=True) as client:
        yield client


def test_what_two_beats_send_runs_once_at_a_time_and_repairs_everything(
    engine: Engine, settings: Settings, broker: Redis, tmp_path: Path
) -> None:
    with hasty(settings, tmp_path, workers=1, children=3, HASTY_LINGER_S=2) as made:
        with Crowd(engine.reactions) as crowd:
            wait_until(partial(met, broker), PATIENCE_S, "two ask for each duty at once")
            assert_apart(engine, broker)
            break_and_await_repair(engine, crowd, 2001)
            age_and_await_deletion(engine, crowd, 2101)
            made.beats[0].kill()
            before = sent(made.beats[1])
            break_and_await_repair(engine, crowd, 3001)
            age_and_await_deletion(engine, crowd, 3101)
        wait_until(lambda: (sent(made.beats[1]) - before).keys() == ENTRIES, PATIENCE_S, "all sent")
        wait_until(lambda: not engine.outbox_state.pending(), PATIENCE_S, "everything is durable")
        wait_until(lambda: engine.verify().holds, PATIENCE_S, "everything is repaired")
        made.beats[1].kill()
        wait_until(partial(idle, broker), PATIENCE_S, "everything sent is done")
        assert [worker.alive() for worker in made.workers] == [True]
    assert_durable(engine, crowd)
    assert [sent(beat).keys() for beat in made.beats] == [ENTRIES, ENTRIES]
    assert_apart(engine, broker)
    assert_well_recorded(engine)


def met(broker: Redis) -> bool:
    """Whether each duty was asked for during a run of it, or two runs overlapped."""
    return set(broker.hkeys(REFUSED)) >= DUTIES or bool(broker.exists(TOGETHER))


def assert_apart(engine: Engine, broker: Redis) -> None:
    """No two runs of a duty overlapped, by their records and by what the workers saw."""
    assert sql(engine, OVERLAPS) == []
    assert broker.smembers(TOGETHER) == set()


def assert_well_recorded(engine: Engine) -> None:
    """Every duty ran, and each run ended well."""
    duties = DutyRuns(engine.database)
    totals = {total.duty: total for total in duties.totals()}
    assert totals.keys() == DUTIES | {"rebuild", "sweep", "erase"}
    assert duties.last().keys() >= DUTIES | {"rebuild"}
    assert {duty: total.failures for duty, total in totals.items() if total.failures} == {}
    assert sql(engine, "SELECT duty, error FROM runs WHERE error <> '' OR ended_at IS NULL") == []
    recorded = dict(sql(engine, "SELECT duty, count(*) FROM runs GROUP BY duty"))
    for quiet in (
        "loss_detection",
        "sweep",
        "erase",
    ):  # recorded only with findings
        recorded.pop(quiet, None)
    assert recorded == {duty: totals[duty].runs for duty in recorded}


def test_a_duty_whose_worker_was_killed_is_done_again_after_its_lease(
    engine: Engine, settings: Settings, broker: Redis, tmp_path: Path
) -> None:
    duties = DutyRuns(engine.database)
    with hasty(settings, tmp_path, workers=2, children=2, HASTY_LEASE_S=LEASE_S) as made:
        wait_until(lambda: "audit" in duties.last(), PATIENCE_S, "an audit")
        lost = [kill_an_audit(engine, broker, made, whole=whole) for whole in (False, True)]
        assert [worker.alive() for worker in made.workers].count(True) == 1
        # Neither a success nor a failure.
        assert {total.failures for total in duties.totals()} == {0}
        assert [(run.ended_at, run.error) for run in audits(engine) if run.id in lost] == [
            (None, None)
        ] * 2


def kill_an_audit(engine: Engine, broker: Redis, made: Hasty, *, whole: bool) -> int:
    """Kill an audit, wait until another worker has run it again, and return the lost record."""
    with engine.database.engine.begin() as connection:
        connection.execute(text("LOCK TABLE audits IN ACCESS EXCLUSIVE MODE"))
        wait_until(lambda: sql(engine, STALLED), PATIENCE_S, "an audit in the middle")
        lost = audits(engine)[-1]
        kill(made, int(str(broker.hget(INSIDE, "audit"))), whole=whole)
    assert lost.ended_at is None

    def again() -> list[Any]:
        return [run for run in audits(engine) if run.id > lost.id and run.ended_at]

    wait_until(again, PATIENCE_S, "another audit")
    assert again()[0].error is None
    assert again()[0].started_at - lost.started_at >= timedelta(seconds=LEASE_S)
    return int(lost.id)


def audits(engine: Engine) -> list[Any]:
    return sql(engine, "SELECT * FROM runs WHERE duty = 'audit' ORDER BY id")


def kill(made: Hasty, child: int, *, whole: bool) -> None:
    """Send SIGKILL to a process that runs a duty, or to its worker with all of its processes."""
    process = psutil.Process(child)
    if whole:
        next(worker for worker in made.workers if worker.pid == process.ppid()).kill()
    else:
        process.kill()
    wait_until(partial(dead, process), PATIENCE_S, "it is dead")


def dead(process: psutil.Process) -> bool:
    """Whether the process ended, even if its parent has not read the exit code yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
