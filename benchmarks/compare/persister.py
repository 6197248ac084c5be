"""The persister beside a bare SQL batch of the same rows, in one process, on the same tables.

It is timed as a whole, from claims to settlements, and by its transactions alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import islice
from typing import Any

import psycopg2

from benchmarks.compare.workloads import Workload
from benchmarks.support.arena import Arena
from benchmarks.support.output import Show
from benchmarks.support.statistics import spread
from reactions.api.client import Reactions
from reactions.core.constants import SHARDS
from reactions.core.model import Row
from reactions.drain.persister import Persister
from reactions.postgres.database import array
from reactions.postgres.ledger import Ledger
from reactions.redis.connection import connect

TOGETHER = 1_000

Rows = Sequence[tuple[int, int, int, int]]
"""(post, user, code, version), sorted."""

_TEMPORARY = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming
    (post_id bigint, user_id bigint, reaction smallint, version bigint) ON COMMIT DELETE ROWS
"""

_UNNEST = """unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[])
    AS t (post_id, user_id, reaction, version)"""

# The LATERAL looks up old rows one by one: a plain join may read whole partitions.
_BATCH = """
WITH new AS MATERIALIZED (SELECT * FROM {source}), before AS (
    SELECT post_id, user_id, old.reaction FROM new CROSS JOIN LATERAL (
        SELECT reaction FROM reactions AS r
        WHERE r.post_id = new.post_id AND r.user_id = new.user_id LIMIT 1
    ) AS old
), written AS (
    INSERT INTO reactions AS r (post_id, user_id, reaction, version)
    SELECT post_id, user_id, reaction, version FROM new
    ON CONFLICT (post_id, user_id)
    DO UPDATE SET reaction = excluded.reaction, version = excluded.version
    WHERE r.version < excluded.version
    RETURNING r.post_id, r.user_id, r.reaction
), steps AS (
    SELECT post_id, reaction, 1 AS step FROM written
    UNION ALL
    SELECT post_id, before.reaction, -1 FROM before JOIN written USING (post_id, user_id)
)
INSERT INTO reaction_counts AS c (post_id, reaction, count)
SELECT post_id, reaction, sum(step) FROM steps GROUP BY post_id, reaction ORDER BY 1, 2
ON CONFLICT (post_id, reaction) DO UPDATE SET count = c.count + excluded.count
"""


def measure(arena: Arena, rows: int, rounds: int, show: Show) -> dict[str, Any]:
    """Rows a second of each way, on one hot post and on posts of Zipf popularity."""
    found: dict[str, Any] = {"rows": rows}
    persister = make(arena)
    for workload in ("hot", "zipf"):
        ways: dict[str, list[float]] = {
            way: [] for way in ("persister", "ledger", "unnest", "copy")
        }
        order = list(ways)
        for number in range(rounds):
            changes = changes_of(workload, number, rows)
            for way in order[number % 4 :] + order[: number % 4]:
                arena.empty()
                if way == "persister":
                    took = drain(arena, persister, changes)
                elif way == "ledger":
                    took = _record(arena, changes)
                else:
                    took = _sql(arena, changes, way == "copy")
                ways[way].append(len(changes) / took)
            show(f"persister, {workload}", number + 1, rounds)
        found[workload] = {way: spread(rates) for way, rates in ways.items()}
        for way, name in (("persister", "ratio"), ("ledger", "ledger_ratio")):
            found[workload][name] = spread(
                [
                    ours / max(sql)
                    for ours, *sql in zip(ways[way], ways["unnest"], ways["copy"], strict=True)
                ]
            )
    return found


def changes_of(workload: str, seed: int, rows: int) -> dict[tuple[int, int], int]:
    """(post, user) -> code, from this number of events."""
    events = islice(Workload(workload).operations(seed, 0, 1), rows)
    return {(event.posts[0], event.user): event.code for event in events}


def make(arena: Arena) -> Persister:
    """A persister that has its connections and scripts already, like a running worker."""
    persister = Persister(connect(arena.settings), arena.database, arena.settings)
    drain(arena, persister, {(1, 1): 1})
    return persister


def drain(arena: Arena, persister: Persister, changes: Mapping[tuple[int, int], int]) -> float:
    """Make these changes, and drain them; returns the seconds, with claims and settlements."""
    names: dict[int, str | None] = {0: None}
    names |= {code: name for name, code in arena.settings.reaction_types.items()}
    items = [(user, post, names[code]) for (post, user), code in changes.items()]
    with Reactions(arena.settings) as web:
        for start in range(0, len(items), TOGETHER):
            web.react_many(items[start : start + TOGETHER])
    todo: Sequence[int] = range(SHARDS)
    began = time.perf_counter()
    while todo:
        todo = persister.drain(todo).leftover
    return time.perf_counter() - began


def _rows(changes: Mapping[tuple[int, int], int]) -> Rows:
    now = int(time.time() * 1e6)
    ordered = sorted(changes.items())
    return [(post, user, code, now + n) for n, ((post, user), code) in enumerate(ordered)]


def _record(arena: Arena, changes: Mapping[tuple[int, int], int]) -> float:
    ledger, size = Ledger(arena.database), arena.settings.batch_rows
    rows = [Row(*row) for row in _rows(changes)]
    ledger.record(rows[:1])  # opens the connection
    began = time.perf_counter()
    for start in range(0, len(rows), size):
        ledger.record(rows[start : start + size])
    return time.perf_counter() - began


def _sql(arena: Arena, changes: Mapping[tuple[int, int], int], copy: bool) -> float:
    rows = _rows(changes)
    url = arena.settings.database_url.get_secret_value().replace("+psycopg2", "", 1)
    connection = psycopg2.connect(url, options="-c search_path=reactions")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_TEMPORARY)
        began = time.perf_counter()
        for start in range(0, len(rows), arena.settings.batch_rows):
            piece = rows[start : start + arena.settings.batch_rows]
            with connection, connection.cursor() as cursor:  # a transaction
                _write(cursor, piece, copy)
        return time.perf_counter() - began
    finally:
        connection.close()


def _write(cursor: Any, rows: Rows, copy: bool) -> None:  # noqa: ANN401 - psycopg2 has no types
    if copy:
        lines = StringIO("".join(f"{a}\t{b}\t{c}\t{d}\n" for a, b, c, d in rows))
        cursor.copy_expert("COPY incoming FROM STDIN", lines)
        cursor.execute(_BATCH.format(source="incoming"))
    else:
        columns = [array(column) for column in zip(*rows, strict=True)]
        cursor.execute(_BATCH.format(source=_UNNEST), columns)
