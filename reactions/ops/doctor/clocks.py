"""Clocks: those of the stores against that of this host, and versions against that of Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from redis import Redis
from sqlalchemy import func, select, text

from reactions.core.settings import Settings
from reactions.maintenance.clock_repair import AHEAD_US, ClockRepair
from reactions.ops.doctor.findings import Finding, Findings, State, guarded
from reactions.postgres.database import Database
from reactions.redis.clock import Clock as RedisClock
from reactions.redis.connection import Client
from reactions.redis.memory_usage import nodes

TRIES = 3
"""Measurements of each clock; the quickest one counts."""

Clock: TypeAlias = Callable[[], float]
"""Returns the time of a server, in seconds since 1970."""


def check_clocks(client: Client | None, database: Database | None, settings: Settings) -> Findings:
    """Compare the clocks of this host and of the stores; None stands for a store without answer.

    A drain uses nine tenths of its lease, so that clocks may differ by a tenth of ``lease_s``.
    """
    clocks: dict[str, Clock] = {}
    if client is not None:
        clocks |= {name: partial(_redis_time, node) for name, node in nodes(client)}
    if database is not None:
        clocks["postgresql"] = partial(_postgres_time, database)
    if clocks:
        yield from guarded("clocks", lambda: _compare(clocks, settings.lease_s))
    if client is not None:
        if database is not None:
            repair = ClockRepair(client, database, settings)
            yield from guarded("versions", lambda: _versions(repair.ahead_us()))
        else:
            yield from guarded("versions", lambda: _versions(_given_out(client, settings)))


def _compare(clocks: Mapping[str, Clock], lease_s: float) -> Findings:
    offsets = {"this host": 0.0} | {name: _offset(clock) for name, clock in clocks.items()}
    skew = max(offsets.values()) - min(offsets.values())
    found = ", ".join(f"{name} {offset:+.3f} s" for name, offset in offsets.items())
    if skew <= lease_s / 10:
        yield Finding("clocks", State.OK, found)
    else:
        state = State.FAILURE if skew > lease_s else State.WARNING
        remedy = "run an NTP client on each host: the clocks differ by more than lease_s / 10"
        yield Finding("clocks", state, found, remedy)


def _versions(ahead_us: Mapping[int, int]) -> Findings:
    """Name the shards that gave out versions in the future: the clock of Redis was set back."""
    ahead = {shard: by / 1e6 for shard, by in ahead_us.items() if by > AHEAD_US}
    if not ahead:
        yield Finding("versions", State.OK, "no shard is ahead of the clock of Redis")
        return
    shard = max(ahead, key=lambda shard: ahead[shard])
    others = f", and {len(ahead) - 1} other shards less" if len(ahead) > 1 else ""
    found = f"shard {shard} is {ahead[shard]:,.0f} s ahead of the clock of Redis{others}"
    remedy = (
        "new reactions of these shards have a time in the future, and come first in the histories"
        " of users: wait until the clock of Redis has caught up; or, once it is right, stop workers"
        " and beat, and run `reactions clock --repair`"
    )
    yield Finding("versions", State.WARNING, found, remedy)


def _given_out(client: Client, settings: Settings) -> Mapping[int, int]:
    return RedisClock(client, settings).readings().ahead_us()


def _offset(clock: Clock) -> float:
    """Seconds that a clock is ahead of this host; the quickest answer is the most precise."""
    tries = []
    for _ in range(TRIES):
        before = time.time()
        answer = clock()
        after = time.time()
        tries.append((after - before, answer - (before + after) / 2))
    return min(tries)[1]


def _redis_time(node: Redis) -> float:
    seconds, micros = node.time()
    return float(seconds) + float(micros) / 1e6


def _postgres_time(database: Database) -> float:
    with database.transaction() as connection:
        # The first statement also begins the transaction, which takes a round trip of its own.
        connection.execute(text("SELECT 1"))
        return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)
