"""Plays one rate against one version: processor time, messages, SQL, and lag of a reaction."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.scenarios.rates.system import WRITERS, System
from benchmarks.support.checkout import Child, ask_all
from benchmarks.support.statement_log import count_statements
from reactions.core.latency_histogram import percentile
from reactions.demo.replay import quantile

FIRST_POST, POSTS = 1_000, 5_000
USERS = 1_000_000
WARM_S = 3.0
WARM_RATE = 200.0
LAGS_S = 0.5
"""A drain writes its last lags a moment after it settled its posts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each rate is played.

    Attributes:
        seconds: of the measured time; SQL statements are counted in a second run of this length.
        idle_s: of the idle time before each; what it costs is taken off.
        rates: reactions a second of all four writers; 0 is as fast as they can.
    """

    seconds: float
    idle_s: float
    rates: Sequence[float]
    rounds: int
    workers: int


def warm(system: System, children: Sequence[Child]) -> None:
    """Connections, plans and imports of all processes."""
    _react(children, WARM_RATE, WARM_S, seed=0)
    system.settle()


def measure(
    system: System, children: Sequence[Child], rate: float, plan: Plan, seed: int
) -> dict[str, Any]:
    """The figures of one reaction at this rate. Processor times in ms, lags in ms."""
    idle = _idle(system, plan.idle_s)
    before, lags, began = system.used(), Counter(system.lags()), time.monotonic()
    answers = _react(children, rate, plan.seconds, seed)
    system.settle()
    took = time.monotonic() - began
    used = system.used().since(before, idle, took / plan.idle_s)
    calls = sum(answer["calls"] for answer in answers)
    time.sleep(LAGS_S)
    return {
        "reactions": calls,
        "per_s": round(calls / took, 1),
        "workers_ms": round(used.workers * 1e3 / calls, 3),
        "postgres_ms": round(used.postgres * 1e3 / calls, 3),
        "client_us": round(sum(answer["cpu_s"] for answer in answers) * 1e6 / calls, 1),
        "messages": round(used.messages / calls, 3),
        **_lags(system, lags, answers),
        **_statements(system, children, rate, plan, seed),
    }


def _idle(system: System, seconds: float) -> Any:  # noqa: ANN401 - system.Used
    before = system.used()
    time.sleep(seconds)
    return system.used().since(before)


def _lags(system: System, before: Counter[int], answers: Sequence[Any]) -> dict[str, Any]:
    """By the drains' histogram; for PostgreSQL alone the time of the call itself."""
    react = sorted(each for answer in answers for each in answer["times_us"])
    found = Counter(system.lags()) - before
    lags = (
        {"lag_p50_ms": percentile(found, 0.5), "lag_p99_ms": percentile(found, 0.99)}
        if system.workers
        else {"lag_p50_ms": quantile(react, 0.5), "lag_p99_ms": quantile(react, 0.99)}
    )
    times = {"react_p50_us": quantile(react, 0.5), "react_p99_us": quantile(react, 0.99)}
    return {
        **{name: round(lag / 1e3, 1) for name, lag in lags.items()},
        **{name: round(each, 1) for name, each in times.items()},
    }


def _react(children: Sequence[Child], rate: float, seconds: float, seed: int) -> list[Any]:
    """All writers together at this rate, on users of their own."""
    share = USERS // WRITERS
    return ask_all(
        children,
        [
            {
                "posts": [FIRST_POST, POSTS],
                "users": [1 + number * share, share],
                "seconds": seconds,
                "rate": rate / WRITERS,
                "seed": seed * WRITERS + number,
            }
            for number in range(len(children))
        ],
    )


def _statements(
    system: System, children: Sequence[Child], rate: float, plan: Plan, seed: int
) -> dict[str, float]:
    """Statements and transactions a reaction, in a run that logs them; without the idle ones."""
    with _logged(system) as idle:
        time.sleep(plan.idle_s)
    with _logged(system) as sent:
        began = time.monotonic()
        answers = _react(children, rate, plan.seconds, seed + 1_000)
        system.settle()
        times = (time.monotonic() - began) / plan.idle_s
    calls = sum(answer["calls"] for answer in answers)
    found = {
        kind: round((sent[kind] - times * idle[kind]) / calls, 3)
        for kind in ("statements", "transactions")
    }
    if not system.workers:  # PostgreSQL alone: each statement is a transaction of its own
        found["transactions"] = found["statements"]
    return found


@contextmanager
def _logged(system: System) -> Iterator[Counter[str]]:
    """Count what everybody but this benchmark sends within the block; filled in at its end."""
    counted: Counter[str] = Counter()
    system.admin(
        "ALTER SYSTEM SET log_statement = 'all'",
        "ALTER SYSTEM SET log_line_prefix = '%a|'",
        "SELECT pg_reload_conf()",
    )
    time.sleep(0.2)  # each server process hears of it
    try:
        with system.postgres.log.open(errors="replace") as log:
            log.seek(0, os.SEEK_END)
            yield counted
            lines = [line for line in log if not line.startswith("rates|")]
    finally:
        system.admin(
            "ALTER SYSTEM RESET log_statement",
            "ALTER SYSTEM RESET log_line_prefix",
            "SELECT pg_reload_conf()",
        )
    counted.update(count_statements(lines))
