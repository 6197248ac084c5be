"""Bytes that Redis needs for reactions, everything counted, beside a plain hash.

``python -m benchmarks memory`` makes many posts of one size, and divides the growth of the server's
``used_memory`` by the number of reactions. So it counts keys, table slots, expiries, counts and all
buckets. It subtracts the buffers of clients, and waits until rehashing and lazy freeing are over.

The tables that hold the keys grow in steps. The number of posts is chosen so that these steps do
not decide the figure: the keys fill between 70 and 80 % of the tables of both servers (5.5 x 2^m
keys; the tables of Redis grow at 8 x 2^m, those of Valkey at 7 x 2^m). Growing posts do not allow
that choice: their keys fill 50 to 100 %, which changes the figure by at most 0.1 byte a reaction.

All sizes are in bytes, in the JSON too.
"""

from __future__ import annotations

import logging
from pathlib import Path

import click

from benchmarks.scenarios.memory.plots import plot
from benchmarks.scenarios.memory.report import print_tables
from benchmarks.scenarios.memory.run import VIRAL, Plan, measure
from benchmarks.support import output
from reactions.cli.console import bars

SIZES = (100, 200, 400, 500, 513, 1_000, 2_000, 3_000, 5_000, 9_999)
"""Reactions of a regular post; the last is the largest size below the viral threshold."""


@click.command(context_settings=output.HELP)
@click.option(
    "--server",
    "servers",
    type=click.Choice(["valkey", "redis"]),
    multiple=True,
    default=("valkey", "redis"),
    show_default=True,
)
@click.option("--bits", type=click.Choice(["31", "62"]), multiple=True, default=("31", "62"))
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(1, 9_999),
    multiple=True,
    default=SIZES,
    help="Reactions of a regular post; repeatable.",
)
@click.option(
    "--viral-most",
    type=click.IntRange(0),
    default=1_000_000,
    show_default=True,
    help="Largest number of reactors of the viral post; 0 skips it.",
)
@click.option(
    "--budget",
    type=click.IntRange(1_000),
    default=250_000,
    show_default=True,
    help="Reactions in Redis for one figure, about.",
)
@click.option(
    "--step",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Reactions of a growing post between two drains.",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write memory.svg and memory_total.svg to this folder (needs matplotlib).",
)
@output.as_markdown
@output.as_json
def main(
    servers: tuple[str, ...],
    bits: tuple[str, ...],
    sizes: tuple[int, ...],
    viral_most: int,
    budget: int,
    step: int,
    plots: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure the bytes that Redis needs for reactions."""
    output.quiet_logs()
    logging.getLogger("reactions").setLevel(logging.ERROR)
    plan = Plan(
        list(dict.fromkeys(servers)),
        sorted({int(width) for width in bits}),
        sorted(set(sizes)),
        [number for number in VIRAL if number <= viral_most],
        budget,
        step,
    )
    with bars(36) as show:
        figures = measure(plan, show)
    print_tables(figures, as_markdown)
    if plots is not None:
        plot(figures, plots)
    output.finish(figures, as_json)
