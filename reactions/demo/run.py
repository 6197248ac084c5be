"""The demo: replay a trace on a running stack, wait until it is durable, and verify."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from reactions.core.constants import MAX_ID
from reactions.core.latency_histogram import percentile
from reactions.core.settings import Settings
from reactions.demo.baseline import delete_scratch_keys
from reactions.demo.outage import Outage, Target
from reactions.demo.replay import Replayed, replay
from reactions.demo.report import Measured, Report, make_report
from reactions.demo.stack import Stack
from reactions.demo.trace import Trace
from reactions.maintenance.verify import Verifier, mismatched
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState
from reactions.web.page.ids import GUESTS

CATCH_UP_S = 300.0
"""How long the demo waits after the last event until all reactions are durable."""

Progress = Callable[[str, int, int], None]


def settings_for(trace: Trace) -> Settings:
    """Return the settings of the environment, with the reaction types that the trace needs."""
    settings = Settings.from_env()
    wanted = trace.types()
    if set(wanted) <= set(settings.reaction_types):
        return settings
    return Settings(reaction_types=wanted)


def run(
    stack: Stack,
    trace: Trace,
    *,
    writers: int,
    outage: Target | None,
    warm: bool = False,
    progress: Progress,
) -> tuple[Report, list[str]]:
    """Replay a trace on a running stack, and compare both stores with the trace.

    Args:
        writers: the number of processes that call `react()`.
        outage: the server to stop for the middle third of the replay.
        warm: warm each post before its first reaction.
        progress: called with the phase, the steps done and all steps of the phase.

    Returns:
        The figures, and the first differences in words.
    """
    settings = stack.settings
    client, database = connect(settings), Database(settings, name="reactions-demo")
    outbox = OutboxState(client, settings)
    interruption = Outage(stack, outage, sum(1 for _ in trace))
    played, catch_up_s = _replay(stack, trace, writers, warm, outbox, interruption, progress)
    verifier = Verifier(client, database, settings)
    found = verifier.verify(lambda posts, total: progress("verifying", posts, total))
    expected = _expected(trace, Queries(database), settings.reaction_types)
    wrong = mismatched(database, expected, found.note)
    ran = stack.worker_stats().get("total", {})
    database.close()
    measured = Measured(
        broken_lines=trace.broken_lines,
        mismatched=wrong,
        catch_up_s=catch_up_s,
        lag_p99_us=percentile(outbox.lags(), 0.99),
        tasks=_tasks(ran, played),
        loads=int(ran.get("reactions.load", 0)),
    )
    return make_report(played, found, interruption, measured), found.examples


def _replay(
    stack: Stack,
    trace: Trace,
    writers: int,
    warm: bool,
    outbox: OutboxState,
    outage: Outage,
    progress: Progress,
) -> tuple[Replayed, float]:
    """Replay, and wait until everything is durable; return also how long that took."""
    events = outage.events

    def replaying(accepted: int) -> None:
        progress("replaying", accepted, events)
        outage.at(accepted)
        stack.supervise()

    def draining(pending: int, peak: int) -> None:
        progress("becoming durable", peak - pending, peak)
        stack.supervise()

    played = replay(
        stack.settings,
        trace.path,
        events=trace.limit,
        writers=writers,
        warm=warm,
        progress=replaying,
    )
    outage.at(events)
    catch_up_s, peak = _wait_durable(outbox, draining)
    stack.stop_page()
    # Visitors may have reacted on the page in between.
    _wait_durable(outbox, lambda pending, more: draining(pending, peak + more))
    delete_scratch_keys(stack.settings)
    return played, catch_up_s


def _expected(
    trace: Trace, queries: Queries, codes: Mapping[str, int]
) -> dict[int, dict[int, int]]:
    """Post -> user -> type code: what the trace says, and what visitors did on the page."""
    expected = {
        post_id: {user_id: codes[name] for user_id, name in users.items()}
        for post_id, users in trace.outcome().items()
    }
    for (post_id, user_id), code in queries.reactions_of_users(GUESTS, MAX_ID).items():
        expected.setdefault(post_id, {}).setdefault(user_id, code)
    return expected


def _tasks(ran: Mapping[str, int], played: Replayed) -> int:
    """Count the messages: the writers' wake-ups, or more if sweeps and retries added some."""
    drains = max(played.published, int(ran.get("reactions.drain", 0)))
    return drains + int(ran.get("reactions.sweep", 0))


def _wait_durable(outbox: OutboxState, progress: Callable[[int, int], None]) -> tuple[float, int]:
    """Wait until nothing is pending, `CATCH_UP_S` at most.

    Calls `progress` with what is pending, and with the most that was; the last time with 0, once
    all is durable.

    Returns:
        The seconds it took, and the most that was pending.
    """
    began = time.monotonic()
    peak = 0
    while pending := outbox.pending():
        peak = max(peak, pending)
        progress(pending, peak)
        if time.monotonic() - began > CATCH_UP_S:
            return time.monotonic() - began, peak
        time.sleep(0.02)
    if peak:
        progress(0, peak)
    return time.monotonic() - began, peak
