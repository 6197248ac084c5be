"""What the doctor reports: one finding for each check, with a remedy if something is wrong."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from redis.exceptions import ResponseError

from reactions.core.errors import ReactionsError, short
from reactions.redis.connection import FAILURES


class State(enum.StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    """No promise is broken yet, or the doctor could not do the check."""
    FAILURE = "failure"
    """A promise of the engine is broken, or will be soon."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: the name of the check, in two or three words.
        state: how serious the result is.
        found: what the check found, with figures.
        remedy: what the operator should do; empty if all is well.
    """

    check: str
    state: State
    found: str
    remedy: str = ""


Findings: TypeAlias = Iterator[Finding]


def unreachable(server: str, error: BaseException, remedy: str) -> Finding:
    """A failure: the server does not answer, or cannot serve.

    Args:
        remedy: what to do, unless the error itself knows it.
    """
    known = getattr(error, "remedy", "")
    text = str(error).removesuffix(f"; {known}") if known else str(error)
    for setting in (
        "redis_url",
        "broker_url",
        "database_url",
        "replica_url",
    ):  # who runs it sets the variable
        known = known.replace(setting, f"REACTIONS_{setting.upper()}")
    return Finding(server, State.FAILURE, short(f"does not answer: {text}", 300), known or remedy)


def unknown(check: str, error: BaseException, remedy: str) -> Finding:
    """A warning: the check could not be done."""
    return Finding(check, State.WARNING, short(f"not known: {error}", 200), remedy)


def guarded(check: str, examine: Callable[[], Iterable[Finding]]) -> Findings:
    """Run a check; where it fails with an error of a store, yield a warning instead."""
    try:
        yield from examine()
    except ResponseError as error:
        remedy = "run the doctor as a user with that right, such as admin of deploy/redis-users.acl"
        yield unknown(check, error, remedy)
    except (ReactionsError, *FAILURES) as error:
        yield unknown(check, error, "fix the other findings, then run the doctor again")
