"""Duties that are sent twice: by two beats, each with a schedule of its own, to real workers.

RedBeat's lock is a lease and no fence, so two beats may send for a while. Whatever is sent, one run
of a duty is on at a time, and what it is there to find is found.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis
from sqlalchemy import text

from reactions.core.constants import shard_of
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.maintenance.compare import Kind
from reactions.maintenance.epochs import Loss
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis import keys
from tests.support.engine import Engine
from tests.support.nodes import CeleryProcess, LocalContainer, LocalWorker, running
from tests.support.waiting import wait_until
from tests.tasks.flow import Flow, assert_durable

PATIENCE_S = 30
LEASE_S = 2.0

# What tests/tasks/hasty.py notes in the broker; it is not imported here, as it patches.
REFUSED, INSIDE, TOGETHER = "hasty:refused", "hasty:inside", "hasty:together"

DUTIES = {
    *("audit", "reconcile-hot", "reconcile-regular", "reconcile-viral"),
    *("refresh", "cleanup", "virality", "loss_detection"),
}
ENTRIES = DUTIES - {"reconcile-regular"} | {"reconcile-rest", "erase", "sweep"}
"""Names in the schedule of Beat."""

REGULAR, VIRAL = (1001, 1002, 1003, 1004), 1042
FEW, MANY = 6, 25  # users of a regular post, and of a viral one
THRESHOLD = 20

OLD = (
    "SELECT 1 FROM runs WHERE started_at < now() - interval '30 days'"
    " UNION ALL SELECT 1 FROM reactions WHERE reaction = 0 AND version = 1000"
)
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
    """Posts become viral early, and hot by a note only; what a test holds up does not give up."""
    values = {"viral_threshold": THRESHOLD, "hot_rate": 1e6, "database_timeout_s": 20.0}
    return settings.model_copy(update={**values, "wake_interval_s": 0.2})


@pytest.fixture
def broker(settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(settings.broker_url.get_secret_value(), decode_responses=True) as client:
        yield client


def sql(engine: Engine, statement: str, **values: object) -> list[Any]:
    with engine.database.transaction() as connection:
        answer = connection.execute(text(statement), values)
        return list(answer) if answer.returns_rows else []


# -- processes -------------------------------------------------------------------------------------


@dataclass
class Hasty:
    """Workers and beats of ``tests/tasks/hasty.py``."""

    workers: list[CeleryProcess] = field(default_factory=list)
    beats: list[CeleryProcess] = field(default_factory=list)


@contextmanager
def hasty(
    settings: Settings, folder: Path, *, workers: int, children: int, **variables: float
) -> Iterator[Hasty]:
    """Workers and two beats without a lock, started together.

    Args:
        children: processes of each worker.
        variables: of ``tests/tasks/hasty.py``.
    """
    env = {
        **settings.environment(),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **{name: str(value) for name, value in variables.items()},
    }
    made = Hasty()
    for number in range(workers):
        options = [f"--concurrency={children}", f"--queues={LocalWorker.worker_queue()}"]
        options += ["--without-gossip", "--without-mingle", f"--hostname=hasty-{number}@%h"]
        command = hasty_command("worker", *options)
        made.workers.append(CeleryProcess(f"worker-{number}", folder, command, env, "ready."))
    for number in range(2):
        schedule = f"--schedule={folder / f'schedule-{number}'}"
        command = hasty_command("beat", "--scheduler=celery.beat:PersistentScheduler", schedule)
        made.beats.append(CeleryProcess(f"beat-{number}", folder, command, env, "beat: Starting"))
    containers = map(LocalContainer, [*made.workers, *made.beats])
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        list(pool.map(stack.enter_context, map(running, containers)))
        yield made


def hasty_command(command: str, *options: str) -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "tests.tasks.hasty"]
    return [*celery, command, "--loglevel=INFO", "--pidfile=", *options]


def sent(beat: CeleryProcess) -> Counter[str]:
    """How often a beat sent each entry of its schedule."""
    return Counter(re.findall(r"Sending due task (\S+) ", beat.output()))


def idle(broker: Redis) -> bool:
    """No message is waiting, and none is in a worker's hands."""
    queues = LocalWorker.worker_queue().split(",")
    return not sum(broker.llen(queue) for queue in queues) and not broker.hlen("unacked")


# -- reactions -------------------------------------------------------------------------------------


class Crowd(Flow):
    """Few users react on regular posts, many on one that goes viral."""

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            if self._random.random() < 0.5:
                user, post = self._random.randint(1, 8 * MANY), VIRAL
            else:
                user, post = self._random.randint(1, 2 * FEW), self._random.choice(REGULAR)
            self.act(user, post, self._random.choice(["like", "love", "wow", None]))
            self.acknowledged += 1

    def act(self, user: int, post: int, name: str | None) -> None:
        """React, or take it away, and note what must come of it."""
        if name is None:
            self._reactions.unreact(user, post)
            self.expected[post].pop(user, None)
        else:
            self._reactions.react(user, post, name)
            self.expected[post][user] = self._reactions.settings.reaction_types[name]


def sound(engine: Engine, crowd: Crowd, post: int) -> bool:
    """What users see of a post, and the counts in the database, are what was reacted."""
    expected = crowd.expected[post]
    types = engine.settings.reaction_types
    shown = {types[name]: count for name, count in engine.reactions.counts(post).items()}
    stored = engine.queries.counts([post])[post]
    newest = list(expected.items())[::-1] if len(expected) >= THRESHOLD else None
    return (
        +Counter(shown) == +Counter(stored) == Counter(expected.values())
        and engine.cache.recent(post, MANY) == newest
    )


# -- damage ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """To a post that nobody reacts on meanwhile, so that it is a duty that finds it, no drain."""

    kind: str
    duties: tuple[str, ...]
    """Those that look for it."""
    do: Callable[[Engine, int], object]
    users: int = FEW
    removed: int = 0
    """Of them, those who take their reaction away again."""
    tier: PostTier | None = None
    """To be noted of the post beforehand."""


def wrong_count(engine: Engine, post: int) -> object:
    return engine.client.hincrby(keys.post_reaction_counts(post), "1", 5)


def wrong_total(engine: Engine, post: int) -> object:
    return engine.client.incrby(keys.post_total_reactions(post), 3)


def wrong_order(engine: Engine, post: int) -> object:
    return engine.client.lmove(keys.post_recent(post), keys.post_recent(post), "RIGHT", "LEFT")


def lost_sample(engine: Engine, post: int) -> object:
    return engine.client.delete(keys.post_reactions(post))


def wrong_row(engine: Engine, post: int) -> object:
    return sql(engine, "UPDATE reaction_counts SET count = count + 7 WHERE post_id = :p", p=post)


def false_alarm(engine: Engine, post: int) -> None:
    """As if it had been viral before its time, and nobody reacted on it any more."""
    engine.client.set(keys.post_viral(post), "2", px=60_000)
    note_tier(engine, post, PostTier.RISING)


def note_tier(engine: Engine, post: int, tier: PostTier) -> None:
    engine.posts.note_tiers({post: tier}, int(engine.clock.now_us()))


DAMAGES = (
    Damage(Kind.COUNTS, ("reconcile-regular",), wrong_count),
    Damage(Kind.COUNTS, ("reconcile-hot",), wrong_count, tier=PostTier.HOT),
    Damage(Kind.TOTAL, ("reconcile-viral",), wrong_total, MANY),
    Damage(Kind.SAMPLE, ("reconcile-viral", "refresh"), wrong_order, MANY),
    Damage(Kind.MISSING, ("refresh",), lost_sample, MANY),
    Damage(Kind.LEDGER, ("audit",), wrong_row),
    Damage("calm", ("virality",), false_alarm, MANY, removed=MANY - THRESHOLD + 2),
)

Found = Counter[tuple[str, str]]
"""(duty, kind) -> how many of it were found."""


def found(engine: Engine) -> Found:
    totals = DutyRuns(engine.database).totals()
    return Counter({(t.duty, kind): number for t in totals for kind, number in t.kinds.items()})


def found_since(engine: Engine, before: Found, kind: str, duties: tuple[str, ...]) -> bool:
    new = found(engine) - before
    return any(new[duty, kind] for duty in duties)


def cached(engine: Engine, posts: Mapping[int, Damage]) -> bool:
    """Nothing is pending on these posts, and Redis has what their tier is to have."""
    snapshots = engine.post_snapshots.snapshots(list(posts))
    return all(
        seen.counts
        and not (seen.pending or seen.claimed)
        and (damage.users < THRESHOLD or (seen.sampled and seen.viral and seen.total))
        for damage, seen in zip(posts.values(), snapshots, strict=True)
    )


def break_and_await_repair(engine: Engine, crowd: Crowd, first_post: int) -> None:
    """Damage of every kind at once; returns when duties have found and repaired all of it."""
    before = found(engine)
    posts = dict(enumerate(DAMAGES, first_post))
    for post, damage in posts.items():
        if damage.tier is not None:
            note_tier(engine, post, damage.tier)
        for user in range(1, damage.users + 1):
            crowd.act(user, post, ("like", "love")[user % 2])
    wait_until(partial(cached, engine, posts), PATIENCE_S, "viral posts")
    for post, damage in posts.items():
        for user in range(1, damage.removed + 1):
            crowd.act(user, post, None)
    wait_until(partial(cached, engine, posts), PATIENCE_S, "something to damage")
    for post, damage in posts.items():
        damage.do(engine, post)
    wrong_count(engine, REGULAR[0])  # what repairs these two, a duty or
    wrong_order(engine, VIRAL)  # the next reactions, is open
    for post, damage in posts.items():
        seen = partial(found_since, engine, before, damage.kind, damage.duties)
        wait_until(seen, PATIENCE_S, f"{damage.duties} find {damage.kind}")
        wait_until(partial(sound, engine, crowd, post), PATIENCE_S, f"{damage.kind} is repaired")
    lose_a_mark(engine, before)


def lose_a_mark(engine: Engine, before: Found) -> None:
    """As if a shard of Redis had begun anew; returns when all is done that is done then."""
    mark = keys.outbox_epoch(shard_of(VIRAL))

    def noticed() -> bool:
        if found_since(engine, before, Loss.EMPTY, ("loss_detection",)):
            return True
        # Again and again: a watch that has looked already writes the mark anew, and sees nothing.
        engine.client.delete(mark)
        return False

    wait_until(noticed, PATIENCE_S, "the loss is noticed")
    wait_until(lambda: engine.client.exists(mark), PATIENCE_S, "the shard is marked anew")
    rest = "SELECT 1 FROM redis_epochs WHERE rebuild > 0"
    wait_until(lambda: not sql(engine, rest), PATIENCE_S, "the working set is loaded")


def age_and_await_deletion(engine: Engine, crowd: Crowd, post: int) -> None:
    """Leave a tombstone and a record that nobody needs any more; returns when they are gone."""
    crowd.act(1, post, "like")
    crowd.act(1, post, None)
    aging = (
        "UPDATE reactions SET version = 1000 WHERE post_id = :post AND reaction = 0"
        " RETURNING user_id"
    )
    wait_until(lambda: sql(engine, aging, post=post), PATIENCE_S, "a tombstone")
    sql(engine, "INSERT INTO runs (duty, started_at) VALUES ('audit', now() - interval '31 days')")
    wait_until(lambda: not sql(engine, OLD), PATIENCE_S, "what is old is deleted")


# -- tests -----------------------------------------------------------------------------------------


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
    """Of each duty a run went on while it was asked for, or so did two runs of one."""
    return set(broker.hkeys(REFUSED)) >= DUTIES or bool(broker.exists(TOGETHER))


def assert_apart(engine: Engine, broker: Redis) -> None:
    """No two runs of a duty overlapped: by their records, and by what the workers saw."""
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
    """In the middle; returns its record once another worker has done the audit again."""
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
    """SIGKILL to a process that is at a duty, or to its worker with all of its processes."""
    process = psutil.Process(child)
    if whole:
        next(worker for worker in made.workers if worker.pid == process.ppid()).kill()
    else:
        process.kill()
    wait_until(partial(dead, process), PATIENCE_S, "it is dead")


def dead(process: psutil.Process) -> bool:
    """Also when nobody has asked for its exit code yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
