"""Says from the history alone what was lost, invented, duplicated, reordered, or drifted. Pure.

The rule is that of a register: what is there in the end was written by somebody, and nothing that
was acknowledged came wholly after it. A call without an answer may have been done, up to LATE_S
after its caller gave up (its request may lie in a stopped server's buffer), or not at all.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chaos.history import Fate, Kind, Operation
from reactions.core.constants import shard_of

LATE_S = 5.0
"""Longer than the nemesis ever stops Redis."""

WINDOW_S = 2.0
"""What a Redis that is killed may lose with ``appendfsync everysec``: it delays its write to the
file for up to two seconds while an fsync is under way (redis.conf)."""

READ_LATE_S = 0.5
"""How long an answer may lie with the caller before it is read: the caller's clock says when."""

TELLS_WHAT_WAS = frozenset({"created", "replaced", "removed"})
"""Outcomes that say what was before. ``accepted`` does not, nor does ``unchanged``: it is also the
answer to a call that was sent twice because its connection broke."""

Pair = tuple[int, int]
"""(post, user)."""


class Wrong(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    """Acknowledged, and not there."""
    INVENTED = "invented"
    """There, and nobody did it."""
    DUPLICATED = "duplicated"
    """One change counted, or numbered, twice."""
    REORDERED = "reordered"
    """An older change came after a newer one."""
    STALE = "stale"
    """A user did not read what they wrote."""
    DISHONEST = "dishonest"
    """An outcome said what was not so."""
    UNDEAD = "undead"
    """There after a deletion that was acknowledged."""
    DRIFT = "drift"
    """Counts are not the rows, or Redis is not PostgreSQL."""
    PENDING = "pending"
    """Not in PostgreSQL, long after the last fault."""
    BURIED = "buried"
    """Among the dead letters, though it was good."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong, in words; ``at`` is the moment it goes back to, if any."""

    wrong: Wrong
    words: str
    at: float | None = None


@dataclass(slots=True)
class Final:
    """Both stores when all is quiet.

    Attributes:
        rows: (post, user) -> (value, version); the value of a tombstone is None.
        counts: (post, value) -> number, of the counts table.
        shown: the same, as the library answers.
        differences: between Redis and PostgreSQL, in words.
        pending: changes still on their way.
        buried: dead letters.
    """

    rows: Mapping[Pair, tuple[str | None, int]] = field(default_factory=dict)
    counts: Mapping[tuple[int, str], int] = field(default_factory=dict)
    shown: Mapping[tuple[int, str], int] = field(default_factory=dict)
    differences: Sequence[str] = ()
    pending: int = 0
    buried: int = 0


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        violations: of what is promised.
        in_window: reactions lost within the fsync window of a killed Redis; not promised.
    """

    violations: list[Violation] = field(default_factory=list)
    in_window: int = 0

    def number(self, *kinds: Wrong) -> int:
        return sum(violation.wrong in kinds for violation in self.violations)


class Register:
    """The writes of one (post, user), and which value may be the last one at some moment.

    Args:
        losses: when Redis was killed: what it had acknowledged just before may be gone.
    """

    def __init__(self, writes: Iterable[Operation], losses: Sequence[float] = ()) -> None:
        self.writes = [write for write in writes if write.fate is not Fate.REFUSED]
        self.losses = losses

    def values(
        self, began: float = math.inf, ended: float = math.inf, *, but: Operation | None = None
    ) -> set[str | None]:
        """What may be there for a call between these moments, itself (``but``) not regarded."""
        known = [write for write in self.writes if write.began < ended and write is not but]
        firm = [write.began for write in known if write.ended < began and self.firm(write, ended)]
        newest = max(firm, default=-math.inf)
        possible = {write.value for write in known if _latest(write) >= newest}
        return possible if firm else possible | {None}

    def firm(self, write: Operation, at: float = math.inf) -> bool:
        """Whether it was acknowledged, and no death of Redis before ``at`` may have undone it."""
        return write.fate is Fate.DONE and not any(
            write.ended - READ_LATE_S <= loss <= min(write.ended + WINDOW_S, at)
            for loss in self.losses
        )


def check(history: Sequence[Operation], final: Final, losses: Sequence[float] = ()) -> Verdict:
    """Everything that can be said.

    Args:
        history: of all writers, in the order in which the operations began.
        losses: moments at which Redis was killed.
    """
    verdict = Verdict()
    writes: dict[Pair, list[Operation]] = defaultdict(list)
    for operation in history:
        if operation.kind is Kind.WRITE:
            writes[operation.post, operation.user].append(operation)
    ends = _Ends.of(history)
    for pair in sorted(writes.keys() | final.rows.keys()):
        if pair[0] in ends.deletes or pair[1] in ends.forgets:
            continue
        strict = list(_check_pair(pair, Register(writes[pair]), final))
        if strict:
            lenient = list(_check_pair(pair, Register(writes[pair], losses), final))
            verdict.violations += lenient
            verdict.in_window += not lenient
    verdict.violations += _check_ends(ends, writes, final, losses)
    verdict.violations += _check_answers(history, writes, ends, losses)
    verdict.violations += _check_versions(history, losses)
    verdict.violations += _check_counts(final)
    return verdict


def _latest(write: Operation) -> float:
    """Until when it may have been done."""
    return write.ended + (LATE_S if write.fate is Fate.OPEN else 0.0)


# -- what is there in the end ----------------------------------------------------------------------


def _check_pair(pair: Pair, register: Register, final: Final) -> Iterator[Violation]:
    """One (post, user): the first thing that is wrong with its row."""
    value, version = final.rows.get(pair, (None, 0))
    where = f"post {pair[0]}, user {pair[1]}: the row says {value} (version {version})"
    writes = register.writes
    given = {write.version: write for write in writes if write.version}
    newest = max(
        (write for write in given.values() if register.firm(write)),
        key=lambda write: write.version,
        default=None,
    )
    unnumbered = {write.value for write in writes if not write.version}
    if value is not None and value not in {write.value for write in writes}:
        yield Violation(Wrong.INVENTED, f"{where}, which nobody wrote")
    elif version in given and given[version].value != value:
        told = given[version].value
        yield Violation(Wrong.INVENTED, f"{where}; that version was {told}", given[version].ended)
    elif newest is not None and newest.version > version:
        words = f"{where}; {newest.value} (version {newest.version}) was acknowledged"
        yield Violation(Wrong.LOST, words, newest.ended)
    elif version and version not in given and value not in unnumbered:
        yield Violation(Wrong.REORDERED, f"{where}, written before under another version")
    elif value not in register.values():
        last = max(write.ended for write in writes if register.firm(write))
        words = f"{where}; acknowledged later: {sorted(map(str, register.values()))}"
        yield Violation(Wrong.REORDERED if version else Wrong.LOST, words, last)


@dataclass(slots=True)
class _Ends:
    """Deletions of posts and erasures of users: all that were asked for."""

    deletes: dict[int, list[Operation]]
    forgets: dict[int, list[Operation]]

    @classmethod
    def of(cls, history: Sequence[Operation]) -> _Ends:
        found = cls(defaultdict(list), defaultdict(list))
        for operation in history:
            if operation.kind is Kind.DELETE:
                found.deletes[operation.post].append(operation)
            elif operation.kind is Kind.FORGET:
                found.forgets[operation.user].append(operation)
        return found


def _check_ends(
    ends: _Ends,
    writes: Mapping[Pair, Sequence[Operation]],
    final: Final,
    losses: Sequence[float],
) -> Iterator[Violation]:
    """What was deleted or forgotten is gone, and a deleted post takes nothing more."""
    deleted = {post: since for post, ops in ends.deletes.items() if (since := _since(ops, losses))}
    forgotten = {user: s for user, ops in ends.forgets.items() if (s := _since(ops, losses))}
    for (post, user), (value, _) in final.rows.items():
        if value is not None and post in deleted:
            yield Violation(Wrong.UNDEAD, f"post {post} is deleted, user {user} has {value}")
        elif value is not None and user in forgotten:
            late = {w.value for w in writes[post, user] if _latest(w) > forgotten[user]}
            if value not in late:
                yield Violation(Wrong.UNDEAD, f"user {user} is forgotten, post {post} has {value}")
    for (post, user), done in writes.items():
        for write in done:
            if write.fate is Fate.DONE and write.began > deleted.get(post, math.inf):
                words = f"post {post}, deleted, took {write.value} from user {user}"
                yield Violation(Wrong.UNDEAD, words, write.ended)
            if write.fate is Fate.REFUSED and post not in ends.deletes:
                words = f"post {post} refused user {user}, and nobody deleted it"
                yield Violation(Wrong.DISHONEST, words, write.ended)


def _since(operations: Sequence[Operation], losses: Sequence[float]) -> float | None:
    """Since when it certainly holds, and no death of Redis undid it; None if that is not sure."""
    register = Register(operations, losses)
    return min((done.ended for done in operations if register.firm(done)), default=None)


# -- what was answered meanwhile -------------------------------------------------------------------


def _check_answers(
    history: Sequence[Operation],
    writes: Mapping[Pair, Sequence[Operation]],
    ends: _Ends,
    losses: Sequence[float],
) -> Iterator[Violation]:
    """Users read what they wrote, and outcomes say what was so."""
    registers = {pair: Register(done, losses) for pair, done in writes.items()}
    nothing = Register(())
    for operation in history:
        post, user = operation.post, operation.user
        if operation.fate is not Fate.DONE or post in ends.deletes:
            continue
        register = registers.get((post, user), nothing)
        if operation.kind is Kind.READ:
            possible = register.values(operation.began, operation.ended)
            if operation.value not in possible:
                words = f"post {post}, user {user}: read {operation.value}, not one of {possible}"
                yield Violation(Wrong.STALE, words, operation.ended)
        elif operation.status in TELLS_WHAT_WAS:
            possible = register.values(operation.began, operation.ended, but=operation)
            if operation.previous not in possible:
                words = (
                    f"post {post}, user {user}: {operation.status} in place of "
                    f"{operation.previous}, but before it was one of {possible}"
                )
                yield Violation(Wrong.DISHONEST, words, operation.ended)


def _check_versions(history: Sequence[Operation], losses: Sequence[float]) -> Iterator[Violation]:
    """In each shard no version is given twice, and a later call has a higher one."""
    shards: dict[int, list[Operation]] = defaultdict(list)
    firm = Register((), losses).firm
    for operation in history:
        if operation.version and firm(operation):
            shards[shard_of(operation.post)].append(operation)
    for shard, numbered in shards.items():
        often = Counter(operation.version for operation in numbered)
        for version, times in often.items():
            if times > 1:
                words = f"shard {shard}: {times} calls were given version {version}"
                yield Violation(Wrong.DUPLICATED, words)
        ended = sorted(numbered, key=lambda operation: operation.ended)
        highest, done = 0, 0
        for operation in numbered:  # in the order in which they began
            while ended[done].ended < operation.began:
                highest = max(highest, ended[done].version)
                done += 1
            if operation.version < highest:
                words = f"shard {shard}: version {operation.version} was given after {highest}"
                yield Violation(Wrong.REORDERED, words, operation.ended)


# -- whether the stores agree ----------------------------------------------------------------------


def _check_counts(final: Final) -> Iterator[Violation]:
    """The counts are the rows, in both stores, and nothing is left over."""
    rows = Counter((post, value) for (post, _), (value, _) in final.rows.items() if value)
    for key in sorted(rows.keys() | final.counts.keys() | final.shown.keys()):
        post, value = key
        counted, shown = final.counts.get(key, 0), final.shown.get(key, 0)
        words = f"post {post}: {rows[key]} rows of {value}"
        if counted != rows[key]:
            kind = Wrong.DUPLICATED if counted > rows[key] else Wrong.DRIFT
            yield Violation(kind, f"{words}, counted as {counted}")
        if shown != rows[key]:
            yield Violation(Wrong.DRIFT, f"{words}, shown as {shown}")
    for difference in final.differences:
        yield Violation(Wrong.DRIFT, difference)
    if final.pending:
        yield Violation(Wrong.PENDING, f"{final.pending} changes are still on their way")
    if final.buried:
        yield Violation(Wrong.BURIED, f"{final.buried} good changes are among the dead letters")
