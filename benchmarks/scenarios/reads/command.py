"""How often reads reach PostgreSQL, and how fast they are.

``python -m benchmarks reads`` starts the whole system and fills it with one very large viral post,
other viral posts, and regular posts. Several web processes with several threads each read and write
while real workers drain. An event of SQLAlchemy counts every SQL statement of the web processes;
the log of the server confirms the number.

There are two scenarios. In ``known``, everyone reacted recently, and the user cache has their
reactions. In ``forgotten``, that cache is empty at the start, as if all reactions were older than
its TTL of a day. Afterwards the benchmark times a feed of 50 posts beside a bare pipeline of the
same reads, and then with nothing cached.

Times are in µs.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.scenarios.reads.report import print_tables
from benchmarks.scenarios.reads.run import run
from benchmarks.scenarios.reads.world import Plan, World
from benchmarks.support import output
from reactions.cli.console import bars


@click.command(context_settings=output.HELP)
@click.option(
    "--reactors", type=click.IntRange(20_000, 500_000), default=200_000, show_default=True
)
@click.option("--strangers", type=click.IntRange(1_000, 1_000_000), default=200_000)
@click.option("--viral", "viral", type=click.IntRange(5, 50), default=10, show_default=True)
@click.option("--regular", type=click.IntRange(45, 5_000), default=300, show_default=True)
@click.option("--calls", type=click.IntRange(1_000), default=60_000, show_default=True)
@click.option("--writes", type=click.FloatRange(0, 1), default=0.1, show_default=True)
@click.option(
    "--newcomers",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of reads by users who reacted a moment ago.",
)
@click.option(
    "--others",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Share of reads by users who never reacted; the rest are old reactors.",
)
@click.option(
    "--readers",
    type=click.IntRange(100),
    default=1_000_000,
    help="Number of old reactors, and of users who never reacted, that read at all. [all]",
)
@click.option("--processes", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--threads", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--trace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the reactions from this trace: CSV (.gz) with the columns "
    "ts_seconds,user_id,item_id,type.",
)
@output.as_markdown
@output.as_json
def main(
    reactors: int,
    strangers: int,
    viral: int,
    regular: int,
    calls: int,
    writes: float,
    newcomers: float,
    others: float,
    readers: int,
    processes: int,
    threads: int,
    workers: int,
    trace: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Count the SQL statements of reads, and time the reads."""
    output.quiet_logs()
    world = World(
        reactors=reactors,
        strangers=strangers,
        viral=tuple(range(1_001, 1_001 + viral)),
        regular=tuple(range(100_001, 100_001 + regular)),
        viral_size=12_000,
        newcomers=newcomers,
        others=others,
        readers=readers,
        trace=trace.resolve() if trace else None,
    )
    with bars(36) as show:
        figures = run(world, Plan(calls, writes, processes, threads), workers, show)
    print_tables(figures, as_markdown)
    output.finish(figures, as_json)
