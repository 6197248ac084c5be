"""Calls of scripts and plain commands, and how they are sent: one alone, or many in a pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import NoScriptError, RedisError

from reactions import resources
from reactions.client import FAILURES, Client, execute, translate, translated

Argument = str | bytes | int


class Call(NamedTuple):
    """One script with the keys and arguments of one call, ready to be sent."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]

    def run(self, client: Client) -> Any:  # noqa: ANN401 - the typed functions below say what it is
        """Send it; the script is sent along when the server does not have it (any more).

        Raises:
            ReactionsUnavailable: Redis does not answer or refuses.
            ScriptError: the script failed.
        """
        try:
            try:
                return execute(
                    client, "EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args
                )
            except NoScriptError:
                return execute(
                    client, "EVAL", self.script.source, len(self.keys), *self.keys, *self.args
                )
        except FAILURES as error:
            raise translate(error) from error


class Script:
    """One file of ``lua/``."""

    def __init__(
        self,
        name: str,
        keys: int,
        *,
        include: str | None = None,
        frees: bool = False,
        spares: bool = False,
    ) -> None:
        """A script of its own file, after a file of functions that it shares with others.

        ``frees``: it makes room in the end, so it runs also where memory is used up.
        ``spares``: it only caches, so it is refused there as a whole, whatever it begins with.
        """
        self.name: Final = name
        self.keys: Final = keys
        self.include: Final = include
        self.source: Final = "\n".join(
            [
                *(["#!lua flags=allow-oom"] if frees else ["#!lua"] if spares else []),
                *([resources.lua(include)] if include else []),
                resources.lua(name),
            ]
        )
        # Redis names a script by its SHA-1; it is an address here, not a protection.
        self.sha: Final = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], args: Sequence[Argument]) -> Call:
        return Call(self, keys, args)


class Command(NamedTuple):
    """A plain command, to go along with scripts in one pipeline."""

    args: Sequence[Argument]


def run_many(client: Client, calls: Sequence[Call | Command]) -> list[Any]:
    """Send all calls in one pipeline (one round trip for each node); replies in order.

    An entry is the RedisError where that call failed; the others are not affected.

    Raises:
        RedisError: the connection failed as a whole.
    """
    if not calls:
        return []
    with client.pipeline(transaction=False) as pipe:
        for call in calls:
            if isinstance(call, Command):
                pipe.execute_command(*call.args)
            else:
                pipe.execute_command(
                    "EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args
                )
        replies = list(pipe.execute(raise_on_error=False))
        missing = [
            (i, call)
            for i, (call, reply) in enumerate(zip(calls, replies, strict=True))
            if isinstance(call, Call) and isinstance(reply, NoScriptError)
        ]
        if missing:
            for _, call in missing:
                pipe.execute_command(
                    "EVAL", call.script.source, len(call.keys), *call.keys, *call.args
                )
            for (i, _), reply in zip(missing, pipe.execute(raise_on_error=False), strict=True):
                replies[i] = reply
    return replies


def run_all(client: Client, calls: Sequence[Call | Command]) -> list[Any]:
    """As ``run_many``, where each call is to succeed.

    Raises:
        ReactionsError: the connection failed, or a call did; the others were carried out.
    """
    with translated():
        replies = run_many(client, calls)
    for reply in replies:
        if isinstance(reply, RedisError):
            raise translate(reply) from reply
    return replies
