"""More reactions than the workers can drain: how long does ``react()`` take, and what does it cost?

``python -m benchmarks overload --seconds 120`` starts the whole system twice. In each run, web
processes write as fast as they can: first over a bounded set of (post, user) pairs, then over a set
that grows without end. Some processes call ``react()``, and these calls are timed; the others call
``react_many()``, to outrun the workers. Once a second the benchmark samples what was accepted, what
became durable, what is pending, and the memory of Redis beside the prediction of
docs/reliability.md. Then the workers drain the backlog, and every row is compared with what was
acknowledged.

Times of react() are in ms, memory is in bytes.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.scenarios.overload.report import plot, print_tables
from benchmarks.scenarios.overload.run import run
from benchmarks.scenarios.overload.writers import Plan
from benchmarks.support import output
from reactions.cli.console import bars


@click.command(context_settings=output.HELP)
@click.option("--seconds", type=click.IntRange(1, 3_600), default=120, show_default=True)
@click.option("--singles", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--bulks", type=click.IntRange(0, 16), default=2, show_default=True)
@click.option("--batch", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--posts", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@click.option("--users", type=click.IntRange(16, 100_000), default=20, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write overload.svg to this folder (needs matplotlib).",
)
@output.as_markdown
@output.as_json
def main(
    seconds: int,
    singles: int,
    bulks: int,
    batch: int,
    posts: int,
    users: int,
    workers: int,
    plots: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Write more than the workers can drain, then wait until they have drained it."""
    output.quiet_logs()
    plan = Plan(seconds, singles, bulks, batch, posts, users)
    with bars(36) as show:
        runs = [run(plan, growing, workers, show) for growing in (False, True)]
    print_tables(runs, as_markdown)
    if plots is not None:
        plot(runs, plots)
    output.finish({"runs": runs}, as_json)
