"""``python -m benchmarks rates``: what a reaction costs when there are 10, 100 or 1,000 a second.

Four processes react on 5,000 posts of Zipf popularity. The same processes then react through
PostgreSQL alone: one prepared call of a function, one round trip. What workers and PostgreSQL use
while nobody reacts is measured before each run and taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.scenarios.rates import run
from benchmarks.scenarios.rates.run import Plan
from benchmarks.scenarios.rates.system import running, system
from benchmarks.support import machine, output
from benchmarks.support.checkout import HERE, Checkout
from benchmarks.support.output import Show
from reactions.cli.console import bars

POSTGRES = "PostgreSQL alone"


def play(plan: Plan, versions: Sequence[Checkout | None], show: Show) -> dict[str, Any]:
    """Every version once a round, at every rate; each round begins with another version.

    Returns:
        Version -> rate -> figures, each the median of the rounds.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    steps = plan.rounds * len(versions) * len(plan.rates)
    done = 0
    with system() as servers:
        for number in range(plan.rounds):
            turn = number % len(versions)
            for version in [*versions[turn:], *versions[:turn]]:
                name = version.name if version else POSTGRES
                with running(servers, version, plan.workers) as children:
                    run.warm(servers, children)
                    for rate in plan.rates:
                        runs = found.setdefault(name, {}).setdefault(_shown(rate), [])
                        seed = 1 + number * 100 + len(runs)
                        runs.append(run.measure(servers, children, rate, plan, seed))
                        done += 1
                        show("rates", done, steps)
    return {name: {rate: _middle(runs) for rate, runs in of.items()} for name, of in found.items()}


def _shown(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate else "full"


def _middle(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {what: round(median(each[what] for each in runs), 3) for what in runs[0]}


def print_table(found: Mapping[str, Any], markdown: bool) -> None:
    """One line for each version and rate."""
    first = next(iter(found.values()))
    output.print_table(
        "One reaction: processor in ms (idle costs taken off); the lag in ms",
        ["version", "workers", "PG", "messages", "SQL", "transact.", "lag p50", "p99"],
        [
            [f"{name}, {rate}", *(found[name][rate][what] for what in _SHOWN)]
            for rate in first
            for name in found
        ],
        markdown,
    )


_SHOWN = (
    *("workers_ms", "postgres_ms", "messages"),
    *("statements", "transactions", "lag_p50_ms", "lag_p99_ms"),
)


@click.command(context_settings=output.HELP)
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=10.0, show_default=True)
@click.option(
    "--idle",
    type=click.FloatRange(0.5, 600),
    default=5.0,
    show_default=True,
    help="Seconds of idle time before each run.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000),
    multiple=True,
    default=(10, 100, 1_000),
    show_default=True,
    help="Reactions a second of all writers; 0 is as fast as they can; repeatable.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkout of another version, to measure in the same hour.",
)
@output.as_markdown
@output.as_json
def main(
    seconds: float,
    idle: float,
    rate: tuple[float, ...],
    rounds: int,
    workers: int,
    against: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure what a reaction costs workers and PostgreSQL at low rates."""
    output.quiet_logs()
    versions: list[Checkout | None] = [HERE, None]
    if against is not None:
        versions.insert(1, Checkout(against.resolve(), "older version"))
    plan = Plan(seconds, idle, rate, rounds, workers)
    with bars(36) as show:
        found = play(plan, versions, show)
    print_table(found, as_markdown)
    output.finish({"machine": machine.summary(), "versions": found}, as_json)
