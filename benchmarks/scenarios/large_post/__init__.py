"""One viral post with millions of rows: what it costs to check, repair, audit, load and read it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from redis import Redis
from sqlalchemy import event, text

from benchmarks.support import common, filling
from benchmarks.support.common import Show, quantiles, spread_id
from reactions.api.client import Reactions
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.drain.cache_loader import CacheLoader
from reactions.maintenance.checker import SLICE, PostChecker
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.postgres.row_counts import RowCounts
from reactions.redis import buckets, keys
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client, connect
from reactions.redis.post_snapshots import PostSnapshots

POST = 4_242
CHECKS, REPAIRS, LOADS, READS = 50, 20, 10, 20

ALONE_S = 0.5
"""How long a first read is given to have the sample cached, before a second user reads."""

SAMPLED_S = 5.0
POLL_S = 0.001

_PARTS = text(
    "SELECT CAST(CAST(inhrelid AS regclass) AS text) FROM pg_inherits"
    " WHERE inhparent = CAST('reactions' AS regclass)"
)

_RECEIVED = re.compile(r"^\[([\d-]+ [\d:,]+): .*Task reactions\.load\[([\w-]+)\] received")
_SUCCEEDED = re.compile(
    r"^\[([\d-]+ [\d:,]+): .*Task reactions\.load\[([\w-]+)\] succeeded in ([\d.e-]+)s"
)


def run(rows: int, workers: int, show: Show) -> dict[str, Any]:
    """Everything; the figures are those of the JSON. Times in ms."""
    with (
        common.folder("duties") as where,
        Stack(
            where, common.settings_with(), concurrency=workers, flower=False, say=common.err.print
        ) as stack,
    ):
        stack.beat.stop()  # nobody else is to look at the post
        stack.worker.stop()
        settings = stack.settings
        database = Database(settings, name="reactions-bench", timeout_s=1_200)
        shape = filling.Shape(rows, settings.viral_threshold, 0, max(1, 6 * 3_600_000_000 // rows))
        began = time.monotonic()
        filling.fill(database, {POST: rows}, shape, show)
        filled = time.monotonic() - began
        database.close()
        # As a worker has it: the timeouts, and what the planner is told.
        database = Database(settings, name="reactions-bench")
        figures = {
            "rows": rows,
            "filled_s": round(filled, 1),
            "system_load": round(os.getloadavg()[0], 1),
            **Quiet(settings, database).measure(show),
        }
        stack.supervise()
        stack.beat.stop()  # it would notice the loss, and load what is measured here
        stack.worker.wait_until(lambda: bool(stack.worker_stats()))
        figures["first_read"] = FirstReads(stack).measure(show)
        database.close()
        return figures


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long it took, in ms, and what it returned."""
    began = time.perf_counter()
    found = call()
    return (time.perf_counter() - began) * 1e3, found


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements sent meanwhile, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def sent(*args: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        seen.append((args[2], args[3]))

    event.listen(database.engine, "before_cursor_execute", sent)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", sent)


# -- on quiet servers --------------------------------------------------------------------------


class Quiet:
    """Measures with nobody else at work."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._client: Client = connect(settings)
        self._database = database
        self._cache = CacheInstall(self._client, settings)
        self._queries = Queries(database)
        self._loader = CacheLoader(self._cache, self._queries, settings)
        self._checker = PostChecker(self._client, database, settings)
        self._row_counts = RowCounts(database)
        self._codes = list(settings.reaction_types.values())

    def measure(self, show: Show) -> dict[str, Any]:
        return {
            "load": self._load(show),
            "check": self._check(show),
            "repair": self._repair(show),
            "audit": self._audit(show),
        }

    def _load(self, show: Show) -> dict[str, Any]:
        """With nothing in Redis, with its HyperLogLog alone; and what its queries take."""
        cold: list[float] = []
        counted: list[float] = []
        for number in range(2 * LOADS):
            self._client.flushall()
            if number % 2:
                self._client.pfadd(keys.post_uniques(POST), "1")
            ms, loaded = timed(lambda: self._loader.load([POST]))
            _ensure(loaded == 1, "the post was not loaded")
            (counted if number % 2 else cold).append(ms)
            show("loading", number + 1, 2 * LOADS)
        parts = {
            "counts": lambda: self._queries.counts([POST]),
            "newest 1,250": lambda: self._queries.newest(
                POST, self._codes, limit=SAMPLE_SIZE * 5 // 4
            ),
        }
        with statements(self._database) as sent:
            self._client.flushall()
            self._loader.load([POST])
        return {
            "ms": quantiles(cold),
            "ms_with_uniques": quantiles(counted),
            "statements": len(sent),
            "uniques_cached": self._cache.has_uniques(POST),
            "queries_ms": {
                name: quantiles(timed(ask)[0] for _ in range(LOADS)) for name, ask in parts.items()
            },
        }

    def _check(self, show: Show) -> dict[str, Any]:
        took: list[float] = []
        for number in range(CHECKS):
            ms, checked = timed(lambda: self._checker.check([POST]))
            _ensure(POST in checked.decided, "the post was not compared")
            _ensure(not checked.differences, f"it differs: {checked.differences}")
            took.append(ms)
            show("checking", number + 1, CHECKS)
        with statements(self._database) as sent:
            self._checker.check([POST])
        scans = [self._sequential(statement, parameters) for statement, parameters in sent]
        return {
            "ms": quantiles(took),
            "statements": len(sent),
            "seq_scans_of_reactions": sum(scans),
            "statements_in_short": [" ".join(statement.split())[:90] for statement, _ in sent],
        }

    def _repair(self, show: Show) -> dict[str, Any]:
        """Of a sample whose newest user went missing."""
        took: list[float] = []
        kinds: set[str] = set()
        for number in range(REPAIRS):
            self._client.lpop(keys.post_recent(POST))
            found = self._checker.check([POST]).differences
            _ensure(bool(found), "the damage was not found")
            kinds.update(str(difference.kind) for difference in found)
            took.append(timed(partial(self._checker.repair, found))[0])
            left = self._checker.check([POST])
            _ensure(not left.differences, f"not repaired: {left.differences}")
            _ensure(left.snapshots[POST].sampled, "no sample after the repair")
            show("repairing", number + 1, REPAIRS)
        return {"ms": quantiles(took), "found": sorted(kinds)}

    def _audit(self, show: Show) -> dict[str, Any]:
        took: list[float] = []
        looked_at = 0
        began = time.monotonic()
        while True:
            ms, audited = timed(lambda: self._row_counts.slice(POST, SLICE, repair=True))
            took.append(ms)
            looked_at += audited.looked_at
            show("auditing", len(took), max(len(took), 250))
            if audited.finished:
                break
        return {
            "slice": SLICE,
            "slice_ms": quantiles(took),
            "slices": len(took),
            "seconds": round(time.monotonic() - began, 2),
            "looked_at": looked_at,
            "differences": len(audited.differences),
        }

    def _sequential(self, statement: str, parameters: Any) -> int:  # noqa: ANN401 - the driver's
        """How many sequential scans of rows its plan has."""
        with self._database.transaction() as connection:
            parts = set(connection.scalars(_PARTS))
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            found: Any = plan.scalar_one()
        return sum(
            node["Node Type"] == "Seq Scan" and node["Relation Name"] in {*parts, "reactions"}
            for node in _nodes(found[0]["Plan"])
        )


def _nodes(plan: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _ensure(met: bool, otherwise: str) -> None:
    if not met:
        raise RuntimeError(otherwise)


# -- the first read after a loss ---------------------------------------------------------------


@dataclass(slots=True)
class _Round:
    """One loss. Moments in s since 1970."""

    read: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each read."""
    asked: float = 0.0
    published: tuple[float, float] = (0.0, 0.0)
    """Begin and end of the publish."""
    sampled: float = 0.0


class FirstReads:
    """Loses everything, reads, and waits until the worker has the sample cached again."""

    def __init__(self, stack: Stack) -> None:
        settings = stack.settings
        self._stack = stack
        self._client = Redis.from_url(settings.redis_url.get_secret_value())
        self._snapshots = PostSnapshots(connect(settings))
        self._web = Reactions(settings)
        self._web._read_path()
        self._now = _Round()
        self._spy()

    def measure(self, show: Show) -> dict[str, Any]:
        self._round(1)  # the connections are opened
        offset = self._stack.worker.log.stat().st_size
        rounds: list[_Round] = []
        for number in range(READS):
            rounds.append(self._round(1_000 + 10 * number))
            show("first reads", number + 1, READS)
        time.sleep(0.5)
        self._web.close()
        with self._stack.worker.log.open(errors="replace") as log:
            log.seek(offset)
            tasks = _tasks(log.read())
        alone = sum(len(each.read) == 1 for each in rounds)
        begin = 0 if alone == len(rounds) else 1
        return {
            "first_read_ms": _ms(each.read[0] for each in rounds),
            "cached_after_the_first_read_alone": alone,
            "second_read_ms": _ms(each.read[1] for each in rounds if len(each.read) > 1),
            "read_that_asked": begin + 1,
            "until_sampled_ms": _ms((each.read[-1][0], each.sampled) for each in rounds),
            "split_ms": _split(rounds, tasks),
        }

    def _spy(self) -> None:
        """Note when a load is asked for, and when its message is on the broker."""
        relay = self._web._relay
        ask, publish = relay.request_load, relay._publish

        def asked(post_id: int) -> None:
            self._now.asked = time.time()
            ask(post_id)

        def published(shards: list[int], posts: list[int], pause: float) -> float:
            began = time.time()
            left = publish(shards, posts, pause)
            self._now.published = began, time.time()
            return left

        relay.request_load = asked  # type: ignore[method-assign]
        relay._publish = published  # type: ignore[method-assign]

    def _round(self, first_user: int) -> _Round:
        self._now = now = _Round()
        self._client.flushall()
        self._web._read_path().feeds._asked.clear()  # as if it had not asked for the post lately
        for user, patience in ((first_user, ALONE_S), (first_user + 1, SAMPLED_S)):
            began = time.time()
            self._web.summaries([POST], spread_id(user, 31))
            now.read.append((began, time.time()))
            if self._sampled(now, patience):
                return now
        raise RuntimeError("the sample was not cached")

    def _sampled(self, now: _Round, patience: float) -> bool:
        """A look costs little until the mark is there; then all of it is looked at."""
        deadline = time.monotonic() + patience
        name, mark = keys.post_reactions(POST), str(buckets.MARK)
        while time.monotonic() < deadline:
            found: Any = self._client.hget(name, mark)
            if int(found or 0) < 0:
                now.sampled = time.time()
                _ensure(
                    self._snapshots.snapshots([POST])[0].sampled, "a part of the sample is missing"
                )
                return True
            time.sleep(POLL_S)
        return False


@dataclass(slots=True)
class _Task:
    """A load, by the worker's log (ms are the best it has)."""

    received: float
    began: float = 0.0
    ended: float = 0.0


def _tasks(log: str) -> list[_Task]:
    found: dict[str, _Task] = {}
    for line in log.splitlines():
        if match := _RECEIVED.match(line):
            found[match[2]] = _Task(_moment(match[1]))
        elif (match := _SUCCEEDED.match(line)) and match[2] in found:
            task = found[match[2]]
            task.ended = _moment(match[1])
            task.began = task.ended - float(match[3])
    return sorted((task for task in found.values() if task.ended), key=lambda task: task.received)


def _moment(written: str) -> float:
    return datetime.strptime(written, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def _split(rounds: list[_Round], tasks: list[_Task]) -> dict[str, dict[str, float]]:
    """Where the time goes between the read that asked and the sample."""
    pairs = [
        (each, task)
        for each in rounds
        for task in tasks
        # The log is a ms or so behind.
        if each.published[0] - 0.002 <= task.received <= each.sampled + 0.002
    ]
    if not pairs:
        return {}
    return {
        "the read, until it asks": _ms((each.read[-1][0], each.asked) for each, _ in pairs),
        "the relay gathers": _ms((each.asked, each.published[0]) for each, _ in pairs),
        "the relay publishes": _ms(each.published for each, _ in pairs),
        "published until received": _ms((each.published[1], t.received) for each, t in pairs),
        "received until begun": _ms((task.received, task.began) for _, task in pairs),
        "begun until the sample is there": _ms((t.began, each.sampled) for each, t in pairs),
    }


def _ms(spans: Any) -> dict[str, float]:  # noqa: ANN401 - an iterable of (begin, end)
    return quantiles([(end - begin) * 1e3 for begin, end in spans] or [0.0])
