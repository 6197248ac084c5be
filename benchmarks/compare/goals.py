"""The figures to reach, each beside the measured one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.compare import full_load, hot_path, persister
from benchmarks.compare.side_by_side import Results, ratio
from benchmarks.support import output
from benchmarks.support.arena import Arena
from benchmarks.support.output import Show


class Figure(NamedTuple):
    """One line of the table; ``most`` is True if the goal is an upper bound."""

    name: str
    goal: float
    most: bool
    value: float

    @property
    def reached(self) -> bool:
        return self.value <= self.goal if self.most else self.value >= self.goal


class Plan(NamedTuple):
    """Durations and sizes.

    Attributes:
        seconds: duration of each run under load.
        rows: rows of the large post on which the cost of the script is measured.
        batch: events of each run of the persister.
    """

    seconds: float
    rounds: int
    writers: int
    rows: int
    batch: int


def measure(arena: Arena, plan: Plan, show: Show) -> dict[str, Any]:
    """Measure everything except the ratios to contenders."""
    return {
        "quiet": hot_path.quiet(arena, show),
        "loaded": hot_path.loaded(arena, plan.seconds, plan.writers),
        "full_load": full_load.measure(arena, plan.seconds, plan.writers, show),
        "persister": persister.measure(arena, plan.batch, plan.rounds, show),
        "script": hot_path.server_side(arena, plan.rows, show),
        "feed": full_load.warm_feed(arena, show),
    }


def table(found: Mapping[str, Any], results: Results) -> list[Figure]:
    """The lines of the table; a contender that did not run has none."""
    return [*_measured(found), *_compared(results)]


def _measured(found: Mapping[str, Any]) -> Iterator[Figure]:
    load = found["full_load"]
    worst = {
        what: max(of[what] for of in load.values())
        for what in next(iter(load.values()))
        if what != "statements"
    }
    statements = max(of["statements"]["statements"] for of in load.values())
    rows, feed = found["script"]["rows"], found["feed"]
    yield Figure("react() p50 / the bare script's, quiet", 1.3, True, found["quiet"]["p50_ratio"])
    yield Figure(
        "react() p50 / the bare script's, full load", 1.3, True, found["loaded"]["p50_ratio"]
    )
    yield Figure("react() p99 at full load, ms", 5, True, round(worst["react_p99"] / 1e3, 2))
    throughput = found["quiet"]["throughput_ratio"]["median"]
    yield Figure("react()/s of one thread / the bare script's", 0.75, False, throughput)
    for workload in ("hot", "zipf"):
        reached = found["persister"][workload]["ratio"]["median"]
        yield Figure(f"persister rows/s / a bare batch's, {workload}", 0.7, False, reached)
        alone = found["persister"][workload]["ledger_ratio"]["median"]
        yield Figure(
            f"persister's transactions alone / a bare batch's, {workload}", 0.7, False, alone
        )
    yield Figure("lag p99 at half load, ms", 250, True, worst["at_half_lag_p99_ms"])
    yield Figure("Celery messages / 1,000 reactions", 20, True, worst["messages"])
    yield Figure("SQL statements / 1,000 reactions", 10, True, statements)
    cost = found["script"]["ratio"]["median"]
    yield Figure(f"the script on {rows:,} reactions / on 1,000", 1.1, True, cost)
    yield Figure("feed of 50 warm posts: round trips", 1, True, feed["warm_round_trips"])
    yield Figure("feed / a bare pipeline of the same", 3, True, feed["ratio_of_medians"])


def _compared(results: Results) -> Iterator[Figure]:
    for other, workload, goal in (
        ("task", "hot", 25),
        ("task", "zipf", 20),
        ("postgres-16", "hot", 3),
    ):
        found = ratio(results.get(workload, {}), other, "durable")
        if found is not None:
            yield Figure(f"durable/s / {other}, {workload}", goal, False, found["median"])


def print_table(figures: list[Figure], markdown: bool) -> None:
    """Print the table."""
    output.print_table(
        "Figures to reach",
        ["figure", "goal", "measured", "reached"],
        [
            [f.name, f"{'at most' if f.most else 'at least'} {f.goal:g}", f.value, f.reached]
            for f in figures
        ],
        markdown,
    )
