"""Every error this library raises derives from ReactionsError and says what to do next."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactions.core.model import Outcome, Summary


class ReactionsError(Exception):
    """Base of every error of this library."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, so that it survives a process pool, whatever its constructor takes."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ReactionsError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:  # noqa: ANN401 - pickle's
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidArgument(ReactionsError, ValueError):
    """An argument was refused before anything was sent.

    Attributes:
        argument: the name of the argument, as in the function's signature.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, argument: str, allowed: str, got: object) -> None:
        self.argument = argument
        self.allowed = allowed
        super().__init__(f"{argument} must be {allowed}, not {_shown(got)}")


def _shown(value: object) -> str:
    """A value for a message: a hostile one must not flood or forge a log, nor break the error."""
    try:
        # What a repr returns may be a subclass of str, with methods of its own.
        text = str.__str__(reprlib.repr(value))
    except Exception:  # noqa: BLE001 - also of an int with more digits than Python prints
        text = "something without a repr"
    return f"{short(text)} ({short(type.__dict__['__name__'].__get__(type(value)))})"


def short(text: str, most: int = 60) -> str:
    """At most this many characters, all of one line."""
    text = f"{text[: most - 3]}..." if len(text) > most else text
    return "".join(c if c.isprintable() else "?" for c in text)


class InvalidSettings(ReactionsError, ValueError):
    """The configuration cannot be used; the message lists every field and what it takes."""


class ReactionsUnavailable(ReactionsError):
    """A store that the call needs did not answer in time, or refused.

    Nothing is half-written: a script is applied whole or not at all. When the connection broke
    after the request had left, the reaction may have been recorded; calling again is safe.

    Attributes:
        store: ``"redis"`` or ``"postgresql"``.
    """

    def __init__(self, store: str, reason: str) -> None:
        self.store = store
        super().__init__(reason)


class BatchInterrupted(ReactionsUnavailable):
    """A ``react_many`` was recorded in part.

    Attributes:
        outcomes: one entry an item, in order; None where no acknowledgement came back, or not of
            as many ``replicas`` as wanted. Calling again with those items is safe.
    """

    def __init__(self, reason: str, outcomes: Sequence[Outcome | None]) -> None:
        self.outcomes = tuple(outcomes)
        acknowledged = sum(1 for outcome in outcomes if outcome is not None)
        super().__init__("redis", f"{reason}; {acknowledged} of {len(outcomes)} were acknowledged")


class NotReplicated(ReactionsError):
    """Recorded, but fewer replicas than wanted had it within replica_timeout_s.

    It holds as long as the primary keeps its data, as without ``replicas``. Calling again is safe,
    and waits again.

    Attributes:
        outcomes: of a ``react_many``, one entry an item, in order, None for those on deleted posts;
            of a single call, its one.
        wanted: replicas that were asked for.
        confirmed: replicas that had all of it; on a cluster, of the node with the fewest.
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
        """Of a single call."""
        return self.outcomes[0]


class ReadInterrupted(ReactionsUnavailable):
    """A read of several posts could be answered in part: PostgreSQL has the rest, and cannot serve.

    Attributes:
        summaries: one entry a post, in order; None where only PostgreSQL knows.
    """

    def __init__(self, reason: str, summaries: Sequence[Summary | None]) -> None:
        self.summaries = tuple(summaries)
        known = sum(1 for summary in summaries if summary is not None)
        super().__init__("postgresql", f"{reason}; {known} of {len(summaries)} posts are known")


class PostDeleted(ReactionsError):
    """The post was deleted, and takes no reaction.

    Attributes:
        post_ids: the deleted posts of the call.
        outcomes: of a ``react_many``, one entry an item, in order; None for the refused ones. All
            others were recorded. Empty for a single call.
    """

    def __init__(self, post_ids: Sequence[int], outcomes: Sequence[Outcome | None] = ()) -> None:
        self.post_ids = tuple(post_ids)
        self.outcomes = tuple(outcomes)
        named = ", ".join(map(str, self.post_ids[:5]))
        more = ", ..." if len(self.post_ids) > 5 else ""
        super().__init__(f"deleted, so no reaction is taken: post {named}{more}")


class TypesMismatch(ReactionsError):
    """The configured reaction types contradict the ones the database already knows."""


class ScriptError(ReactionsError):
    """A Lua script failed: the keys hold something this version cannot read."""


class StackError(ReactionsError):
    """A server or process of the embedded stack did not start, or died; the message has its log."""


class TraceError(ReactionsError):
    """A trace file cannot be read at all (single broken lines are counted, not raised)."""
