"""The main job, start to end, on servers of its own: replay, wait until durable, verify."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reactions.core.constants import MAX_ID
from reactions.core.latency_histogram import percentile
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.replay import Replayed, clean_scratch, quantile, replay
from reactions.demo.stack import Stack
from reactions.demo.trace import Trace, synthesize
from reactions.maintenance.verify import Verification, Verifier, mismatched
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.outbox import Outbox
from reactions.web.page.feed import GUESTS

Outage = Literal["broker", "database"]

CATCH_UP_S = 300.0
"""How long after the last reaction the demo waits for all of them to be durable."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a demo; the names are those of its JSON."""

    events: int
    accepted_per_s: float
    durable_per_s: float
    react_p50_us: float
    react_p99_us: float
    react_max_us: float
    script_p50_us: float
    """The bare script by redis-py, sampled in the same run."""
    react_p50_over_script: float
    lag_p99_ms: float
    catch_up_s: float
    tasks_enqueued: int
    tasks_per_1000: float
    wakeups_failed: int
    wakeups_dropped: int
    retried: int
    posts: int
    statuses: Mapping[str, int]
    broken_lines: int
    mismatched_reactions: int
    drifted_counts_database: int
    drifted_counts_redis: int
    drifted_hashes: int
    drifted_samples: int
    hashes: int
    samples: int
    pending: int
    dead_letters: int
    undecided: int
    outage: str | None
    outage_s: float

    @property
    def holds(self) -> bool:
        """Everything is durable, and the stores agree with the trace, reaction by reaction."""
        return not (
            self.mismatched_reactions
            or self.drifted_counts_database
            or self.drifted_counts_redis
            or self.drifted_hashes
            or self.drifted_samples
            or self.pending
            or self.dead_letters
            or self.undecided
        )


class Interruption:
    """Takes a server away for the middle third of a replay."""

    def __init__(self, stack: Stack, outage: Outage | None, events: int) -> None:
        servers: dict[str | None, Valkey | Postgres] = {
            "broker": stack.broker,
            "database": stack.postgres,
        }
        self._server = servers.get(outage)
        self._from, self._to = events // 3, events * 2 // 3
        self._began = 0.0
        self.seconds = 0.0

    def at(self, accepted: int) -> None:
        """Called with the progress of the replay."""
        if self._server is None or self.seconds:
            return
        if not self._began and accepted >= self._from:
            self._server.stop()
            self._began = time.monotonic()
        elif self._began and accepted >= self._to:
            self._server.start()
            self.seconds = time.monotonic() - self._began


def types_of(trace: Trace) -> Settings:
    """Settings whose reaction types are those of a trace; the default ones if those suffice."""
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
    outage: Outage | None,
    progress: Callable[[str, int, int], None],
) -> tuple[Report, list[str]]:
    """Replay a trace on a running stack and hold the stores against it.

    Args:
        progress: told the phase, how far it is, and how far it goes.

    Returns:
        The figures, and the first differences in words.
    """
    settings = stack.settings
    client, database = connect(settings), Database(settings, name="reactions-demo")
    outbox = Outbox(client, settings)
    events = sum(1 for _ in trace)
    interruption = Interruption(stack, outage, events)

    def replayed(accepted: int) -> None:
        progress("replaying", accepted, events)
        interruption.at(accepted)
        stack.supervise()

    def settling(pending: int, most: int) -> None:
        progress("becoming durable", most - pending, most)
        stack.supervise()

    played = replay(settings, trace.path, events=trace.limit, writers=writers, progress=replayed)
    interruption.at(events)
    catch_up = _wait_durable(outbox, settling)
    stack.stop_page()
    _wait_durable(outbox, settling)  # what somebody did there meanwhile
    clean_scratch(settings)
    verifier = Verifier(client, database, settings)
    found = verifier.verify(lambda posts: progress("verifying", posts, posts))
    codes = settings.reaction_types
    expected = {
        post_id: {user_id: codes[name] for user_id, name in users.items()}
        for post_id, users in trace.outcome().items()
    }
    queries = Queries(database)
    for (post_id, user_id), code in queries.of_users(GUESTS, MAX_ID).items():
        expected.setdefault(post_id, {}).setdefault(user_id, code)  # reacted on the page
    wrong = mismatched(queries, expected, found.note)
    ran = stack.worker_stats().get("total", {})
    database.close()
    # Every message: the writers' wake-ups, or more where sweeps and retries added to them.
    drains = max(played.published, int(ran.get("reactions.drain", 0)))
    tasks = drains + int(ran.get("reactions.sweep", 0))
    lag = percentile(outbox.lags(), 0.99)
    outages = (outage, interruption.seconds)
    report = _report(trace, played, found, wrong, catch_up, lag, tasks, outages)
    return report, found.examples


def _wait_durable(outbox: Outbox, progress: Callable[[int, int], None]) -> float:
    """Seconds until nothing was pending any more."""
    began = time.monotonic()
    most = 0
    while pending := outbox.pending():
        most = max(most, pending)
        progress(pending, most)
        if time.monotonic() - began > CATCH_UP_S:
            break
        time.sleep(0.02)
    return time.monotonic() - began


def _report(
    trace: Trace,
    played: Replayed,
    found: Verification,
    wrong: int,
    catch_up: float,
    lag_p99_us: int,
    tasks: int,
    outage: tuple[str | None, float],
) -> Report:
    script = quantile(played.baseline, 0.5)
    p50 = quantile(played.latencies, 0.5)
    return Report(
        events=played.accepted,
        accepted_per_s=round(played.accepted / played.seconds, 1),
        durable_per_s=round(played.accepted / (played.seconds + catch_up), 1),
        react_p50_us=round(p50, 1),
        react_p99_us=round(quantile(played.latencies, 0.99), 1),
        react_max_us=round(quantile(played.latencies, 1.0), 1),
        script_p50_us=round(script, 1),
        react_p50_over_script=round(p50 / script, 3) if script else 0.0,
        lag_p99_ms=round(lag_p99_us / 1000, 1),
        catch_up_s=round(catch_up, 3),
        tasks_enqueued=tasks,
        tasks_per_1000=round(1000 * tasks / max(1, played.accepted), 2),
        wakeups_failed=played.failed,
        wakeups_dropped=played.dropped,
        retried=played.retried,
        posts=found.posts,
        statuses=dict(played.statuses),
        broken_lines=trace.broken_lines,
        mismatched_reactions=wrong,
        drifted_counts_database=found.drifted_counts_database,
        drifted_counts_redis=found.drifted_counts_redis,
        drifted_hashes=found.drifted_hashes,
        drifted_samples=found.drifted_samples,
        hashes=found.hashes,
        samples=found.samples,
        pending=found.pending,
        dead_letters=found.dead_letters,
        undecided=found.undecided,
        outage=outage[0],
        outage_s=round(outage[1], 1),
    )


def trace_file(folder: Path, path: Path | None, events: int | None) -> Path:
    """The trace to replay: the given one, or a generated burst in the state folder."""
    if path is not None:
        return path
    target = folder / "synthetic.csv"
    synthesize(target, events or 50_000, list(Settings.from_env().reaction_types))
    return target
