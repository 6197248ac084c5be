"""Says from the history alone what was lost, invented, duplicated, reordered, or drifted. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.history import Fate, Kind, Operation
from chaos.register import Register, latest
from chaos.verdict import Final, Pair, Verdict, Violation, Wrong
from reactions.core.constants import shard_of

NAMES_PREVIOUS = frozenset({"created", "replaced", "removed"})
"""Outcomes that name the previous reaction reliably. ``accepted`` names none. ``unchanged`` is also
the answer to a call that was sent twice because its connection broke."""


def check(history: Sequence[Operation], final: Final, losses: Sequence[float] = ()) -> Verdict:
    """Check everything.

    Args:
        history: the operations of all writers, in the order in which they began.
        losses: when Redis was killed, in s of the monotonic clock.
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


def _check_pair(pair: Pair, register: Register, final: Final) -> Iterator[Violation]:
    """The first violation of one (post, user), if any."""
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
        write = given[version]
        yield Violation(Wrong.INVENTED, f"{where}; that version was {write.value}", write.ended)
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
    """All requested deletions of posts (post -> calls) and erasures of users (user -> calls)."""

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
    """Deleted and forgotten reactions are gone, and a deleted post accepts no more."""
    deleted = {post: since for post, ops in ends.deletes.items() if (since := _since(ops, losses))}
    forgotten = {user: s for user, ops in ends.forgets.items() if (s := _since(ops, losses))}
    for (post, user), (value, _) in final.rows.items():
        if value is not None and post in deleted:
            yield Violation(Wrong.UNDEAD, f"post {post} is deleted, user {user} has {value}")
        elif value is not None and user in forgotten:
            late = {w.value for w in writes[post, user] if latest(w) > forgotten[user]}
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
    """When the first certain call ended; None if a kill of Redis may have undone all of them."""
    register = Register(operations, losses)
    return min((done.ended for done in operations if register.firm(done)), default=None)


def _check_answers(
    history: Sequence[Operation],
    writes: Mapping[Pair, Sequence[Operation]],
    ends: _Ends,
    losses: Sequence[float],
) -> Iterator[Violation]:
    """Users read what they wrote, and outcomes name the right previous reaction."""
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
        elif operation.status in NAMES_PREVIOUS:
            possible = register.values(operation.began, operation.ended, but=operation)
            if operation.previous not in possible:
                words = (
                    f"post {post}, user {user}: {operation.status} in place of "
                    f"{operation.previous}, but before it was one of {possible}"
                )
                yield Violation(Wrong.DISHONEST, words, operation.ended)


def _check_versions(history: Sequence[Operation], losses: Sequence[float]) -> Iterator[Violation]:
    """No shard gives a version twice, and a later call gets a higher version."""
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


def _check_counts(final: Final) -> Iterator[Violation]:
    """Counts agree with the rows in both stores, and nothing is pending or a dead letter."""
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
        yield Violation(Wrong.PENDING, f"{final.pending} changes are still pending")
    if final.dead_letters:
        yield Violation(Wrong.DEAD_LETTER, f"{final.dead_letters} valid changes are dead letters")
