"""``python -m chaos --seed 1 --minutes 5 --json``."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import click

from chaos import small
from chaos.nodes import FAKETIME
from chaos.report import table
from chaos.run import run
from chaos.topology import TOPOLOGIES
from reactions.cli.console import as_json, err, finish, out, print_report
from reactions.core.errors import StackError
from reactions.demo.state_folder import remove


@click.command()
@click.option(
    "--seed", default=1, show_default=True, help="Seed of the nemesis and of the writers."
)
@click.option("--minutes", default=5.0, show_default=True, help="Duration, without start and end.")
@click.option("--only", multiple=True, help="Only faults whose name contains this; repeatable.")
@click.option(
    "--topology",
    type=click.Choice(list(TOPOLOGIES)),
    default="single",
    show_default=True,
    help="The servers and the broker; docs/topologies.md describes each topology.",
)
@click.option("--keep", is_flag=True, help="Keep the folder with logs and histories.")
@as_json
def main(
    seed: int, minutes: float, only: tuple[str, ...], topology: str, keep: bool, as_json: bool
) -> None:
    """Make everything fail, and check that nothing is lost. Exits with 1 on a violation."""
    logging.basicConfig(level=logging.ERROR)
    small.apply()
    folder = Path(tempfile.mkdtemp(prefix="reactions-chaos-"))
    err.print(f"seed {seed}; data, logs and histories in {folder}")
    if not FAKETIME:
        err.print("libfaketime is not installed: the clock of Redis is not stepped")
    holds = False
    try:
        report = run(
            folder,
            seed,
            minutes,
            lambda words: err.print(words),
            minute=minutes >= 10,
            only=only,
            topology=topology,
        )
        figures = report.figures()
        holds = not figures["violations"] and not figures["drift"]
        for line in table([figures]):
            (err if as_json else out).print(line, soft_wrap=True)
        if not as_json:
            print_report({k: v for k, v in figures.items() if k != "kinds"}, holds=None)
        finish(figures, as_json, holds)
    except StackError as error:
        err.print(f"[bold red]{error}[/]")
        sys.exit(1)
    finally:
        if holds and not keep:
            remove(folder)


if __name__ == "__main__":
    main()
