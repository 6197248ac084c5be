"""``python -m benchmarks predictions``: what the model of capacity predicts, beside what was used.

The unit costs are those of ``--costs``, which ``python -m benchmarks costs --json`` measures on the
same machine. The load is another one than those that measure the costs: nine feeds of 20 posts to
one reaction, by one thread, with one and three Redis nodes, and one and two worker processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmarks.scenarios.costs import fleet, measure
from benchmarks.support import machine, output
from benchmarks.support.output import Show
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.ops.capacity import BUILT_IN, Load, UnitCosts, busy_cores

SIZES = [(1, 1), (1, 2), (3, 1), (3, 2)]
"""Redis nodes and worker processes."""

PARTS = ("web", "redis", "workers", "postgres")


def run(seconds: float, costs: UnitCosts, show: Show) -> list[dict[str, Any]]:
    """Every size, each on servers of its own; one line for each part."""
    found = []
    for number, (nodes, workers) in enumerate(SIZES):
        used = measured(nodes, workers, seconds)
        predicted = prediction(costs, nodes)
        found += [
            {
                "nodes": nodes,
                "workers": workers,
                "part": part,
                "predicted_ms": round(predicted[part], 1),
                "measured_ms": round(used[part], 1),
                "error": round(predicted[part] / used[part] - 1, 2) if used[part] else None,
            }
            for part in PARTS
        ]
        show("predictions", number + 1, len(SIZES))
    return found


def measured(nodes: int, workers: int, seconds: float) -> dict[str, float]:
    """Processor ms for 1,000 operations, of each part; idle costs are taken off."""
    with fleet.running(nodes) as servers, Reactions(servers.settings) as client:
        servers.start_workers(workers)
        measure.fill(client, servers)
        used = measure.mix(client, servers, seconds)
    return {part: used[part] for part in PARTS}


def prediction(costs: UnitCosts, nodes: int) -> dict[str, float]:
    """The same, as the model has it."""
    load = Load(1_000 * measure.REACTIONS, 1_000 * (1 - measure.REACTIONS), first_feeds=0)
    return {
        "web": 1e3 * busy_cores("web", load, costs, nodes),
        "redis": 1e3 * busy_cores("redis", load, costs, nodes),
        "workers": load.reactions_per_s * costs.worker_us_per_reaction / 1e3,
        "postgres": load.reactions_per_s * costs.postgres_us_per_reaction / 1e3,
    }


@click.command(context_settings=output.HELP)
@click.option("--seconds", type=click.FloatRange(0.2, 600), default=5.0, show_default=True)
@click.option(
    "--costs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=BUILT_IN,
    help="What `python -m benchmarks costs --json` printed.",
)
@output.as_markdown
@output.as_json
def main(seconds: float, costs: Path, as_markdown: bool, as_json: bool) -> None:
    """Hold the predictions of `reactions capacity` against measurements."""
    output.quiet_logs()
    with bars(12) as show:
        found = run(seconds, UnitCosts.read(costs), show)
    output.print_table(
        "Processor ms for 1,000 operations, of which 100 are reactions",
        ["Redis nodes", "workers", "part", "predicted", "measured", "error"],
        [list(each.values()) for each in found],
        as_markdown,
    )
    output.finish({"machine": machine.summary(), "sizes": found}, as_json)
