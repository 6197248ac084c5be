"""``reactions up``: the whole stack, until it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from reactions.cli.console import as_json, require_embedded, say
from reactions.cli.foreground import keep_running
from reactions.cli.options import process_count

if TYPE_CHECKING:
    from reactions.demo.stack import Stack


@click.command()
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".reactions"),
    show_default=True,
    help="Folder for data and logs; the next start finds the data there.",
)
@click.option(
    "--workers", type=process_count, default=2, show_default=True, help="Worker processes."
)
@as_json
def up(state_dir: Path, workers: int, as_json: bool) -> None:
    """Start the whole stack and keep it until interrupted.

    Standard output has `export` lines that a shell evaluates. A program that runs with them is a
    client of this stack. The next start has the same addresses, data and password of Flower.
    """
    require_embedded()
    from reactions.demo.stack import Stack

    with Stack(state_dir, concurrency=workers, page=True, say=say) as stack:
        keep_running(stack, lambda: _print_addresses(stack, as_json))


def _print_addresses(stack: Stack, as_json: bool) -> None:
    settings = stack.settings
    urls = {
        "redis_url": settings.redis_url.get_secret_value(),
        "database_url": stack.postgres.url,  # without a driver, so that psql takes it too
        "broker_url": settings.broker_url.get_secret_value(),
        "flower_url": stack.flower_url,
        "page_url": stack.page_url,
        "state_dir": str(stack.folder),
    }
    if as_json:
        click.echo(json.dumps(urls))
    else:
        for name in ("redis_url", "database_url", "broker_url"):
            click.echo(f"export REACTIONS_{name.upper()}={quote(urls[name])}")
        click.echo(f"export PROMETHEUS_MULTIPROC_DIR={quote(str(stack.metrics))}")
        say(f"Flower: {urls['flower_url']}")
        say(f"Page: {urls['page_url']}")
    say(f"logs in {stack.folder}; press Ctrl-C to stop")
