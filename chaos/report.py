"""The figures of a chaos run, and a table of several runs.

``python -m chaos.report FILE...`` prints a Markdown table of runs whose --json output is in FILEs.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos.history import Fate, Kind, Operation
from chaos.nemesis import Fault
from chaos.verdict import Verdict, Wrong
from reactions.demo.replay import quantile

LOSSES = (Wrong.LOST, Wrong.UNDEAD, Wrong.PENDING)
DRIFTS = (Wrong.DRIFT, Wrong.DUPLICATED)


@dataclass(slots=True)
class Report:
    """What happened in a run, and what is wrong.

    Attributes:
        peace: when the time without faults began and ended.
        quiet_s: from the end of the last fault until nothing was pending.
        redis_kills: how often Redis was killed; it may lose what it acknowledged just before.
        missed: kind of fault -> how often it was chosen and did not happen.
        found_by_duties: kind of difference -> how many Beat's duties found and repaired.
        repaired: the recorded differences, in words.
    """

    seed: int
    faults: list[Fault] = field(default_factory=list)
    history: list[Operation] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    peace: tuple[float, float] = (0.0, 0.0)
    quiet_s: float = 0.0
    redis_kills: int = 0
    missed: dict[str, int] = field(default_factory=dict)
    found_by_duties: dict[str, int] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        verdict = self.verdict
        recoveries = [fault.recovery_s for fault in self.faults]
        return {
            "seed": self.seed,
            "faults": len(self.faults),
            "reactions": sum(_acknowledged(operation) for operation in self.history),
            "unanswered": self._number(Kind.WRITE, Fate.OPEN),
            "reads_checked": self._number(Kind.READ, Fate.DONE),
            "lost": verdict.number(*LOSSES),
            "invented": verdict.number(Wrong.INVENTED),
            "drift": verdict.number(*DRIFTS) + sum(fault.drift for fault in self.faults),
            "violations": len(verdict.violations),
            "lost_in_fsync_window": verdict.in_window,
            "redis_kills": self.redis_kills,
            "no_write_s": self._longest_without(Kind.WRITE),
            "no_read_s": self._longest_without(Kind.READ),
            "recovery_p50_s": _quantile(recoveries, 0.5),
            "recovery_p99_s": _quantile(recoveries, 0.99),
            "quiet_s": round(self.quiet_s, 2),
            "peace": self._speed(*self.peace),
            "under_faults": self._speed(self.peace[1], float("inf")),
            "found_by_duties": self.found_by_duties,
            "repaired": self.repaired,
            "kinds": self._kinds(),
            "missed": self.missed,
            "examples": [f"{v.wrong}: {v.words}" for v in verdict.violations[:20]],
        }

    def _number(self, kind: Kind, fate: Fate) -> int:
        return sum(op.kind is kind and op.fate is fate for op in self.history)

    def _longest_without(self, kind: Kind) -> float:
        """The longest time (s) under faults in which no call of this kind was answered."""
        done = (op.ended for op in self.history if op.kind is kind and op.fate is Fate.DONE)
        ends = sorted(max(end, self.peace[1]) for end in done)
        return round(max((b - a for a, b in pairwise(ends)), default=0.0), 2)

    def _speed(self, begins: float, ends: float) -> dict[str, Any]:
        """Rate and times of the reactions that began in this time."""
        made = [op for op in self.history if _acknowledged(op) and begins <= op.began < ends]
        if not made:
            return {}
        took = [(operation.ended - operation.began) * 1e3 for operation in made]
        lasted = min(ends, max(operation.ended for operation in made)) - begins
        return {
            "reactions_per_s": round(len(made) / lasted, 1),
            "p50_ms": _quantile(took, 0.5),
            "p99_ms": _quantile(took, 0.99),
        }

    def _kinds(self) -> dict[str, dict[str, Any]]:
        """Kind of fault -> its number, the violations blamed on it, and the recovery times."""
        lost, wrong = self._blamed(LOSSES), self._blamed(tuple(Wrong))
        kinds: dict[str, list[Fault]] = defaultdict(list)
        for fault in self.faults:
            kinds[fault.kind].append(fault)
        return {
            kind: {
                "times": len(found),
                "lost": lost[kind],
                "violations": wrong[kind],
                "drift": sum(fault.drift for fault in found),
                "recovery_s": [round(fault.recovery_s, 2) for fault in found],
            }
            for kind, found in sorted(kinds.items())
        }

    def _blamed(self, wrongs: Sequence[Wrong]) -> Counter[str]:
        """Kind of fault -> violations. Each violation is blamed on the last faults before it."""
        blamed: Counter[str] = Counter()
        for violation in self.verdict.violations:
            if violation.wrong in wrongs and violation.at is not None:
                before = [f for f in self.faults if f.began <= violation.at]
                began = before[-1].began if before else 0.0
                blamed.update(f.kind for f in before if f.healed >= began)
        return blamed


def _acknowledged(operation: Operation) -> bool:
    return operation.kind is Kind.WRITE and operation.fate is Fate.DONE


def _quantile(numbers: Sequence[float], share: float) -> float | None:
    return round(quantile(sorted(numbers), share), 2) if numbers else None


def table(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a Markdown table of several runs: one for each kind of fault, one for all."""
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        for kind, figures in run["kinds"].items():
            kinds[kind].append(figures)
    yield "| fault | times | lost | drift | recovered in s: p50 | at most |"
    yield "|---|---:|---:|---:|---:|---:|"
    for kind in sorted(kinds, key=str.lower):
        yield _line(kind, kinds[kind])
    together = [figures for found in kinds.values() for figures in found]
    yield _line("**all**", together)


def _line(kind: str, found: Sequence[Mapping[str, Any]]) -> str:
    times, lost, drift = (sum(f[name] for f in found) for name in ("times", "lost", "drift"))
    recoveries = [seconds for figures in found for seconds in figures["recovery_s"]]
    p50, most = _quantile(recoveries, 0.5), max(recoveries)
    return f"| {kind} | {times:,} | {lost} | {drift} | {p50:.1f} | {most:.1f} |"


if __name__ == "__main__":
    print(*table([json.loads(Path(name).read_text()) for name in sys.argv[1:]]), sep="\n")  # noqa: T201
