"""``reactions demo``: the whole system once, on temporary servers."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reactions.cli.console import as_json, bars, err, finish, print_report, require_embedded, say
from reactions.cli.foreground import keep_running
from reactions.cli.options import event_limit, process_count, trace_path

if TYPE_CHECKING:
    from reactions.demo.outage import Target
    from reactions.demo.report import Report
    from reactions.demo.stack import Stack
    from reactions.demo.trace import Trace


@click.command()
@click.option(
    "--trace",
    type=trace_path,
    help="CSV (.gz) with the columns ts_seconds,user_id,item_id,type. "
    "Without one, the demo generates a burst.",
)
@click.option("--events", type=event_limit, help="Replay at most this many events.")
@click.option(
    "--writers",
    type=process_count,
    default=4,
    show_default=True,
    help="Web processes that call react().",
)
@click.option(
    "--workers", type=process_count, default=2, show_default=True, help="Worker processes."
)
@click.option(
    "--outage",
    type=click.Choice(["broker", "database"]),
    help="Stop this server for the middle third of the replay.",
)
@click.option("--warm", is_flag=True, help="Warm each post before its first reaction.")
@click.option("--exit", "at_once", is_flag=True, help="Exit after the report, on a terminal too.")
@as_json
def demo(
    trace: Path | None,
    events: int | None,
    writers: int,
    workers: int,
    outage: Target | None,
    warm: bool,
    at_once: bool,
    as_json: bool,
) -> None:
    """Run the whole system on temporary servers and verify it.

    The demo starts Valkey, PostgreSQL, a worker, beat and Flower in a temporary folder, and a page
    that shows them at work. It replays the trace as fast as react() accepts it, waits until every
    reaction is durable, and compares both stores with the trace, reaction by reaction. On a
    terminal, the stack then stays up until Ctrl-C. The demo deletes its folder at the end.

    Exit code 0 if both stores agree with the trace, 1 if not.
    """
    require_embedded()
    from reactions.demo.run import settings_for
    from reactions.demo.signals import ignore_stop_signals
    from reactions.demo.stack import Stack
    from reactions.demo.state_folder import remove
    from reactions.demo.synthetic_trace import trace_file
    from reactions.demo.trace import Trace

    folder = Path(tempfile.mkdtemp(prefix="reactions-demo-"))
    try:
        source = Trace(trace_file(folder, trace, events), events)
        if trace is None:
            say("no --trace given: replaying a generated (synthetic) burst")
        stack = Stack(folder, settings_for(source), concurrency=workers, page=True, say=say)
        with stack:
            report = _replay_and_verify(stack, source, writers, outage, warm=warm)
            if sys.stdout.isatty() and not (at_once or as_json):
                stack.start_page()  # it was stopped for the comparison
                hint = f"still running: {stack.page_url} - press Ctrl-C to stop"
                keep_running(stack, lambda: say(hint))
    finally:
        with ignore_stop_signals():
            remove(folder)
    finish(asdict(report), as_json, report.holds)


def _replay_and_verify(
    stack: Stack, source: Trace, writers: int, outage: Target | None, *, warm: bool
) -> Report:
    from reactions.demo.run import run

    say(f"watch it here: {stack.page_url}")
    # The writers count into this folder, so that the page shows them.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(stack.metrics)
    with bars() as progress:
        report, examples = run(
            stack, source, writers=writers, outage=outage, warm=warm, progress=progress
        )
    for line in [*source.broken, *examples]:
        err.print(line, style="red")
    print_report(asdict(report), report.holds)
    return report
