"""Redis loses everything while people react: how soon is it noticed and rebuilt, and is it right?

The whole system runs; a writer reacts on posts of a working set that is cached, one FLUSHALL comes,
and beat and the workers do the rest. Then what was acknowledged is held against the rows.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import text

from benchmarks.support import common, filling
from benchmarks.support.common import Show, quantiles, spread_id
from reactions.api.client import Reactions
from reactions.core.constants import SHARDS
from reactions.core.errors import ReactionsError
from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.maintenance.epochs import Epochs
from reactions.maintenance.rebuild import Rebuild
from reactions.maintenance.verify import Verifier
from reactions.postgres.database import Database, array
from reactions.redis.connection import Client, connect
from reactions.redis.outbox_state import OutboxState
from reactions.redis.post_snapshots import PostSnapshots

USERS = 200_000
FIRST_REGULAR, FIRST_VIRAL = 1_000, 900_000
VIRAL_ROWS = 20_000
LARGEST = 2_000
"""Reactions on the largest regular post."""

KNOWN = 0.3
"""Share of writes by somebody who has reacted on that post before."""
REMOVALS = 0.05

LEAD_IN_S, LEAD_OUT_S = 12.0, 3.0
"""Only the writer, before the loss and after the rebuild."""

PATIENCE_S = 180.0
LOOK_S = 0.05

Pair = tuple[int, int]
"""(post, user)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The working set and what is done to it."""

    posts: int
    viral: int
    rows: int
    rate: float
    workers: int


@dataclass(frozen=True, slots=True)
class Written:
    """One acknowledged reaction; without a version nothing had to be written."""

    pair: Pair
    code: int
    version: int | None


def sizes(posts: int, rows: int) -> dict[int, int]:
    """post -> reactions, by Zipf's law from 1 to LARGEST, about so many together."""

    def law(most: float) -> list[int]:
        return [max(1, min(LARGEST, int(most / rank))) for rank in range(1, posts + 1)]

    low, high = 1.0, float(LARGEST * posts)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (middle, high) if sum(law(middle)) < rows else (low, middle)
    return dict(enumerate(law(high), start=FIRST_REGULAR))


class Writer:
    """Reacts at a steady rate on random posts, in a thread, and keeps what was acknowledged."""

    def __init__(self, settings: Settings, world: Mapping[int, int], rate: float) -> None:
        self._settings = settings
        self._world = world
        self._rate = rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written: list[Written] = []
        self.took: list[float] = []
        """ms of each call."""
        self.failed = 0

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        chance, posts = random.Random(1), list(self._world)
        names: dict[int, str | None] = {0: None}
        names |= {code: name for name, code in self._settings.reaction_types.items()}
        due = time.monotonic()
        with Reactions(self._settings) as client:
            while not self._end.wait(max(0.0, due - time.monotonic())):
                due += 1 / self._rate
                post = chance.choice(posts)
                number = chance.randint(1, USERS)
                if chance.random() < KNOWN:
                    number = 1 + (post * 7_919 + chance.randint(1, self._world[post])) % USERS
                code = 0 if chance.random() < REMOVALS else chance.randint(1, len(names) - 1)
                self._react(client, spread_id(number, 31), post, code, names[code])

    def _react(self, client: Reactions, user: int, post: int, code: int, name: str | None) -> None:
        began = time.perf_counter()
        try:
            outcome = client.react(user, post, name) if name else client.unreact(user, post)
        except ReactionsError:
            self.failed += 1
            return
        self.took.append((time.perf_counter() - began) * 1e3)
        self.written.append(Written((post, user), code, outcome.version))


def run(plan: Plan, show: Show) -> dict[str, Any]:
    """Everything; the figures are those of the JSON."""
    with (
        common.folder("rebuild") as where,
        Stack(
            where,
            common.settings_with(),
            concurrency=plan.workers,
            flower=False,
            say=common.err.print,
        ) as stack,
    ):
        return _run(plan, stack, show)


@dataclass(slots=True)
class _Loss:
    """What was seen of the loss. Seconds after it."""

    at_us: int
    """By the clock of Redis, which is that of the versions."""
    noticed_s: float = 0.0
    rebuilt_s: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    """Connections at work in PostgreSQL, on average, in each phase."""


def _run(plan: Plan, stack: Stack, show: Show) -> dict[str, Any]:
    settings = stack.settings
    client, database = connect(settings), Database(settings, name="reactions-bench", timeout_s=600)
    duty = Rebuild(client, database, settings)
    world = sizes(plan.posts, plan.rows)
    viral = {FIRST_VIRAL + number: VIRAL_ROWS for number in range(plan.viral)}
    everything = {**viral, **world}
    shape = filling.Shape(USERS, settings.viral_threshold, 20 * 3_600, 1_000)
    filling.fill(database, everything, shape, show)
    duty.load(list(everything))
    cached_before = _cached(client, everything)
    epochs = Epochs(client, database)
    _until(lambda: len(epochs.in_database()) == SHARDS and not duty.unfinished(), stack)
    start_us = _now_us(client)
    with Writer(settings, everything, plan.rate) as writer:
        loss = _lose(client, database, duty, stack, show)
        cached = _cached(client, everything)
        since = {each.pair[0] for each in writer.written if (each.version or 0) >= loss.at_us}
        _sleep(LEAD_OUT_S, stack, "after the rebuild", show)
    outbox = OutboxState(client, settings)
    _until(lambda: not outbox.pending(), stack)
    verified = Verifier(client, database, settings).verify(
        lambda done: show("verifying", done, len(everything))
    )
    figures = {
        "posts": len(everything),
        "viral": plan.viral,
        "rows": sum(everything.values()),
        "system_load": round(os.getloadavg()[0], 1),
        "noticed_s": round(loss.noticed_s, 2),
        "rebuilt_s": round(loss.rebuilt_s, 2),
        "cached_before_percent": cached_before.percent,
        "cached_percent": cached.percent,
        "counts_cached_percent": cached.counts_percent,
        "not_cached": len(cached.lacking),
        "not_cached_nor_written_since": len(cached.lacking - since),
        "cached_at_the_end_percent": _cached(client, everything).percent,
        "busy_connections": loss.busy,
        "rebuilds": _rebuilds(database),
        "write_ms": quantiles(writer.took),
        "writes": len(writer.written),
        "failed_writes": writer.failed,
        **judge(database, writer.written, loss.at_us, start_us),
        "pending": verified.pending,
        "dead_letters": verified.dead_letters,
        "undecided": verified.undecided,
        "holds": verified.holds,
        "found": {str(kind): number for kind, number in verified.found.items()},
        "examples": verified.examples,
    }
    database.close()
    return figures


def _lose(client: Client, database: Database, duty: Rebuild, stack: Stack, show: Show) -> _Loss:
    marks = [_active_ms(database)]
    _sleep(LEAD_IN_S, stack, "only the writer", show)
    marks.append(_active_ms(database))
    with client.pipeline(transaction=True) as pipe:
        pipe.time()
        pipe.flushall()
        (seconds, micros), _ = pipe.execute()
    loss = _Loss(seconds * 1_000_000 + micros)
    began = time.monotonic()
    _until(duty.unfinished, stack)
    loss.noticed_s = time.monotonic() - began
    marks.append(_active_ms(database))
    _until(lambda: not duty.unfinished(), stack)
    loss.rebuilt_s = time.monotonic() - began
    marks.append(_active_ms(database))
    for phase, (before, after) in zip(
        ("writer alone", "lost, not noticed", "rebuild"), pairwise(marks), strict=True
    ):
        loss.busy[phase] = round((after[1] - before[1]) / max(1.0, after[0] - before[0]), 3)
    return loss


def _active_ms(database: Database) -> tuple[float, float]:
    """Now, and how long connections were at work until now, in ms."""
    with database.transaction() as connection:
        active = connection.scalar(
            text("SELECT active_time FROM pg_stat_database WHERE datname = current_database()")
        )
    return time.monotonic() * 1e3, float(active or 0)


def _rebuilds(database: Database) -> dict[str, Any]:
    """What the workers noted of it."""
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


@dataclass(frozen=True, slots=True)
class _Cached:
    """What Redis has.

    Attributes:
        percent: of posts of which it has what their tier is to have of users.
        lacking: the others.
    """

    percent: float
    counts_percent: float
    lacking: set[int]


def _cached(client: Client, posts: Iterable[int]) -> _Cached:
    cache, wanted = PostSnapshots(client), list(posts)
    lacking: set[int] = set()
    counted = 0
    for start in range(0, len(wanted), 200):
        chunk = wanted[start : start + 200]
        for post, snapshot in zip(chunk, cache.snapshots(chunk), strict=True):
            counted += bool(snapshot.counts)
            if not (snapshot.complete or snapshot.sampled):
                lacking.add(post)
    return _Cached(
        round(100 * (1 - len(lacking) / len(wanted)), 2),
        round(100 * counted / len(wanted), 2),
        lacking,
    )


# -- the judgement -----------------------------------------------------------------------------


def judge(
    database: Database, written: Sequence[Written], lost_us: int, start_us: int
) -> dict[str, Any]:
    """What was acknowledged against the rows; versions tell what came before the loss."""
    before: dict[Pair, int] = {}
    after: dict[Pair, Written] = {}
    versions: dict[Pair, set[int]] = {}
    lost_by_now = False
    for each in written:
        if each.version is not None:
            versions.setdefault(each.pair, set()).add(each.version)
            lost_by_now = lost_by_now or each.version >= lost_us
        if lost_by_now:
            after[each.pair] = each
        elif each.version is not None:
            before[each.pair] = each.version
    rows = _rows(database, {each.pair for each in written})
    ages = [
        (lost_us - version) / 1e3
        for pair, version in before.items()
        if pair not in rows or rows[pair][1] < version
    ]
    wrong = [
        each
        for pair, each in after.items()
        if rows.get(pair, (0, None))[0] != each.code
        or (each.version is not None and rows[pair][1] != each.version)
    ]
    invented = [
        pair
        for pair, version in _since(database, start_us)
        if version not in versions.get(pair, ())
    ]
    return {
        "acknowledged_before": len(before),
        "lost_before": len(ages),
        "lost_ages_ms": quantiles(ages) if ages else None,
        "acknowledged_after": len(after),
        "wrong_after": len(wrong),
        "wrong_after_examples": [str((each, rows.get(each.pair))) for each in wrong[:5]],
        "invented": len(invented),
    }


def _rows(database: Database, pairs: set[Pair]) -> dict[Pair, tuple[int, int]]:
    """(post, user) -> (code, version)."""
    ordered = sorted(pairs)
    with database.transaction() as connection:
        found = connection.execute(
            text(
                "SELECT post_id, user_id, reaction, version FROM reactions JOIN"
                " unnest(CAST(:posts AS bigint[]), CAST(:users AS bigint[]))"
                " AS wanted (post_id, user_id) USING (post_id, user_id)"
            ),
            {
                "posts": array(post for post, _ in ordered),
                "users": array(user for _, user in ordered),
            },
        )
        return {(post, user): (code, version) for post, user, code, version in found}


def _since(database: Database, start_us: int) -> list[tuple[Pair, int]]:
    """Rows written since, with their versions."""
    with database.transaction() as connection:
        found = connection.execute(
            text("SELECT post_id, user_id, version FROM reactions WHERE version >= :start"),
            {"start": start_us},
        )
        return [((post, user), version) for post, user, version in found]


# -- waiting -----------------------------------------------------------------------------------


def _until(met: Callable[[], bool], stack: Stack) -> None:
    """Poll until it is so.

    Raises:
        TimeoutError: it was not, for PATIENCE_S.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError("the system did not get there")
        stack.supervise()
        time.sleep(LOOK_S)


def _sleep(seconds: float, stack: Stack, phase: str, show: Show) -> None:
    for second in range(int(seconds)):
        stack.supervise()
        time.sleep(1.0)
        show(phase, second + 1, int(seconds))


def _now_us(client: Client) -> int:
    seconds, micros = client.time()
    return int(seconds * 1_000_000 + micros)
