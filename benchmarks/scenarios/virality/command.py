"""How long before a post goes viral is it noticed? A real trace, on its own time scale.

``python -m benchmarks virality TRACE`` replays a trace through the real scripts and the real drain,
on a Valkey and a PostgreSQL of its own, but on the clock of the trace: the reactions of each step
of ``--step`` seconds are drained at its end, and settled as if they had been claimed at that time.
``settle.lua`` weights the growth of a post by this clock. The table shows a plain, lower threshold
beside it.

Only the settlement uses the clock of the trace. Leases, versions and lags use the servers' clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.scenarios.virality.report import print_tables
from benchmarks.scenarios.virality.run import run
from benchmarks.support import machine, output
from reactions.cli.console import bars
from reactions.core.settings import Settings


@click.command(context_settings=output.HELP)
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--threshold",
    "thresholds",
    type=click.IntRange(10, 100_000),
    multiple=True,
    default=[10_000],
    show_default=True,
    help="Reactions from which a post is viral; repeatable.",
)
@click.option(
    "--step",
    type=click.IntRange(1, 3_600),
    default=60,
    show_default=True,
    help="Seconds of the trace between two drains.",
)
@click.option("--item", type=click.IntRange(1), help="Post to report in detail. [the largest]")
@click.option(
    "--horizon",
    type=click.FloatRange(1, 86_400),
    default=Settings.model_fields["viral_horizon_s"].default,
    show_default=True,
    help="The setting viral_horizon_s.",
)
@output.as_markdown
@output.as_json
def main(
    trace: Path,
    thresholds: Sequence[int],
    step: int,
    item: int | None,
    horizon: float,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Replay TRACE, and measure how early posts that become viral are noticed."""
    output.quiet_logs()
    with bars(36) as show:
        found = [run(trace.resolve(), t, step, item, horizon, show) for t in thresholds]
    print_tables(found, as_markdown)
    output.finish({"machine": machine.summary(), "step_s": step, "thresholds": found}, as_json)
