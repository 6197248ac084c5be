"""The figures of a demo, and when they are in order."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import cast

import pytest

from reactions.demo.outage import Outage
from reactions.demo.replay import Replayed
from reactions.demo.report import Measured, Report, make_report
from reactions.demo.stack import Stack
from reactions.maintenance.compare import Kind
from reactions.maintenance.verify import Verification


class NoServers:
    broker = postgres = None


def report(played: Replayed, found: Verification, mismatched: int = 0) -> Report:
    outage = Outage(cast(Stack, NoServers()), None, 100)
    return make_report(played, found, outage, Measured(1, mismatched, 0.5, 80_000, 10, 4))


PLAYED = Replayed(accepted=1_000, seconds=2.0, latencies=array("d", [100.0, 200.0, 400.0]))


def test_rates_and_ratios() -> None:
    played = Replayed(
        accepted=1_000,
        seconds=2.0,
        latencies=array("d", [100.0, 200.0, 400.0]),
        baseline=array("d", [100.0, 100.0]),
        statuses=Counter(created=1_000),
    )
    made = report(played, Verification(posts=7))
    assert (made.accepted_per_s, made.durable_per_s) == (500.0, 400.0)
    assert (made.react_p50_us, made.react_max_us, made.react_p50_over_script) == (200.0, 400.0, 2.0)
    assert (made.lag_p99_ms, made.tasks_per_1000, made.posts) == (80.0, 10.0, 7)
    assert (made.broken_lines, made.outage, made.outage_s) == (1, None, 0)
    assert made.holds


def test_without_a_baseline_there_is_no_ratio() -> None:
    assert report(PLAYED, Verification()).react_p50_over_script == 0.0


@pytest.mark.parametrize(
    "found",
    [
        Verification(pending=1),
        Verification(dead_letters=1),
        Verification(undecided=1),
        Verification(found=Counter({Kind.COUNTS: 1})),
        Verification(found=Counter({Kind.LEDGER: 1})),
    ],
)
def test_any_difference_fails_the_demo(found: Verification) -> None:
    assert not report(PLAYED, found).holds


def test_a_reaction_that_differs_from_the_trace_fails_the_demo() -> None:
    assert not report(PLAYED, Verification(), mismatched=1).holds
