"""The figures of a run."""

from __future__ import annotations

from chaos.history import Fate, Kind, Operation
from chaos.report import Report


def call(kind: Kind, ended: float, fate: Fate = Fate.DONE) -> Operation:
    return Operation("writer", kind, 7, 1, "like", ended - 0.01, ended, fate)


def test_the_longest_time_without_an_answer_counts_under_faults_only() -> None:
    report = Report(1, peace=(0.0, 10.0))
    writes = [call(Kind.WRITE, at) for at in (1, 9, 11, 12, 15, 16)]
    reads = [call(Kind.READ, at) for at in (8, 12.5)]
    report.history = [*writes, call(Kind.WRITE, 13, Fate.OPEN), *reads]
    figures = report.figures()
    assert (figures["no_write_s"], figures["no_read_s"]) == (3.0, 2.5)


def test_a_run_without_calls_has_no_such_time() -> None:
    assert Report(1).figures()["no_write_s"] == 0
