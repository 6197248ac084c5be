"""Every error this library raises derives from ReactionsError and says what to do next."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactions.core.model import Outcome, Summary


class ReactionsError(Exception):
    """Base of every error of this library."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without calling the constructor, so that every error survives a process pool."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ReactionsError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:  # noqa: ANN401 - pickle's
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidArgument(ReactionsError, ValueError):
    """An argument is not valid; nothing was sent.

    Attributes:
        argument: the name of the argument, as in the function's signature.
        allowed: the values that would be accepted, in words.
    """

    def __init__(self, argument: str, allowed: str, got: object) -> None:
        self.argument = argument
        self.allowed = allowed
        super().__init__(f"{argument} must be {allowed}, not {_shown(got)}")


def _shown(value: object) -> str:
    """Return a value as text that can neither flood a log, nor forge one, nor break the error."""
    try:
        # A repr may return a subclass of str with methods of its own.
        text = str.__str__(reprlib.repr(value))
    except Exception:  # noqa: BLE001 - an int with too many digits raises too
        text = "a value whose repr fails"
    return f"{short(text)} ({short(type.__dict__['__name__'].__get__(type(value)))})"


def short(text: str, max_length: int = 60) -> str:
    """Cut text to this many characters, and make it one line."""
    text = f"{text[: max_length - 3]}..." if len(text) > max_length else text
    return "".join(c if c.isprintable() else "?" for c in text)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what led to it, the first cause last: drivers wrap each other's errors."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class InvalidSettings(ReactionsError, ValueError):
    """The settings are not valid; the message lists each field and what it accepts."""


class ReactionsUnavailable(ReactionsError):
    """A store that the call needs did not answer in time, or refused.

    A script runs as a whole or not at all, so nothing is half-written. If the connection broke
    after the request was sent, the reaction may have been recorded; calling again is safe.

    Attributes:
        store: ``"redis"`` or ``"postgresql"``.
        remedy: what to do about it, "" when that is not known; the message ends with it.
    """

    def __init__(self, store: str, reason: str, remedy: str = "") -> None:
        self.store = store
        self.remedy = remedy
        super().__init__(f"{reason}; {remedy}" if remedy else reason)


class BatchInterrupted(ReactionsUnavailable):
    """A call of ``react_many`` recorded only a part of its items.

    Attributes:
        outcomes: one entry for each item, in order; None where no acknowledgement came back, or
            fewer ``replicas`` confirmed than wanted. Calling again with those items is safe.
    """

    def __init__(self, reason: str, outcomes: Sequence[Outcome | None]) -> None:
        self.outcomes = tuple(outcomes)
        acknowledged = sum(1 for outcome in outcomes if outcome is not None)
        super().__init__("redis", f"{reason}; {acknowledged} of {len(outcomes)} were acknowledged")


class NotReplicated(ReactionsError):
    """Recorded, but fewer replicas than wanted confirmed it within replica_timeout_s.

    The reaction is as durable as one without ``replicas``: it survives as long as the primary keeps
    its data. Calling again is safe, and waits again.

    Attributes:
        outcomes: for ``react_many``, one entry for each item, in order, None for deleted posts; for
            a single call, one entry.
        wanted: the number of replicas that the call asked for.
        confirmed: the number that confirmed everything; on a cluster, the lowest of all nodes.
    """

    def __init__(self, outcomes: Sequence[Outcome | None], wanted: int, confirmed: int) -> None:
        self.outcomes = tuple(outcomes)
        self.wanted = wanted
        self.confirmed = confirmed
        super().__init__(
            f"recorded, but {confirmed} of {wanted} replicas had it within replica_timeout_s;"
            " calling again is safe"
        )

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of a single call."""
        return self.outcomes[0]


class ReadInterrupted(ReactionsUnavailable):
    """A read of several posts has only a part of the answer.

    PostgreSQL is unavailable, or a node of a Redis Cluster; ``store`` says which.

    Attributes:
        summaries: one entry for each post, in order; None for a post that is not known: it is not
            in the cache, or its node does not answer.
    """

    def __init__(
        self, reason: str, summaries: Sequence[Summary | None], store: str = "postgresql"
    ) -> None:
        self.summaries = tuple(summaries)
        known = sum(1 for summary in summaries if summary is not None)
        super().__init__(store, f"{reason}; {known} of {len(summaries)} posts are known")


class PostDeleted(ReactionsError):
    """The post was deleted, so it accepts no reaction.

    Attributes:
        post_ids: the deleted posts in the call.
        outcomes: for ``react_many``, one entry for each item, in order; None for the refused items.
            All others were recorded. Empty for a single call.
    """

    def __init__(self, post_ids: Sequence[int], outcomes: Sequence[Outcome | None] = ()) -> None:
        self.post_ids = tuple(post_ids)
        self.outcomes = tuple(outcomes)
        named = ", ".join(map(str, self.post_ids[:5]))
        more = ", ..." if len(self.post_ids) > 5 else ""
        super().__init__(f"deleted, so no reaction is accepted: post {named}{more}")


class TypesMismatch(ReactionsError):
    """The configured reaction types contradict those in the database."""


class LayoutMismatch(ReactionsError):
    """A store has the layout of a version that this one cannot run beside; nothing was sent.

    Attributes:
        found: what is wrong.
        remedy: what to do about it; the message ends with it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        self.found = found
        self.remedy = remedy
        super().__init__(f"{found}; {remedy}")


class ScriptError(ReactionsError):
    """A Lua script failed: a key holds a value that this version cannot read."""


class StackError(ReactionsError):
    """A server or process of the embedded stack did not start, or died; the message has its log."""


class TraceError(ReactionsError):
    """A trace file cannot be read at all. Single broken lines do not raise; they are counted."""
