"""The write path: checks the arguments, runs one script, and requests a drain if needed.

It imports no SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, repeat
from time import perf_counter
from typing import Any

from redis.exceptions import RedisError

from reactions.api.known_types import KnownTypes
from reactions.api.relay import Relay
from reactions.core.constants import shard_of
from reactions.core.errors import (
    BatchInterrupted,
    InvalidArgument,
    NotReplicated,
    PostDeleted,
    ReactionsError,
    ReactionsUnavailable,
)
from reactions.core.instruments import NOT_TIMED, TIMINGS
from reactions.core.model import Outcome, Status
from reactions.core.settings import Settings
from reactions.core.tracing import active, span
from reactions.core.type_registry import Vocabulary
from reactions.core.validate import check_id, check_reaction, check_replicas, iterate
from reactions.redis.connection import translate
from reactions.redis.scripts.writes import ReactReply
from reactions.redis.writes import RedisWrites

_STATUS = (Status.UNCHANGED, Status.CREATED, Status.REPLACED, Status.REMOVED, Status.ACCEPTED)
REFUSED = len(_STATUS)

DELETED, UNAVAILABLE = "deleted", "unavailable"
"""Labels of the metric of outcomes, beside the values of ``Status``."""

_FAILURES = {PostDeleted: DELETED, NotReplicated: "not_replicated"}


class Writer:
    """Records reactions in Redis, and returns their outcomes."""

    def __init__(
        self,
        writes: RedisWrites,
        relay: Relay,
        settings: Settings,
        known: KnownTypes,
    ) -> None:
        self._writes = writes
        self._relay = relay
        self._known = known
        self._space = settings.space
        self._batch_limit = settings.batch_limit
        self._configured = settings.reaction_types
        self._types: dict[str, int] | None = None
        known.follow(self._learn)

    def _learn(self, known: Vocabulary | None) -> None:
        """Use this vocabulary from now on; None: ask for it before the next write."""
        if known is None:
            self._types = None
            return
        self._names: Mapping[int, str] = {code: name for name, code in known.names.items()}
        retired = known.retired
        self._types = {name: code for name, code in known.given.items() if code not in retired}

    def _code(self, reaction: object) -> int:
        """Check a reaction; None removes."""
        types = self._types if self._types is not None else self._first_types(reaction)
        return 0 if reaction is None else check_reaction(types, reaction)

    def _first_types(self, reaction: object) -> Mapping[str, int]:
        """Read the registry."""
        began = perf_counter()
        try:
            self._learn(self._known.vocabulary())
        except ReactionsUnavailable:
            if reaction is not None:
                check_reaction(self._configured, reaction)  # a wrong argument is named first
            if TIMINGS is not None:
                TIMINGS.add(UNAVAILABLE, perf_counter() - began)
            raise
        return self._types or {}

    def react(self, user_id: int, post_id: int, reaction: str, replicas: int = 0) -> Outcome:
        user_id, post_id = check_id("user_id", user_id), check_id("post_id", post_id)
        if reaction is None:
            check_reaction(self._types or self._configured, reaction)
        return self._write(user_id, post_id, reaction, replicas)

    def unreact(self, user_id: int, post_id: int, replicas: int = 0) -> Outcome:
        return self._write(
            check_id("user_id", user_id), check_id("post_id", post_id), None, replicas
        )

    def react_many(
        self, items: Iterable[tuple[int, int, str | None]], replicas: int = 0
    ) -> list[Outcome]:
        wanted = check_replicas(replicas)
        checked = self._check_items(items)
        answers: Iterable[tuple[ReactReply | RedisError, int]]
        if wanted:
            answers = self._writes.record_confirmed(checked, wanted)
        else:
            answers = zip(self._writes.record_many(checked), repeat(0))
        outcomes: list[Outcome | None] = []
        deleted: list[int] = []
        short: dict[int, int] = {}  # place of the item -> its replicas, if they are too few
        failure: RedisError | None = None
        for (_, post_id, code), (reply, confirmed) in zip(checked, answers, strict=True):
            if isinstance(reply, RedisError):
                failure = reply
                outcomes.append(None)
            elif reply.status == REFUSED:
                deleted.append(post_id)
                outcomes.append(None)
            else:
                if confirmed < wanted:
                    short[len(outcomes)] = confirmed
                outcomes.append(self._outcome(post_id, code, reply))
        _count(outcomes, len(deleted))
        if failure is not None:
            for place in short:
                outcomes[place] = None
            raise BatchInterrupted(str(translate(failure)), outcomes) from failure
        if short:
            raise NotReplicated(outcomes, wanted, min(short.values()))
        if deleted:
            raise PostDeleted(list(dict.fromkeys(deleted)), outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def delete_post(self, post_id: int) -> None:
        self._writes.delete_post(check_id("post_id", post_id))

    def forget_user(self, user_id: int) -> None:
        self._writes.forget_user(check_id("user_id", user_id))

    def _check_items(
        self, items: Iterable[tuple[int, int, str | None]]
    ) -> list[tuple[int, int, int]]:
        checked: list[tuple[int, int, str | None]] = []
        for item in iterate("items", "an iterable of tuples", items):
            if len(checked) == self._batch_limit:
                raise InvalidArgument("items", f"at most {self._batch_limit} (batch_limit)", items)
            user_id, post_id, reaction = _triple(item)
            checked.append((check_id("user_id", user_id), check_id("post_id", post_id), reaction))
        return [(user_id, post_id, self._code(reaction)) for user_id, post_id, reaction in checked]

    def _write(self, user_id: int, post_id: int, reaction: str | None, replicas: int) -> Outcome:
        wanted = check_replicas(replicas)
        code = self._code(reaction)
        if TIMINGS is None:
            return self._send(user_id, post_id, code, wanted)
        began = perf_counter()
        try:
            outcome = self._send(user_id, post_id, code, wanted)
        except ReactionsError as error:
            TIMINGS.add(_FAILURES.get(type(error), UNAVAILABLE), perf_counter() - began)
            raise
        TIMINGS.add(outcome.status, perf_counter() - began)
        return outcome

    def _send(self, user_id: int, post_id: int, code: int, wanted: int) -> Outcome:
        if not active():
            return self._do(user_id, post_id, code, wanted)
        with span("reactions.react") as at:
            at.note(post_id=post_id)
            outcome = self._do(user_id, post_id, code, wanted)
            at.note(outcome=outcome.status.value)
            return outcome

    def _do(self, user_id: int, post_id: int, code: int, wanted: int) -> Outcome:
        if wanted:
            return self._confirm(user_id, post_id, code, wanted)
        return self._answer(post_id, code, self._writes.record(user_id, post_id, code))

    def _confirm(self, user_id: int, post_id: int, code: int, wanted: int) -> Outcome:
        ((reply, confirmed),) = self._writes.record_confirmed([(user_id, post_id, code)], wanted)
        if isinstance(reply, RedisError):
            raise translate(reply) from reply
        outcome = self._answer(post_id, code, reply)
        if confirmed < wanted:
            raise NotReplicated([outcome], wanted, confirmed)
        return outcome

    def _answer(self, post_id: int, code: int, reply: ReactReply) -> Outcome:
        if reply.status == REFUSED:
            raise PostDeleted([post_id])
        return self._outcome(post_id, code, reply)

    def _outcome(self, post_id: int, code: int, reply: ReactReply) -> Outcome:
        status, previous, version, wake = reply
        if wake:
            self._relay.request(shard_of(post_id), self._space)
        names = self._names
        if previous and previous not in names:
            return self._renewed_outcome(code, reply)
        return Outcome(_STATUS[status], names.get(code), names.get(previous), version or None)

    def _renewed_outcome(self, code: int, reply: ReactReply) -> Outcome:
        """Answer where the previous reaction has a type that is newer than this process."""
        self._learn(self._known.meet())
        status, previous, version, _ = reply
        names = self._names
        known = _STATUS[status] if previous in names else Status.ACCEPTED
        return Outcome(known, names.get(code), names.get(previous), version or None)


def _count(outcomes: Sequence[Outcome | None], deleted: int) -> None:
    """Count the outcomes of a ``react_many``; None means refused or not acknowledged."""
    if TIMINGS is not None:
        for outcome in outcomes:
            if outcome is not None:
                TIMINGS.add(outcome.status, NOT_TIMED)
        failed = outcomes.count(None) - deleted
        for label, number in ((DELETED, deleted), (UNAVAILABLE, failed)):
            for _ in range(number):
                TIMINGS.add(label, NOT_TIMED)


def _triple(item: object) -> list[Any]:
    """Return the parts of an item. Copies at most four: a subclass may override iteration."""
    if issubclass(type(item), tuple | list):
        parts = list(islice(item, 4))  # type: ignore[call-overload] # checked above
        if len(parts) == 3:
            return parts
    raise InvalidArgument("items", "tuples (user_id, post_id, reaction or None)", item)
