"""Scripts, their calls, and plain commands; and how to send one or many of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from redis.exceptions import NoScriptError, RedisError

from reactions.core import resources
from reactions.redis.connection import (
    FAILURES,
    Client,
    execute,
    execute_many,
    translate,
    translated,
)
from reactions.redis.wire import Argument, Words


class Call(NamedTuple):
    """One call of a script, with its keys and arguments."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]

    @property
    def words(self) -> Words:
        """The command that runs the script if the server has it."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    @property
    def words_in_full(self) -> Words:
        """The command that sends the script and runs it."""
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.args)

    def run(self, client: Client) -> Any:  # noqa: ANN401 - the typed functions describe it
        """Send the call and return the reply. A server that lacks the script gets it.

        Raises:
            ReactionsUnavailable: Redis does not answer, or cannot serve.
            ScriptError: the script failed.
        """
        try:
            try:
                return execute(client, self.words)
            except NoScriptError:
                return execute(client, self.words_in_full)
        except FAILURES as error:
            raise translate(error) from error


class Script:
    """One file of ``lua/``, after its includes. Each instance adds itself to ``registered``."""

    registered: ClassVar[list[Script]] = []

    def __init__(
        self,
        name: str,
        keys: int,
        *,
        include: Sequence[str] = (),
        allow_oom: bool = False,
        deny_oom: bool = False,
    ) -> None:
        """Read ``lua/<name>.lua`` and put the files of ``lua/include/`` that it needs before it.

        When the server's memory is full, it rejects a script at the first command that needs
        memory, unless the script wrote something before. The two flags change that.

        Args:
            keys: how many keys the script needs at least; ``luacheck`` compares it with the header.
            include: names in ``lua/include/``; an include may use those before it.
            allow_oom: run the script also when memory is full: it frees more than it takes.
            deny_oom: reject it before its first command when memory is full: it only fills a cache.
        """
        self.name: Final = name
        self.keys: Final = keys
        self.include: Final = tuple(include)
        flags = ["#!lua flags=allow-oom"] if allow_oom else ["#!lua"] if deny_oom else []
        files = [*(f"include/{part}" for part in include), name]
        self.source: Final = "\n".join([*flags, *map(resources.lua, files)])
        # Redis names a script by its SHA-1; it is an address here, not a protection.
        self.sha: Final = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self.registered.append(self)

    def call(self, keys: Sequence[str], args: Sequence[Argument]) -> Call:
        return Call(self, keys, args)


class Command(NamedTuple):
    """A plain command in a pipeline with scripts. It must be safe to send twice."""

    words: Words


def run_many(client: Client, calls: Sequence[Call | Command]) -> list[Any]:
    """Send all calls in one pipeline and return their replies, in order.

    One round trip for each node; a second one if a server lacks a script. The reply to a failed
    call is its RedisError; it does not affect the other calls.

    Raises:
        RedisError: the connection failed.
    """
    if not calls:
        return []
    replies = execute_many(client, [call.words for call in calls])
    missing = next((i for i, r in enumerate(replies) if isinstance(r, NoScriptError)), None)
    if missing is not None:
        # Repeat the later commands too, so that their reads still follow the repeated script.
        again = {
            i: call.words if isinstance(call, Command) else call.words_in_full
            for i, (call, reply) in enumerate(zip(calls, replies, strict=True))
            if isinstance(reply, NoScriptError) or (i > missing and isinstance(call, Command))
        }
        found = execute_many(client, list(again.values()))
        for i, reply in zip(again, found, strict=True):
            replies[i] = reply
    return replies


def run_all(client: Client, calls: Sequence[Call | Command]) -> list[Any]:
    """Send all calls as ``run_many`` does, and raise the first error.

    Raises:
        ReactionsError: the connection or a call failed. The other calls were carried out.
    """
    with translated():
        replies = run_many(client, calls)
    for reply in replies:
        if isinstance(reply, RedisError):
            raise translate(reply) from reply
    return replies
