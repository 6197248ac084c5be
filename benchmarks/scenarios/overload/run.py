"""One run: write for some time, drain the backlog, and compare the stores."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from redis import Redis

from benchmarks.scenarios.overload.watch import Sample, Watch
from benchmarks.scenarios.overload.writers import Plan, Written, expected, work
from benchmarks.support import machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.processes import Processes, shared_counters, web_processes
from benchmarks.support.statistics import quantiles
from reactions.core.settings import Settings
from reactions.demo.replay import quantile
from reactions.demo.stack import Stack
from reactions.maintenance.verify import Verifier, mismatched
from reactions.postgres.database import Database

CATCH_UP_S = 1_800.0

GOAL_MS = 50.0


def run(plan: Plan, growing: bool, workers: int, show: Show) -> dict[str, Any]:
    """One set of pairs on a fresh system; returns the figures of the JSON."""
    with (
        servers.temporary_folder("overload") as where,
        Stack(
            where, servers.settings_with(), concurrency=workers, flower=False, say=output.err.print
        ) as stack,
    ):
        return _run(plan, growing, stack, show)


def _run(plan: Plan, growing: bool, stack: Stack, show: Show) -> dict[str, Any]:
    counters = shared_counters(plan.writers)
    calls = [(plan, number, growing, counters) for number in range(plan.writers)]
    with web_processes(work, stack.settings.environment(), calls) as writers:
        watch = Watch(stack, plan, growing, counters)
        began = time.monotonic()
        _watch(stack, plan, writers, watch, show)
    written: list[Written] = writers.results
    stopped = watch.sample()
    drained = _drain(stack, watch, stopped.pending, show)
    return {
        "pairs": "growing" if growing else "bounded",
        "machine": machine.summary(),
        **_figures(plan, watch, stopped, drained, written),
        "react_ms_by_rewriting": _by_rewriting(written, began, watch.samples),
        "seconds": _seconds(written, began, watch.samples),
        **_compare(stack.settings, expected(plan, growing, written), show),
    }


def _watch(stack: Stack, plan: Plan, writers: Processes, watch: Watch, show: Show) -> None:
    """Sample once a second until all writers are done."""
    due = time.monotonic()
    while not writers.finished():
        if time.monotonic() >= due:
            due += 1.0
            sample = watch.sample()
            stack.supervise()
            show("writing", int(sample.at), plan.seconds)
        time.sleep(0.02)


def _drain(stack: Stack, watch: Watch, most: int, show: Show) -> float:
    """Wait until everything is durable; returns the seconds, at most CATCH_UP_S."""
    began = time.monotonic()
    while (sample := watch.sample()).pending and time.monotonic() - began < CATCH_UP_S:
        show("draining", most - sample.pending, most)
        stack.supervise()
        time.sleep(0.25)
    return time.monotonic() - began


def _figures(
    plan: Plan, watch: Watch, stopped: Sample, drained: float, written: Sequence[Written]
) -> dict[str, Any]:
    took = [ms for each in written for ms in each.took]
    most = max(watch.samples, key=lambda sample: sample.pending)
    seconds = min(plan.seconds, stopped.at)
    return {
        "accepted": stopped.accepted,
        "accepted_per_s": round(stopped.accepted / seconds),
        "durable_per_s": round(stopped.durable / seconds),
        "react_ms": quantiles(took),
        "within_goal": quantile(sorted(took), 0.99) <= GOAL_MS,
        "most_pending": most.pending,
        "distinct_then": most.distinct,
        "used_then": most.used,
        "outbox_predicted_then": most.predicted,
        "caches_predicted_then": most.caches,
        "used_at_most": max(sample.used for sample in watch.samples),
        "used_over_predicted_at_most": round(
            max(s.used / (s.predicted + s.caches + 1e6) for s in watch.samples), 2
        ),
        "pending_at_the_end": stopped.pending,
        "drain_s": round(drained, 1),
        "drain_per_s": round(stopped.pending / drained) if drained else 0,
        "left": watch.samples[-1].pending,
        "used_after": watch.samples[-1].used,
        "evictable_keys_after": watch.evictable(),
    }


def _seconds(
    written: Sequence[Written], began: float, samples: Sequence[Sample]
) -> list[dict[str, Any]]:
    """Each sample, with the p99 of react() in the second before it; None without any call."""
    ended = sorted(
        (when - began, ms)
        for each in written
        for when, ms in zip(each.ended, each.took, strict=True)
    )
    found, at = [], 0
    for sample in samples:
        took = []
        while at < len(ended) and ended[at][0] <= sample.at:
            took.append(ended[at][1])
            at += 1
        p99 = round(quantile(sorted(took), 0.99), 2) if took else None
        found.append({**asdict(sample), "react_p99_ms": p99})
    return found


def _by_rewriting(
    written: Sequence[Written], began: float, samples: Sequence[Sample]
) -> dict[str, dict[str, float]]:
    """Times of react(): while Redis rewrites its append-only file, and at other times.

    A second counts as rewriting if the file was being rewritten at its beginning or at its end.
    """
    ends = [sample.at for sample in samples]
    took: dict[bool, list[float]] = {False: [], True: []}
    for each in written:
        for when, ms in zip(each.ended, each.took, strict=True):
            at = min(bisect_left(ends, when - began), len(samples) - 1)
            took[samples[at].rewriting or samples[max(0, at - 1)].rewriting].append(ms)
    return {"rewriting": quantiles(took[True]), "otherwise": quantiles(took[False])}


def _compare(
    settings: Settings, wanted: Mapping[int, Mapping[int, int]], show: Show
) -> dict[str, Any]:
    """Compare the stores with each other, and the rows with what was acknowledged."""
    database = Database(settings, name="reactions-bench")
    client = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=60)
    found = Verifier(client, database, settings).verify(
        lambda n, total: show("verifying", n, total)
    )
    wrong = mismatched(database, wanted, found.note)
    database.close()
    return {
        "holds": found.holds and not wrong and not found.pending and not found.dead_letters,
        "reactions": found.reactions,
        "mismatched_reactions": wrong,
        "drifted": found.found.total(),
        "dead_letters": found.dead_letters,
        "examples": found.examples[:5],
    }
