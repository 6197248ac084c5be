"""``reactions capacity``: what a fleet needs for a load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reactions.cli.console import as_json, finish, out, table_of
from reactions.cli.figures import size

AMOUNT = click.FloatRange(0, 1e18)


@click.command()
@click.option("--reactions", type=AMOUNT, required=True, help="Reactions in each second.")
@click.option("--feeds", type=AMOUNT, help="Feeds in each second.  [ten times the reactions]")
@click.option("--posts", type=AMOUNT, default=1e6, help="Posts cached in Redis.  [1e6]")
@click.option("--cached", type=AMOUNT, default=1e8, help="Reactions on those posts.  [1e8]")
@click.option("--rows", type=AMOUNT, default=1e9, help="Reactions in PostgreSQL.  [1e9]")
@click.option(
    "--first-feeds",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of feeds by users who read for the first time in a day.",
)
@click.option(
    "--hottest",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of the reactions that go to one post.",
)
@click.option(
    "--busy",
    type=click.FloatRange(0.01, 1),
    default=0.6,
    show_default=True,
    help="Share of a core that may be busy.",
)
@click.option(
    "--redis-gb",
    type=click.FloatRange(0.1, 1e6),
    default=32,
    show_default=True,
    help="Memory of a Redis node in GB.",
)
@click.option(
    "--postgres-cores",
    type=click.IntRange(1, 1_024),
    default=32,
    show_default=True,
    help="Cores of PostgreSQL.",
)
@click.option(
    "--even-slots",
    is_flag=True,
    help="The slots are assigned so that each Redis node has as many shards.",
)
@click.option(
    "--costs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `python -m benchmarks costs --json` measured on your machine.",
)
@as_json
def capacity(
    reactions: float,
    feeds: float | None,
    costs: Path | None,
    as_json: bool,
    **load: Any,  # noqa: ANN401 - the numbers
) -> None:
    """Estimate what a fleet needs for a load.

    Prints nodes, cores, memory, disk and network of each part.

    Numbers may be written as 1e6. Without --costs, the unit costs are those of the machine in
    docs/capacity.md. The estimate is for primaries: replicas and standbys need as much again.
    """
    from reactions.ops.capacity import BUILT_IN, Load, UnitCosts, estimate

    load["cached_reactions"] = load.pop("cached")
    wanted = Load(reactions, 10 * reactions if feeds is None else feeds, **load)
    fleet = estimate(wanted, UnitCosts.read(costs or BUILT_IN))
    table = table_of("part", "busy cores", "nodes", "memory", "disk", "disk a day", "network")
    for name, part in fleet.parts.items():
        table.add_row(
            name,
            f"{part.cores:,.2f}" if part.cores < 10 else f"{part.cores:,.0f}",
            f"{part.nodes:,}",
            _size(part.memory_gb),
            _size(part.disk_gb),
            _size(part.disk_gb_per_day),
            _bits(part.network_mbit),
        )
    out.print(table)
    for limit in fleet.limits:
        out.print(f"the design ends here: {limit}", style="bold red")
    finish(fleet.as_dict(), as_json, True)


def _size(gb: float) -> str:
    return size(gb * 1e9) if gb else "-"


def _bits(mbit: float) -> str:
    if not mbit:
        return "-"
    return f"{mbit:,.1f} Mbit/s" if mbit < 1_000 else f"{mbit / 1_000:,.1f} Gbit/s"
