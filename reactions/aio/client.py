"""The asynchronous twin of ``reactions.Reactions``.

It has no logic of its own: each method runs the one of the synchronous client in a greenlet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from reactions.aio.greenlets import Greenlets
from reactions.aio.loop_client import connect_loop
from reactions.aio.threads import MAX_THREADS, Threads
from reactions.api import client as synchronous
from reactions.core.model import Counts, Outcome, Page, Reacted, Reactor, RelayStats, Summary
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType
from reactions.redis.connection import Client

F = TypeVar("F", bound=Callable[..., object])
Answer = TypeVar("Answer")


def _documented(function: F) -> F:
    """Give a method the docstring of the synchronous client's."""
    function.__doc__ = getattr(synchronous.Reactions, function.__name__).__doc__
    return function


class Engine(synchronous.Reactions):
    """The synchronous client, over an event loop. It works in ``Greenlets.run`` only."""

    def __init__(self, settings: Settings | None, space: str | None) -> None:
        super().__init__(settings, space=space)
        most = min(MAX_THREADS, self.settings.database_connections)
        self.threads = Threads("postgresql", most, self.settings.read_timeout_s)
        self._reads.blocking = self.threads

    @property
    def redis(self) -> Client:
        """What sends commands to Redis, over the event loop."""
        stands_in: Any = self.loop_client
        return stands_in  # type: ignore[no-any-return] # an Exchanger

    def _connect(self) -> Client:
        self.loop_client = connect_loop(self.settings)
        return self.redis


class Reactions:
    """The client of the engine for asyncio. Make one and share it among the tasks of a loop.

    Its methods are those of ``reactions.Reactions``, awaited: the same arguments, answers and
    errors. Calls of the same turn of the loop leave in one packet, and share one connection to each
    server. Queries to PostgreSQL run in at most eight threads. A call that is cancelled may have
    been carried out. It connects when it is first used, also to a Redis Cluster.

    Args:
        settings: the configuration; None reads it from the environment.
        space: which things the client is about, such as ``comment``; None: those of the settings.

    Raises:
        InvalidArgument: ``settings`` is neither ``Settings`` nor None, or there is no such space.
        InvalidSettings: the configuration is not valid.
    """

    def __init__(self, settings: Settings | None = None, *, space: str | None = None) -> None:
        self.engine = Engine(settings, space)
        """The synchronous client whose methods ``run`` may call."""
        self.settings = self.engine.settings
        self._greenlets: dict[asyncio.AbstractEventLoop, Greenlets] = {}

    def run(self, call: Callable[[], Answer]) -> Awaitable[Answer]:
        """Run a function that calls methods of ``engine``, one after the other.

        It must not block otherwise: it runs on the event loop, in a greenlet.
        """
        loop = asyncio.get_running_loop()
        found = self._greenlets.get(loop)
        if found is None:
            for gone in [each for each in self._greenlets if each.is_closed()]:
                self._greenlets.pop(gone, None)
            found = self._greenlets[loop] = Greenlets()
        return found.run(call)

    def space(self, name: str) -> Reactions:
        """Return the client of a space. It shares all connections, and sends nothing by itself.

        Raises:
            InvalidArgument: there is no such space.
        """
        made = copy(self)
        made.engine = self.engine.space(name)
        made.settings = made.engine.settings
        return made

    @_documented
    async def react(
        self, user_id: int, post_id: int, reaction: str, *, replicas: int = 0
    ) -> Outcome:
        call = partial(self.engine.react, user_id, post_id, reaction, replicas=replicas)
        return await self.run(call)

    @_documented
    async def unreact(self, user_id: int, post_id: int, *, replicas: int = 0) -> Outcome:
        return await self.run(partial(self.engine.unreact, user_id, post_id, replicas=replicas))

    @_documented
    async def react_many(
        self, items: Iterable[tuple[int, int, str | None]], *, replicas: int = 0
    ) -> list[Outcome]:
        return await self.run(partial(self.engine.react_many, items, replicas=replicas))

    @_documented
    async def counts(self, post_id: int) -> Counts:
        return await self.run(partial(self.engine.counts, post_id))

    @_documented
    async def summaries(self, post_ids: Iterable[int], user_id: int | None = None) -> list[Summary]:
        return await self.run(partial(self.engine.summaries, post_ids, user_id))

    @_documented
    async def reaction_of(self, user_id: int, post_id: int) -> str | None:
        return await self.run(partial(self.engine.reaction_of, user_id, post_id))

    @_documented
    async def reactors(
        self,
        post_id: int,
        reaction: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Reactor]:
        return await self.run(partial(self.engine.reactors, post_id, reaction, limit, cursor))

    @_documented
    async def recent(self, post_id: int, limit: int = 20) -> list[Reactor]:
        return await self.run(partial(self.engine.recent, post_id, limit))

    @_documented
    async def history(
        self, user_id: int, limit: int = 50, cursor: str | None = None
    ) -> Page[Reacted]:
        return await self.run(partial(self.engine.history, user_id, limit, cursor))

    @_documented
    async def uniques(self, post_id: int) -> int:
        return await self.run(partial(self.engine.uniques, post_id))

    @_documented
    async def warm(self, post_ids: Iterable[int]) -> None:
        await self.run(partial(self.engine.warm, post_ids))

    @_documented
    async def delete_post(self, post_id: int) -> None:
        await self.run(partial(self.engine.delete_post, post_id))

    @_documented
    async def forget_user(self, user_id: int) -> None:
        await self.run(partial(self.engine.forget_user, user_id))

    @_documented
    async def relay_stats(self) -> RelayStats:
        return self.engine.relay_stats()

    @_documented
    async def types(self) -> tuple[ReactionType, ...]:
        return await self.run(self.engine.types)

    @property
    def reaction_types(self) -> Awaitable[Mapping[str, int]]:
        """Name -> code of every type, as ``reactions.Reactions`` has it; await the property."""
        return self.run(lambda: self.engine.reaction_types)

    async def close(self) -> None:
        """Publish waiting wake-ups within a second, and close the connections of this loop.

        Calls that are under way raise ReactionsUnavailable.
        """
        await self.engine.loop_client.aclose()
        self.engine.threads.close()
        await asyncio.to_thread(self.engine.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
