"""Loads, checks, repairs and audits of the post, on servers with no other work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import event, text

from benchmarks.support.output import Show
from benchmarks.support.statistics import quantiles, timed
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.maintenance.checker import SLICE, PostChecker
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.postgres.row_counts import RowCounts
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client, connect
from reactions.redis.keys import default_keys as keys

POST = 4_242

CHECKS, REPAIRS, LOADS = 50, 20, 10

_PARTS = text(
    "SELECT CAST(CAST(inhrelid AS regclass) AS text) FROM pg_inherits"
    " WHERE inhparent = CAST('reactions' AS regclass)"
)


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are sent within the block, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def sent(*args: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        seen.append((args[2], args[3]))

    event.listen(database.engine, "before_cursor_execute", sent)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", sent)


class Quiet:
    """Measures the duties with no other work on the servers. Times are in ms."""

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
        """Measure all of them, one after the other."""
        return {
            "load": self._load(show),
            "check": self._check(show),
            "repair": self._repair(show),
            "audit": self._audit(show),
        }

    def _load(self, show: Show) -> dict[str, Any]:
        """Load with nothing in Redis, then with the HyperLogLog alone; and time the queries."""
        cold: list[float] = []
        counted: list[float] = []
        for number in range(2 * LOADS):
            self._client.flushall()
            if number % 2:
                self._client.pfadd(keys.post_uniques(POST), "1")
            ms, loaded = timed(lambda: self._loader.load([POST]))
            ensure(loaded == 1, "the post was not loaded")
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
        """Compare the stores, and look for sequential scans in the plans."""
        took: list[float] = []
        for number in range(CHECKS):
            ms, checked = timed(lambda: self._checker.check([POST]))
            ensure(POST in checked.decided, "the post was not compared")
            ensure(not checked.differences, f"it differs: {checked.differences}")
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
        """Repair a sample whose newest user is missing."""
        took: list[float] = []
        kinds: set[str] = set()
        for number in range(REPAIRS):
            self._client.lpop(keys.post_recent(POST))
            found = self._checker.check([POST]).differences
            ensure(bool(found), "the damage was not found")
            kinds.update(str(difference.kind) for difference in found)
            took.append(timed(partial(self._checker.repair, found))[0])
            left = self._checker.check([POST])
            ensure(not left.differences, f"not repaired: {left.differences}")
            ensure(left.snapshots[POST].sampled, "no sample after the repair")
            show("repairing", number + 1, REPAIRS)
        return {"ms": quantiles(took), "found": sorted(kinds)}

    def _audit(self, show: Show) -> dict[str, Any]:
        """Audit the counts of the post, slice by slice."""
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
        """The number of sequential scans of the rows in the plan of a statement."""
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


def ensure(met: bool, otherwise: str) -> None:
    """Raise RuntimeError unless a condition is met."""
    if not met:
        raise RuntimeError(otherwise)
