"""A system that keeps its promises, in memory: histories to test the checker with. Pure.

Each call takes effect at one moment between its invocation and its answer; one without an answer
may take effect later, or never. From this alone a history and the final state follow.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from chaos.checker import LATE_S, Final, Pair
from chaos.history import Fate, Kind, Operation

VALUES = ("like", "love", "wow")
POSTS = (1, 2, 101)
"""The first and the last share a shard, and so its versions."""

USERS = (7, 8, 9)


@dataclass(frozen=True, slots=True)
class Call:
    """What a writer is to do; times are in units of its choice, each effect at a moment of its own.

    Attributes:
        effect: when it is done, from ``began`` on; never for None (its answer is then missing too).
        answered: whether its caller heard of it.
        knows: whether the outcome says what was before.
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
    """Runs calls, and remembers."""

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
        """Both stores, when all of it has arrived."""
        counts = Counter((post, value) for (post, _), (value, _) in self.rows.items() if value)
        return Final(dict(self.rows), dict(counts), dict(counts))


def newest(world: World) -> Operation:
    """The last write that a row holds and that was answered with its version."""
    versions = {version for _, version in world.rows.values()}
    return max(
        (op for op in world.history if op.version in versions and op.version),
        key=lambda operation: operation.version,
    )


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Of several writers at once."""
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
