"""Forty million real rows on one post: react, read, reconcile, lose all of Redis, rebuild.

``python -m benchmarks forty`` (``make bench-40m``) needs about 12 GB of disk. Times are in ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import click

from benchmarks.scenarios.large_post.first_reads import FirstReads
from benchmarks.scenarios.large_post.quiet import POST, Quiet
from benchmarks.support import filling, machine, output
from benchmarks.support.arena import Arena, arena, wait
from benchmarks.support.ids import spread_id
from benchmarks.support.output import Show
from benchmarks.support.post_keys import memory_of_post
from benchmarks.support.statement_log import logged
from benchmarks.support.statistics import quantiles, timed
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.constants import SHARDS
from reactions.core.latency_histogram import percentile
from reactions.maintenance.checker import PostChecker
from reactions.maintenance.epochs import Epochs
from reactions.maintenance.rebuild import Rebuild
from reactions.postgres.database import Database
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox_state import OutboxState
from reactions.redis.post_snapshots import PostSnapshots

REACTS, READS = 10_000, 200
SPAN_US = 7 * 86_400_000_000
"""Time from the first reaction to the last."""


def run(arena: Arena, rows: int, show: Show) -> dict[str, Any]:
    """Run everything; returns the figures of the JSON."""
    arena.empty()
    shape = filling.Shape(rows, arena.settings.viral_threshold, 0, max(1, SPAN_US // rows))
    ms, _ = timed(lambda: filling.fill(arena.database, {POST: rows}, shape, show))
    found: dict[str, Any] = {"rows": rows, "filled_s": round(ms / 1e3, 1), "disk": _disk(arena)}
    database = Database(arena.settings, name="reactions-bench")  # with the timeouts of a worker
    found["quiet"] = Quiet(arena.settings, database).measure(show)
    database.close()
    arena.start_ours()
    try:
        found["memory"] = {"after_load": _memory(arena)}
        found["react"] = _react(arena, rows, show)
        found["read"] = _read(arena, rows, show)
        found["memory"]["after_reacts"] = _memory(arena)
        found["loss"] = _lose(arena, show)
        found["memory"]["rebuilt"] = _memory(arena)
        found["verified"] = _verified(arena)
        arena.stack.beat.stop()  # beat would load the post before the reads do
        found["first_read"] = FirstReads(arena.stack).measure(show)
    finally:
        arena.stop_workers()
    return found


def _disk(arena: Arena) -> dict[str, int]:
    """Bytes of the tables and of their indexes."""
    ((heap, indexes),) = arena.execute(
        "SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid))"
        " FROM pg_partition_tree('reactions') WHERE isleaf"
    )
    return {"table": int(heap), "indexes": int(indexes)}


def _memory(arena: Arena) -> dict[str, int]:
    """Bytes of the post's keys, and of all data in Redis."""
    stats: Any = arena.redis.info("memory")
    return {
        "post": memory_of_post(arena.redis, POST),
        "used_memory": int(stats["used_memory_dataset"]),
    }


def _react(arena: Arena, rows: int, show: Show) -> dict[str, Any]:
    """One thread reacts at full speed; every other user has reacted on the post before."""
    names = list(arena.settings.reaction_types)
    took: list[float] = []
    with logged(arena, "reactions-api") as web, logged(arena, "reactions-worker") as workers:
        with Reactions(arena.settings) as client:
            for number in range(REACTS):
                user = spread_id(1 + number * 3_571 % rows, 31) if number % 2 else 1 + number
                name = names[number % len(names)]
                took.append(timed(partial(client.react, user, POST, name))[0])
                if number % 500 == 0:
                    show("reacting", number, REACTS)
        outbox = OutboxState(arena.redis, arena.settings)
        wait(lambda: not outbox.dirty_posts())
    return {
        "ms": quantiles(took),
        "lag_p99_ms": round(percentile(outbox.lags(), 0.99) / 1e3, 1),
        "statements_of_web": web["statements"],
        "statements_of_workers": dict(workers),
    }


def _read(arena: Arena, rows: int, show: Show) -> dict[str, Any]:
    """One thread reads; its users reacted long ago, or never."""
    users = count(7)

    def user() -> int:
        number = next(users)
        return spread_id(1 + number * 7_919 % rows, 31) if number % 2 else 2 + number

    with logged(arena, "reactions-api") as sent, Reactions(arena.settings) as client:
        calls: Mapping[str, Callable[[], object]] = {
            "counts()": lambda: client.counts(POST),
            "summaries()": lambda: client.summaries([POST], user()),
            "reaction_of()": lambda: client.reaction_of(user(), POST),
            "recent()": lambda: client.recent(POST),
            "uniques()": lambda: client.uniques(POST),
            "reactors()": lambda: client.reactors(POST),
            "reactors(), page by page": _pages(client),
        }
        found: dict[str, Any] = {}
        for done, (name, call) in enumerate(calls.items()):
            found[name] = quantiles(timed(call)[0] for _ in range(READS))
            show("reading", done + 1, len(calls))
    return {"ms": found, "calls": READS * len(found), "statements": sent["statements"]}


def _pages(client: Reactions) -> Callable[[], object]:
    """A function that reads the next page at each call."""

    def walk() -> Iterator[object]:
        cursor: str | None = None
        while True:
            page = client.reactors(POST, cursor=cursor)
            cursor = page.cursor
            yield page

    pages = walk()
    return lambda: next(pages)


def _lose(arena: Arena, show: Show) -> dict[str, Any]:
    """Empty Redis while worker and beat run, and wait until it is rebuilt."""
    client = connect(arena.settings)
    rebuild = Rebuild(client, arena.database, arena.settings)
    cache = PostSnapshots(client, arena.settings)
    epochs = Epochs(client, arena.database, arena.settings)
    wait(lambda: len(epochs.in_database()) == SHARDS and not rebuild.unfinished())
    show("lost", 0, 2)
    began = time.monotonic()
    arena.redis.flushall()
    wait(rebuild.unfinished)
    noticed = time.monotonic() - began
    show("lost", 1, 2)
    wait(lambda: not rebuild.unfinished())
    rebuilt = time.monotonic() - began
    show("lost", 2, 2)
    return {
        "noticed_s": round(noticed, 2),
        "rebuilt_s": round(rebuilt, 2),
        "sampled": cache.snapshots([POST])[0].sampled,
    }


def _verified(arena: Arena) -> dict[str, Any]:
    """Compare the stores; PostgreSQL counts the rows one by one."""
    checked = PostChecker(connect(arena.settings), arena.database, arena.settings).check([POST])
    rows = arena.execute(
        f"SELECT reaction, count(*) FROM reactions WHERE post_id = {POST} GROUP BY 1 ORDER BY 1"  # noqa: S608
    )
    counts = arena.execute(
        f"SELECT reaction, count FROM reaction_counts WHERE post_id = {POST} ORDER BY 1"  # noqa: S608
    )
    cached: Any = arena.redis.hgetall(keys.post_reaction_counts(POST))
    live = {int(code): int(number) for code, number in rows if code}
    return {
        "decided": POST in checked.decided,
        "differences": [str(each) for each in checked.differences],
        "counts_table_exact": [tuple(row) for row in rows] == [tuple(row) for row in counts],
        "cached_counts_exact": {int(c): int(n) for c, n in cached.items() if int(n)} == live,
    }


def print_tables(found: Mapping[str, Any], markdown: bool) -> None:
    """Print the tables."""
    quiet, first = found["quiet"], found["first_read"]
    times = {
        "react()": found["react"]["ms"],
        **found["read"]["ms"],
        "reconciliation: a check": quiet["check"]["ms"],
        "repair of the sample": quiet["repair"]["ms"],
        "load, nothing in Redis": quiet["load"]["ms"],
        "a slice of an audit": quiet["audit"]["slice_ms"],
        "first summaries() after FLUSHALL": first["first_read_ms"],
        "until the sample is cached then": first["until_sampled_ms"],
    }
    output.print_table(
        f"One post with {found['rows']:,} rows, in ms",
        ["what", "n", "p50", "p99", "max"],
        [[name, *took.values()] for name, took in times.items()],
        markdown,
    )
    plain = {
        "filled, s": found["filled_s"],
        **{f"bytes on disk: {name}": size for name, size in found["disk"].items()},
        **{
            f"bytes, {when}: {what}": size
            for when, of in found["memory"].items()
            for what, size in of.items()
        },
        "lag p99, ms": found["react"]["lag_p99_ms"],
        f"SQL statements of {REACTS:,} react()": found["react"]["statements_of_web"],
        "SQL statements of the workers meanwhile": found["react"]["statements_of_workers"][
            "statements"
        ],
        f"SQL statements of {found['read']['calls']:,} reads": found["read"]["statements"],
        "SQL statements of a check": quiet["check"]["statements"],
        "SQL statements of a load": quiet["load"]["statements"],
        "a whole audit, s": quiet["audit"]["seconds"],
        **{f"loss: {what}": value for what, value in found["loss"].items()},
        **{f"in the end: {what}": str(value) for what, value in found["verified"].items()},
    }
    output.print_table("And", ["figure", "value"], [list(each) for each in plain.items()], markdown)


@click.command(context_settings=output.HELP)
@click.option(
    "--rows", type=click.IntRange(20_000, 100_000_000), default=40_000_000, show_default=True
)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@output.as_markdown
@output.as_json
def main(rows: int, workers: int, as_markdown: bool, as_json: bool) -> None:
    """Measure every operation on one very large post."""
    output.quiet_logs()
    with bars(36) as show, arena(workers) as servers:
        found = {"machine": machine.describe(servers), **run(servers, rows, show)}
    print_tables(found, as_markdown)
    output.finish(found, as_json)
