"""The run: react, catch up, and gather the figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis import Redis

from benchmarks.scenarios.viral.compare import compare
from benchmarks.scenarios.viral.watch import AFTERWARDS_S, Watch, Watched
from benchmarks.scenarios.viral.writers import NEVER, POST, Plan, Written, work
from benchmarks.support import machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.post_keys import cache_memory
from benchmarks.support.processes import (
    Processes,
    shared_codes,
    shared_counters,
    web_processes,
)
from benchmarks.support.slow_log import SlowLog
from benchmarks.support.statistics import quantiles
from reactions.demo.stack import Stack
from reactions.redis.outbox_state import OutboxState

POLL_S = 0.02
"""Pause between two samples of the post."""

CATCH_UP_S = 600.0

SLOW_US = 1_000


def run(plan: Plan, workers: int, show: Show) -> dict[str, Any]:
    """Run the scenario; returns the figures of the JSON."""
    settings = servers.settings_with(viral_threshold=plan.threshold)
    with (
        servers.temporary_folder("viral") as where,
        Stack(where, settings, concurrency=workers, flower=False, say=output.err.print) as stack,
    ):
        return _run(plan, stack, show)


def _run(plan: Plan, stack: Stack, show: Show) -> dict[str, Any]:
    settings = stack.settings
    client = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=60)
    counters = shared_counters(plan.writers)
    final = shared_codes(plan.users + 1, NEVER)
    calls = [(plan, number, counters, final) for number in range(plan.writers)]
    with web_processes(work, settings.environment(), calls) as writers:
        slow = SlowLog(client, SLOW_US)
        watch = Watch(client, plan.threshold)
        began = time.monotonic()
        _watch(stack, plan, writers, counters, watch, slow, show)
        seconds = time.monotonic() - began
    written: list[Written] = writers.results
    catch_up = _catch_up(stack, watch, slow, show)
    events = sum(each.events for each in written)
    return {
        "machine": machine.summary(),
        "server": machine.redis_version(client),
        "users": plan.users,
        "events": events,
        "accepted_per_s": round(events / seconds, 1),
        "durable_per_s": round(events / (seconds + catch_up), 1),
        "catch_up_s": round(catch_up, 2),
        "most_pending": watch.seen.most_pending,
        **_latencies(written, watch.seen),
        "promotion": _promotion(watch.seen, slow),
        "slow": slow.worst(),
        "latency_events": slow.events(),
        "memory_at_promotion": watch.seen.memory,
        "memory": cache_memory(client, POST),
        **compare(settings, plan, client, final, show),
    }


def _watch(
    stack: Stack,
    plan: Plan,
    writers: Processes,
    counters: Any,  # noqa: ANN401 - shared memory has no public type
    watch: Watch,
    slow: SlowLog,
    show: Show,
) -> None:
    """Observe the post until all writers are done."""
    rounds = 0
    while not writers.finished():
        accepted = sum(counters)
        watch.sample(accepted)
        if rounds % (50 if watch.seen.memory else 5) == 0:
            slow.read()
        if rounds % 10 == 0:
            stack.supervise()
            show("reacting", accepted, max(accepted, int(plan.users * (1 + plan.churn))))
        rounds += 1
        time.sleep(POLL_S)


def _catch_up(stack: Stack, watch: Watch, slow: SlowLog, show: Show) -> float:
    """Wait until everything is durable; returns the seconds, at most CATCH_UP_S."""
    began = time.monotonic()
    outbox = OutboxState(
        Redis.from_url(stack.settings.redis_url.get_secret_value()), stack.settings
    )
    most = 0
    while (pending := outbox.pending()) and time.monotonic() < began + CATCH_UP_S:
        most = max(most, pending)
        show("becoming durable", most - pending, most)
        watch.sample(0)
        slow.read()
        stack.supervise()
        time.sleep(POLL_S)
    took = time.monotonic() - began
    time.sleep(2.0)  # the last drain may still install the sample
    slow.read()
    return took


def _latencies(written: Sequence[Written], seen: Watched) -> dict[str, Any]:
    """Times of react() before, during and after the promotion."""
    phases: dict[str, list[float]] = {"before": [], "during": [], "after": []}
    for each in written:
        for began, took in zip(each.began, each.took, strict=True):
            if not seen.crossed or began < seen.crossed:
                phases["before"].append(took)
            elif not seen.sampled or began < seen.sampled + AFTERWARDS_S:
                phases["during"].append(took)
            else:
                phases["after"].append(took)
    return {
        "react_us": {phase: quantiles(took) for phase, took in phases.items()},
        "react_many_us": quantiles(took for each in written for took in each.bulk),
    }


def _promotion(seen: Watched, slow: SlowLog) -> dict[str, Any]:
    """When the flag and the sample came, and which commands were slow around them."""
    around = slow.worst(seen.crossed - 0.5, (seen.sampled or seen.crossed) + AFTERWARDS_S)
    return {
        "flag_after_s": round(seen.flagged - seen.crossed, 3) if seen.flagged else None,
        "sample_after_s": round(seen.sampled - seen.crossed, 3) if seen.sampled else None,
        "slow": around,
        "slowest_us": max((each["max_us"] for each in around), default=0),
    }
