"""Redis loses everything while users react: how soon is that noticed and rebuilt, and is it right?

The whole system runs, and a writer reacts on posts of a cached working set. After one FLUSHALL,
beat and the workers do the rest. Then the rows are compared with what was acknowledged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import text

from benchmarks.scenarios.rebuild.caches import Cached, cached
from benchmarks.scenarios.rebuild.judge import judge
from benchmarks.scenarios.rebuild.writer import FIRST_VIRAL, USERS, Plan, Writer, sizes
from benchmarks.support import filling, output, servers
from benchmarks.support.output import Show
from benchmarks.support.statistics import quantiles
from benchmarks.support.waiting import wait_until
from reactions.core.constants import SHARDS
from reactions.demo.stack import Stack
from reactions.maintenance.epochs import Epochs
from reactions.maintenance.rebuild import Rebuild
from reactions.maintenance.verify import Verification, Verifier
from reactions.postgres.database import Database
from reactions.redis.connection import Client, connect
from reactions.redis.outbox_state import OutboxState

VIRAL_ROWS = 20_000

LEAD_IN_S, LEAD_OUT_S = 12.0, 3.0
"""Seconds with the writer alone: before the loss, and after the rebuild."""

PATIENCE_S = 180.0

POLL_S = 0.05


def run(plan: Plan, show: Show) -> dict[str, Any]:
    """Run the scenario; returns the figures of the JSON."""
    with (
        servers.temporary_folder("rebuild") as where,
        Stack(
            where,
            servers.settings_with(),
            concurrency=plan.workers,
            flower=False,
            say=output.err.print,
        ) as stack,
    ):
        return _run(plan, stack, show)


@dataclass(slots=True)
class _Loss:
    """The loss of Redis, and how many seconds after it something happened."""

    at_us: int
    """When Redis lost everything, by its own clock; versions use the same clock."""
    noticed_s: float = 0.0
    rebuilt_s: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    """Phase -> average number of busy connections in PostgreSQL."""


def _run(plan: Plan, stack: Stack, show: Show) -> dict[str, Any]:
    settings = stack.settings
    client, database = connect(settings), Database(settings, name="reactions-bench", timeout_s=600)
    duty = Rebuild(client, database, settings)
    posts = {FIRST_VIRAL + number: VIRAL_ROWS for number in range(plan.viral)}
    posts |= sizes(plan.posts, plan.rows)
    shape = filling.Shape(USERS, settings.viral_threshold, 20 * 3_600, 1_000)
    filling.fill(database, posts, shape, show)
    duty.load(list(posts))
    cached_before = cached(client, settings, posts)
    epochs = Epochs(client, database, settings)
    _until(stack, lambda: _watched(epochs, duty), "the epochs are written")
    start_us = _now_us(client)
    with Writer(settings, posts, plan.rate) as writer:
        loss = _lose(client, database, duty, stack, show)
        cached_then = cached(client, settings, posts)
        since = {each.pair[0] for each in writer.written if (each.version or 0) >= loss.at_us}
        _sleep(LEAD_OUT_S, stack, "after the rebuild", show)
    outbox = OutboxState(client, settings)
    _until(stack, lambda: not outbox.pending(), "nothing is pending")
    verified = Verifier(client, database, settings).verify(
        lambda done, total: show("verifying", done, total)
    )
    figures = {
        "posts": len(posts),
        "viral": plan.viral,
        "rows": sum(posts.values()),
        "system_load": round(os.getloadavg()[0], 1),
        **_rebuilt(loss, cached_before, cached_then, since),
        "cached_at_the_end_percent": cached(client, settings, posts).percent,
        "rebuilds": _rebuilds(database),
        **_written(writer),
        **judge(database, writer.written, loss.at_us, start_us),
        **_verified(verified),
    }
    database.close()
    return figures


def _rebuilt(loss: _Loss, before: Cached, then: Cached, since: set[int]) -> dict[str, Any]:
    """When the loss was noticed and repaired, and what was cached before and after it.

    Args:
        since: posts that were written to after the loss.
    """
    return {
        "noticed_s": round(loss.noticed_s, 2),
        "rebuilt_s": round(loss.rebuilt_s, 2),
        "cached_before_percent": before.percent,
        "cached_percent": then.percent,
        "counts_cached_percent": then.counts_percent,
        "not_cached": len(then.lacking),
        "not_cached_nor_written_since": len(then.lacking - since),
        "busy_connections": loss.busy,
    }


def _written(writer: Writer) -> dict[str, Any]:
    return {
        "write_ms": quantiles(writer.took),
        "writes": len(writer.written),
        "failed_writes": writer.failed,
    }


def _verified(verified: Verification) -> dict[str, Any]:
    return {
        "pending": verified.pending,
        "dead_letters": verified.dead_letters,
        "undecided": verified.undecided,
        "holds": verified.holds,
        "found": {str(kind): number for kind, number in verified.found.items()},
        "examples": verified.examples,
    }


def _lose(client: Client, database: Database, duty: Rebuild, stack: Stack, show: Show) -> _Loss:
    active = [_active_ms(database)]
    _sleep(LEAD_IN_S, stack, "only the writer", show)
    active.append(_active_ms(database))
    with client.pipeline(transaction=True) as pipe:
        pipe.time()
        pipe.flushall()
        (seconds, micros), _ = pipe.execute()
    loss = _Loss(seconds * 1_000_000 + micros)
    began = time.monotonic()
    _until(stack, duty.unfinished, "the loss is noticed")
    loss.noticed_s = time.monotonic() - began
    active.append(_active_ms(database))
    _until(stack, lambda: not duty.unfinished(), "Redis is rebuilt")
    loss.rebuilt_s = time.monotonic() - began
    active.append(_active_ms(database))
    for phase, (before, after) in zip(
        ("writer alone", "lost, not noticed", "rebuild"), pairwise(active), strict=True
    ):
        loss.busy[phase] = round((after[1] - before[1]) / max(1.0, after[0] - before[0]), 3)
    return loss


def _active_ms(database: Database) -> tuple[float, float]:
    """The time now, and the time that all connections were busy until now, in ms."""
    with database.transaction() as connection:
        active = connection.scalar(
            text("SELECT active_time FROM pg_stat_database WHERE datname = current_database()")
        )
    return time.monotonic() * 1e3, float(active or 0)


def _rebuilds(database: Database) -> dict[str, Any]:
    """The records of the duty ``rebuild``."""
    with database.transaction() as connection:
        runs, looked_at, cached, seconds = connection.execute(
            text(
                "SELECT count(*), sum(looked_at), sum(repaired),"
                " sum(extract(epoch FROM ended_at - started_at))"
                " FROM runs WHERE duty = 'rebuild'"
            )
        ).one()
    return {
        "runs": runs,
        "posts": int(looked_at or 0),
        "cached": int(cached or 0),
        "seconds": round(float(seconds or 0), 2),
    }


def _watched(epochs: Epochs, duty: Rebuild) -> bool:
    return len(epochs.in_database()) == SHARDS and not duty.unfinished()


def _until(stack: Stack, condition: Callable[[], object], what: str) -> None:
    """Wait, and restart processes of the stack that died."""
    wait_until(condition, PATIENCE_S, what, every_s=POLL_S, meanwhile=stack.supervise)


def _sleep(seconds: float, stack: Stack, phase: str, show: Show) -> None:
    for second in range(int(seconds)):
        stack.supervise()
        time.sleep(1.0)
        show(phase, second + 1, int(seconds))


def _now_us(client: Client) -> int:
    seconds, micros = client.time()
    return int(seconds * 1_000_000 + micros)
