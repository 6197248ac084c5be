"""``reactions replay``: a trace against the configured stack."""

from __future__ import annotations

from pathlib import Path

import click

from reactions.cli.console import as_json, bars, err, finish, print_report
from reactions.cli.options import chosen_space, event_limit, of_space, process_count, trace_path
from reactions.core.settings import Settings


@click.command()
@click.argument("trace", type=trace_path)
@click.option("--events", type=event_limit, help="Replay at most this many events.")
@click.option(
    "--writers",
    type=process_count,
    default=4,
    show_default=True,
    help="Processes that call react().",
)
@as_json
@of_space
def replay(trace: Path, events: int | None, writers: int, as_json: bool) -> None:
    """Send the reactions of TRACE through react().

    Replays against the configured stack, as fast as react() accepts. REACTIONS_REACTION_TYPES must
    contain every type of the trace.
    """
    from reactions.cli.interrupts import interruptible
    from reactions.demo.baseline import delete_scratch_keys
    from reactions.demo.replay import quantile
    from reactions.demo.replay import replay as play
    from reactions.demo.trace import Trace

    settings, source = Settings.from_env().of_space(chosen_space()), Trace(trace, events)
    unknown = [name for name in source.types() if name not in settings.reaction_types]
    if unknown:
        raise click.ClickException(
            f"the trace has types that are not configured: {', '.join(unknown)}; "
            f"set REACTIONS_REACTION_TYPES={','.join(source.types())}"
        )
    total = sum(1 for _ in source)
    with interruptible(), bars() as progress:
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
