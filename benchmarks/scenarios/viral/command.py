"""One post goes viral: a million users react while real workers drain. Is anything lost?

``python -m benchmarks viral`` starts the whole system. Several web processes react on one post:
each user once, and some users again. Then the benchmark compares the stores with what was
acknowledged: each reaction, the counts, the total, the order of the sample, and the number of
unique users.

Times of react() are in µs, memory is in bytes.
"""

from __future__ import annotations

import click

from benchmarks.scenarios.viral.report import print_tables
from benchmarks.scenarios.viral.run import run
from benchmarks.scenarios.viral.writers import Plan
from benchmarks.support import output
from reactions.cli.console import bars


@click.command(context_settings=output.HELP)
@click.option(
    "--users", type=click.IntRange(1_000, 2_000_000), default=1_000_000, show_default=True
)
@click.option("--writers", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--batch",
    type=click.IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="Items of one react_many(). All writers except the first use it once the post is viral.",
)
@click.option(
    "--churn",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Share of reactions that are followed by a change or a removal.",
)
@click.option("--bits", type=click.IntRange(31, 62), default=62, show_default=True)
@click.option("--threshold", type=click.IntRange(100, 100_000), default=10_000, show_default=True)
@output.as_markdown
@output.as_json
def main(
    users: int,
    writers: int,
    workers: int,
    batch: int,
    churn: float,
    bits: int,
    threshold: int,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Let one post go viral, and check that nothing is lost."""
    output.quiet_logs()
    plan = Plan(users, writers, batch, churn, bits, threshold)
    with bars(36) as show:
        figures = run(plan, workers, show)
    print_tables(figures, as_markdown)
    output.finish(figures, as_json)
