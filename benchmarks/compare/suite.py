"""``python -m benchmarks suite``: the comparison with all contenders, and the figures to reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.compare import goals, side_by_side
from benchmarks.compare.contenders import ALL
from benchmarks.compare.mix import Mix
from benchmarks.compare.workloads import Workload
from benchmarks.support import machine, output
from benchmarks.support.arena import arena
from reactions.cli.console import bars

PARTS = ("compare", "figures")
WORKLOADS = ("hot", "zipf", "mix")
HOT = {"zipf": None, "0": 0, "1": 1, "5": 5}


@click.command(context_settings=output.HELP)
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=5.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--writers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--part", type=click.Choice(PARTS), multiple=True, help="Parts to run; repeatable. [all]"
)
@click.option(
    "--only", type=click.Choice(list(ALL)), multiple=True, help="Contenders; repeatable. [all]"
)
@click.option(
    "--workload", type=click.Choice(WORKLOADS), multiple=True, help="Workloads; repeatable. [all]"
)
@click.option(
    "--trace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A trace to replay as one more workload.",
)
@click.option(
    "--feed",
    type=click.IntRange(6, 500),
    multiple=True,
    default=(20,),
    show_default=True,
    help="Posts of a feed of the mix; repeatable.",
)
@click.option(
    "--hot",
    type=click.Choice(list(HOT)),
    multiple=True,
    default=("zipf", "0", "5"),
    show_default=True,
    help="Posts of a feed of the mix that are being reacted on; zipf: whatever is in it.",
)
@click.option(
    "--mix-rows",
    type=click.IntRange(1_000, 20_000_000),
    multiple=True,
    default=(100_000,),
    show_default=True,
    help="Reactions in the tables of the mix at first; repeatable.",
)
@click.option(
    "--rows",
    type=click.IntRange(20_000, 50_000_000),
    default=200_000,
    show_default=True,
    help="Rows of the large post for the cost of the script; the goal is set for 10,000,000.",
)
@click.option(
    "--batch",
    type=click.IntRange(1_000, 1_000_000),
    default=20_000,
    show_default=True,
    help="Events of each run of the persister.",
)
@output.as_markdown
@output.as_json
def main(
    seconds: float,
    rounds: int,
    writers: int,
    workers: int,
    part: tuple[str, ...],
    only: tuple[str, ...],
    workload: tuple[str, ...],
    trace: Path | None,
    feed: tuple[int, ...],
    hot: tuple[str, ...],
    mix_rows: tuple[int, ...],
    rows: int,
    batch: int,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Compare this system with what a user would build instead."""
    output.quiet_logs()
    mixes = [Mix(posts, HOT[n], size) for size in mix_rows for posts in feed for n in hot]
    workloads = _workloads(workload or WORKLOADS, mixes, trace)
    plan = side_by_side.Plan(only or list(ALL), workloads, rounds, seconds, writers)
    found: dict[str, Any] = {"seconds": seconds, "rounds": rounds, "writers": writers}
    results: side_by_side.Results = {}
    parts = part or PARTS
    with bars(36) as show, arena(workers) as servers:
        found["machine"] = machine.describe(servers)
        if "compare" in parts:
            results = side_by_side.run(servers, plan, show)
            found["contenders"] = side_by_side.figures(results)
        if "figures" in parts:
            sizes = goals.Plan(seconds, rounds, writers, rows, batch)
            found["figures"] = goals.measure(servers, sizes, show)
    side_by_side.print_tables(results, as_markdown)
    if "figures" in parts:
        reached = goals.table(found["figures"], results)
        goals.print_table(reached, as_markdown)
        found["reached"] = [{**each._asdict(), "reached": each.reached} for each in reached]
    output.finish(found, as_json)


def _workloads(names: Sequence[str], mixes: Sequence[Mix], trace: Path | None) -> list[Workload]:
    found = [Workload(name) for name in names if name != "mix"]
    if "mix" in names:
        found += [Workload(mix.name, mix=mix) for mix in mixes]
    if trace is not None:
        found.append(Workload("trace", trace))
    return found
