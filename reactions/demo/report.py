"""The figures of a demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.demo.outage import Outage
from reactions.demo.replay import Replayed, quantile
from reactions.maintenance.verify import Verification


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a demo. Its JSON has the same names."""

    events: int
    accepted_per_s: float
    durable_per_s: float
    react_p50_us: float
    react_p99_us: float
    react_max_us: float
    script_p50_us: float
    """The script alone, called through redis-py now and then during the same replay."""
    react_p50_over_script: float
    lag_p99_ms: float
    catch_up_s: float
    tasks_enqueued: int
    tasks_per_1000: float
    wakeups_failed: int
    wakeups_dropped: int
    retried: int
    posts: int
    loads: int
    """Messages that asked the workers to load posts and users, each for up to 200."""
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
        """Everything is durable, and both stores agree with the trace, reaction by reaction."""
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


@dataclass(frozen=True, slots=True)
class Measured:
    """What the demo measured beside the replay and the verification.

    Attributes:
        broken_lines: lines of the trace that could not be read.
        mismatched: reactions in PostgreSQL that differ from the trace.
        catch_up_s: the time from the last event until all were durable.
        lag_p99_us: the 99th percentile of the time from `react()` to the commit.
        tasks: messages to the workers.
        loads: messages among them that asked for loads.
    """

    broken_lines: int
    mismatched: int
    catch_up_s: float
    lag_p99_us: int
    tasks: int
    loads: int


def make_report(
    played: Replayed, found: Verification, outage: Outage, measured: Measured
) -> Report:
    """Combine the results of the replay, of the verification and of the other measurements."""
    return Report(
        events=played.accepted,
        accepted_per_s=round(played.accepted / played.seconds, 1),
        durable_per_s=round(played.accepted / (played.seconds + measured.catch_up_s), 1),
        react_p50_us=round(quantile(played.latencies, 0.5), 1),
        react_p99_us=round(quantile(played.latencies, 0.99), 1),
        react_max_us=round(quantile(played.latencies, 1.0), 1),
        script_p50_us=round(quantile(played.baseline, 0.5), 1),
        react_p50_over_script=_p50_over_script(played),
        lag_p99_ms=round(measured.lag_p99_us / 1000, 1),
        catch_up_s=round(measured.catch_up_s, 3),
        tasks_enqueued=measured.tasks,
        tasks_per_1000=round(1000 * measured.tasks / max(1, played.accepted), 2),
        wakeups_failed=played.failed,
        wakeups_dropped=played.dropped,
        retried=played.retried,
        posts=found.posts,
        loads=measured.loads,
        statuses=dict(played.statuses),
        broken_lines=measured.broken_lines,
        mismatched_reactions=measured.mismatched,
        drifted_counts_database=found.drifted_counts_database,
        drifted_counts_redis=found.drifted_counts_redis,
        drifted_hashes=found.drifted_hashes,
        drifted_samples=found.drifted_samples,
        hashes=found.hashes,
        samples=found.samples,
        pending=found.pending,
        dead_letters=found.dead_letters,
        undecided=found.undecided,
        outage=outage.target,
        outage_s=round(outage.seconds, 1),
    )


def _p50_over_script(played: Replayed) -> float:
    script = quantile(played.baseline, 0.5)
    return round(quantile(played.latencies, 0.5) / script, 3) if script else 0.0
