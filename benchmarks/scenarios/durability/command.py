"""What Redis may lose after ``react()`` returned, and what it costs to lose less.

``python -m benchmarks durability`` compares ``appendfsync everysec``, ``appendfsync always``, and
``everysec`` with a replica that acknowledges (``react(…, replicas=1)``). It measures four things:
the time of a call, in repetitions that take turns; the time from the reply until the write is on
the disk; the reactions that are missing after ``kill -9`` of the server under load and a restart
from its file; and the reactions that are missing on a replica that is promoted after the primary
died with its disk. The replica is behind a link with a delay; bytes in the link are lost with the
primary, as they would be with a machine.

Times are in ms.
"""

from __future__ import annotations

import logging

import click

from benchmarks.scenarios.durability.measure import costs, kills, promotions, windows
from benchmarks.scenarios.durability.report import print_tables
from benchmarks.support import machine, output, servers
from reactions.cli.console import bars


@click.command(context_settings=output.HELP)
@click.option("--calls", type=click.IntRange(100), default=1_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=20, show_default=True)
@click.option("--kills", "times", type=click.IntRange(1), default=30, show_default=True)
@click.option("--writers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--delay-ms",
    type=click.FloatRange(0, 1_000),
    default=1.0,
    show_default=True,
    help="Delay of the link to the replica, each way.",
)
@output.as_markdown
@output.as_json
def main(
    calls: int,
    rounds: int,
    seconds: float,
    times: int,
    writers: int,
    delay_ms: float,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure what Redis itself may lose, and what it costs to lose less."""
    output.quiet_logs()
    logging.getLogger("reactions").setLevel(logging.ERROR)
    delay_s = delay_ms / 1e3
    with servers.temporary_folder("durability") as where, bars(36) as show:
        figures = {
            "machine": machine.summary(),
            "link_delay_ms": delay_ms,
            "cost": costs(where, calls, rounds, delay_s, show),
            "window": windows(where, seconds, writers, show),
            "kill": kills(where, times, writers, show),
            "promotion": promotions(where, times, writers, delay_s, show),
        }
    print_tables(figures, as_markdown)
    output.finish(figures, as_json)
