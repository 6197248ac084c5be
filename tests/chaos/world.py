"""A system in memory that keeps its promises; it makes histories for the tests of the checker.

Each call takes effect at one moment between its start and its answer. A call without an answer may
take effect later, or never. The history and the final state follow from that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from chaos.history import Fate, Kind, Operation
from chaos.register import LATE_S
from chaos.verdict import Final, Pair

VALUES = ("like", "love", "wow")
POSTS = (1, 2, 101)
"""The first and the last post share a shard, and so its versions."""

USERS = (7, 8, 9)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a writer. Each call takes effect at a different moment.

    Attributes:
        effect: when it takes effect, not before ``began``; None for never (then it has no answer).
        answered: whether its caller receives an answer.
        knows: whether the outcome names the previous reaction.
    """

    kind: Kind
    post: int
    user: int
    value: str | None
    began: float
    effect: float | None
    took: float
    answered: bool = True
    knows: bool = True

    @property
    def ended(self) -> float:
        return self.began + self.took


@dataclass(slots=True)
class World:
    """Runs calls, and keeps rows and history."""

    rows: dict[Pair, tuple[str | None, int]] = field(default_factory=dict)
    history: list[Operation] = field(default_factory=list)
    _clock: int = 0

    @classmethod
    def of(cls, calls: list[Call]) -> World:
        world = cls()
        for call in sorted(calls, key=lambda c: c.began if c.effect is None else c.effect):
            world._run(call)
        world.history.sort(key=lambda operation: operation.began)
        return world

    def _run(self, call: Call) -> None:
        pair = call.post, call.user
        before = self.rows.get(pair, (None, 0))[0]
        fate = Fate.DONE if call.answered and call.effect is not None else Fate.OPEN
        status, previous, version, value = "", None, 0, call.value
        if call.kind is Kind.READ:
            value = before
        elif call.effect is not None:
            if call.knows and before == value:
                status = "unchanged"
            else:
                self._clock += 1
                version = self._clock
                self.rows[pair] = value, version
                status, previous = self._outcome(call, before)
        if fate is Fate.OPEN:
            status, previous, version = "", None, 0
            value = None if call.kind is Kind.READ else value
        self.history.append(
            Operation(
                "w",
                call.kind,
                call.user,
                call.post,
                value,
                call.began,
                call.ended,
                fate,
                status,
                previous,
                version,
            )
        )

    @staticmethod
    def _outcome(call: Call, before: str | None) -> tuple[str, str | None]:
        if not call.knows:
            return "accepted", None
        if call.value is None:
            return "removed", before
        return ("replaced" if before else "created"), before

    def final(self) -> Final:
        """Both stores after every change has arrived."""
        counts = Counter((post, value) for (post, _), (value, _) in self.rows.items() if value)
        return Final(dict(self.rows), dict(counts), dict(counts))


def newest(world: World) -> Operation:
    """The newest write that is still in a row, and whose answer had its version."""
    versions = {version for _, version in world.rows.values()}
    return max(
        (op for op in world.history if op.version in versions and op.version),
        key=lambda operation: operation.version,
    )


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Calls of several writers at once."""
    found = []
    for number in range(draw(st.integers(1, 40))):
        began = draw(st.floats(0, 30)) + number * 1e-6
        took = draw(st.floats(0.001, 3))
        kind = draw(st.sampled_from((Kind.WRITE, Kind.WRITE, Kind.READ)))
        answered = draw(st.integers(0, 4)) > 0
        late = 0.0 if answered else LATE_S * 0.9
        done = answered or draw(st.booleans())
        found.append(
            Call(
                kind,
                draw(st.sampled_from(POSTS)),
                draw(st.sampled_from(USERS)),
                draw(st.sampled_from((*VALUES, None))) if kind is Kind.WRITE else None,
                began,
                began + draw(st.floats(0.0001, 0.9999)) * (took + late) if done else None,
                took,
                answered,
                draw(st.booleans()),
            )
        )
    return found
