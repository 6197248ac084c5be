"""All contenders in interleaved rounds: medians, spreads, and ratios of ours to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import click

from benchmarks.compare.contenders import ALL
from benchmarks.compare.contenders.base import REASONS
from benchmarks.compare.play import Result, play
from benchmarks.compare.workloads import Workload
from benchmarks.support import output
from benchmarks.support.arena import Arena
from benchmarks.support.output import Show
from benchmarks.support.statistics import spread

Results = Mapping[str, Mapping[str, Sequence[Result]]]
"""Workload -> contender -> its runs, in order of the rounds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare.

    Attributes:
        seconds: duration of each run, until its web processes stop.
        writers: number of web processes, unless a contender has its own number.
    """

    contenders: Sequence[str]
    workloads: Sequence[Workload]
    rounds: int
    seconds: float
    writers: int


def run(arena: Arena, plan: Plan, show: Show) -> Results:
    """Run every contender once a round; each round begins with another contender."""
    names = list(plan.contenders)
    for name in names:
        ALL[name].prepare(arena)
    found: dict[str, dict[str, list[Result]]] = {}
    for workload in plan.workloads:
        runs = found.setdefault(workload.name, {name: [] for name in names})
        for number in range(plan.rounds):
            turn = number % len(names)
            for place, name in enumerate(names[turn:] + names[:turn]):
                show(workload.name, number * len(names) + place, plan.rounds * len(names))
                runs[name].append(
                    play(
                        arena,
                        ALL[name],
                        workload,
                        seed=number,
                        seconds=plan.seconds,
                        writers=plan.writers,
                    )
                )
        show(workload.name, plan.rounds * len(names), plan.rounds * len(names))
    return found


def ratio(runs: Mapping[str, Sequence[Result]], other: str, what: str) -> dict[str, float] | None:
    """Ratios of ours to another contender, round by round; None if one of them did not run.

    Beside a contender with 16 clients, ours has 16, too, if it ran so.
    """
    alike = "ours-16" if other.endswith("-16") and "ours-16" in runs else "ours"
    pairs = list(zip(runs.get(alike, ()), runs.get(other, ()), strict=False))
    values = [getattr(a, what) / getattr(b, what) for a, b in pairs if getattr(b, what)]
    return spread(values) if values else None


def figures(results: Results) -> dict[str, Any]:
    """The figures of the JSON."""
    return {
        workload: {
            name: {
                "runs": [each.as_dict() for each in runs],
                **{what: spread([getattr(r, what) for r in runs]) for what in _SPREAD},
                "ours_to_it": {
                    what: ratio(of, name, what) for what in ("accepted", "durable", "operations")
                },
            }
            for name, runs in of.items()
        }
        for workload, of in results.items()
    }


_SPREAD = (
    *("accepted", "durable", "feeds", "operations"),
    *("react_p50", "react_p99", "feed_p50", "feed_p99"),
)


def print_tables(results: Results, markdown: bool) -> None:
    """Print two tables for each workload: rates and times, and processor time."""
    for workload, of in results.items():
        if workload.startswith("mix"):
            _print_mix(workload, of, markdown)
            continue
        output.print_table(
            f"{workload}: medians of {len(next(iter(of.values())))} runs; ratios round by round",
            [
                *("contender", "accepted/s", "durable/s", "least-most", "ours to it"),
                *("react p50 µs", "p99 µs", "feeds/s", "feed p50 µs", "exact"),
            ],
            [[ALL[name].title, *_row(of, name, runs)] for name, runs in of.items()],
            markdown,
        )
        _print_processor(workload, of, markdown)


def _print_processor(workload: str, of: Mapping[str, Sequence[Result]], markdown: bool) -> None:
    parts = list(next(iter(of.values()))[0].cpu_ms)
    output.print_table(
        f"{workload}: processor ms for 1,000 operations",
        ["contender", *parts, "together"],
        [
            [ALL[name].title, *cpu, round(sum(cpu), 1)]
            for name, runs in of.items()
            if (cpu := [median(r.cpu_ms[part] for r in runs) for part in parts])
        ],
        markdown,
    )


def _print_mix(workload: str, of: Mapping[str, Sequence[Result]], markdown: bool) -> None:
    """Feeds and reactions a second together; and how often feeds reach PostgreSQL, and why."""
    output.print_table(
        f"{workload}: medians of {len(next(iter(of.values())))} runs; ratios round by round",
        ["contender", "op/s", "ours to it", "least-most", "feed p50 µs", "p99", "react p50"],
        [
            [
                ALL[name].title,
                median(r.operations for r in runs),
                times and times["median"],
                times and f"{times['min']}-{times['max']}",
                *(median(getattr(r, what) for r in runs) for what in _MIX),
            ]
            for name, runs in of.items()
            for times in [ratio(of, name, "operations")]
        ],
        markdown,
    )
    _print_processor(workload, of, markdown)
    output.print_table(
        f"{workload}: processor ms for each second in which nothing happens",
        ["contender", *next(iter(of.values()))[0].idle_ms],
        [
            [ALL[name].title, *(median(r.idle_ms[part] for r in runs) for part in runs[0].idle_ms)]
            for name, runs in of.items()
        ],
        markdown,
    )
    ours = {name: runs for name, runs in of.items() if name.startswith("ours")}
    output.print_table(
        f"{workload}: of 1,000 feeds of ours, how many ask PostgreSQL",
        ["because of", *(ALL[name].title for name in ours)],
        [
            [why, *(median(r.reached.get(why, 0.0) for r in runs) for runs in ours.values())]
            for why in REASONS
        ],
        markdown,
    )
    exact = {ALL[name].title: all(r.exact is not False for r in runs) for name, runs in of.items()}
    click.echo(f"\nexact: {', '.join(f'{name} {output.cell(is_)}' for name, is_ in exact.items())}")


_MIX = ("feed_p50", "feed_p99", "react_p50")


def _row(of: Mapping[str, Sequence[Result]], name: str, runs: Sequence[Result]) -> list[object]:
    middle = {what: spread([getattr(r, what) for r in runs]) for what in _SPREAD}
    rate = "durable" if ALL[name].durable else "accepted"
    times = ratio(of, name, rate)
    exact = [r.exact for r in runs if r.exact is not None]
    return [
        middle["accepted"]["median"],
        middle["durable"]["median"] or None,
        f"{middle[rate]['min']:,.0f}-{middle[rate]['max']:,.0f}",
        times["median"] if times else None,
        middle["react_p50"]["median"],
        middle["react_p99"]["median"],
        middle["feeds"]["median"] or None,
        middle["feed_p50"]["median"] or None,
        all(exact) if exact else None,
    ]
