"""What the periodic duties cost, and how soon a lost Redis is rebuilt.

``python -m benchmarks duties`` starts the whole system twice. The first has one viral post with
millions of rows: the benchmark loads, checks, repairs and audits it on quiet servers, and times its
first read after a loss of Redis, with a real worker. The second system has a working set, which
beat and the workers rebuild after a FLUSHALL while a writer reacts.

Times are in ms, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from benchmarks.scenarios.large_post import run as large_post
from benchmarks.scenarios.rebuild import run as rebuild
from benchmarks.scenarios.rebuild.writer import Plan
from benchmarks.support import machine, output
from reactions.cli.console import bars

GOAL_MS = 50.0

PARTS = ("large", "rebuild")


def print_large(figures: Mapping[str, Any], markdown: bool) -> None:
    """Print the tables of the large post."""
    load, check, repair = figures["load"], figures["check"], figures["repair"]
    audit, first = figures["audit"], figures["first_read"]
    quantiles = {
        "check (goal: 50)": check["ms"],
        "repair of its sample": repair["ms"],
        f"one slice of an audit, {audit['slice']:,} rows": audit["slice_ms"],
        "load, only its HyperLogLog in Redis": load["ms_with_uniques"],
        "load, nothing in Redis": load["ms"],
        **{f"of it: {name}": took for name, took in load["queries_ms"].items()},
        "first summaries() after FLUSHALL (goal: 50)": first["first_read_ms"],
        f"read {first['requesting_read']} until the sample is cached": first["until_sampled_ms"],
        **{f"of it: {name}": took for name, took in first["split_ms"].items()},
    }
    output.print_table(
        f"One viral post with {figures['rows']:,} rows, in ms",
        ["what", "n", "p50", "p99", "max"],
        [[name, *took.values()] for name, took in quantiles.items()],
        markdown,
    )
    output.print_table(
        "And",
        ["figure", "value"],
        [
            ["SQL statements of a check", check["statements"]],
            ["sequential scans of reactions in their plans", check["seq_scans_of_reactions"]],
            ["SQL statements of a load", load["statements"]],
            ["slices of a whole audit", audit["slices"]],
            ["seconds of a whole audit", audit["seconds"]],
            [
                "samples cached after the first read alone",
                first["cached_after_the_first_read_alone"],
            ],
        ],
        markdown,
    )


def print_rebuild(figures: Mapping[str, Any], markdown: bool) -> None:
    """Print the table of the working set."""
    plain = [(name.replace("_", " "), value) for name, value in output.plain_rows(figures)]
    plain += [
        (f"connections at work in PostgreSQL: {phase}", busy)
        for phase, busy in figures["busy_connections"].items()
    ]
    plain += [(f"rebuild: {name}", value) for name, value in figures["rebuilds"].items()]
    plain += [(f"react(): {name}, ms", value) for name, value in figures["write_ms"].items()]
    plain += [(f"found: {kind}", number) for kind, number in figures["found"].items()]
    if figures["lost_ages_ms"]:
        plain.append(("oldest of the lost, ms before", figures["lost_ages_ms"]["max"]))
    output.print_table(
        "FLUSHALL of a working set, under live writes", ["figure", "value"], plain, markdown
    )


@click.command(context_settings=output.HELP)
@click.option("--rows", type=click.IntRange(20_000, 50_000_000), default=5_000_000)
@click.option("--posts", type=click.IntRange(10, 100_000), default=5_000, show_default=True)
@click.option("--viral", type=click.IntRange(0, 1_000), default=20, show_default=True)
@click.option(
    "--reactions",
    type=click.IntRange(10),
    default=150_000,
    show_default=True,
    help="Reactions on all regular posts together.",
)
@click.option("--rate", type=click.FloatRange(1, 5_000), default=200.0, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--only", type=click.Choice(PARTS), help="One part: the large post, or the working set."
)
@output.as_markdown
@output.as_json
def main(
    rows: int,
    posts: int,
    viral: int,
    reactions: int,
    rate: float,
    workers: int,
    only: str | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure checks, repairs and audits of a large post, and the rebuild of Redis."""
    output.quiet_logs()
    parts: Sequence[str] = [only] if only else PARTS
    figures: dict[str, Any] = {"machine": machine.summary()}
    with bars(36) as show:
        if "large" in parts:
            figures["large"] = large_post.run(rows, workers, show)
        if "rebuild" in parts:
            plan = Plan(posts, viral, reactions, rate, workers)
            figures["rebuild"] = rebuild.run(plan, show)
    if "large" in figures:
        print_large(figures["large"], as_markdown)
    if "rebuild" in figures:
        print_rebuild(figures["rebuild"], as_markdown)
    output.finish(figures, as_json)
