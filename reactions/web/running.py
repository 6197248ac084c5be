"""How requests run: on the event loop, or in threads where that is not possible.

The service says what to do with the synchronous client's methods. On the loop, the asynchronous
client runs that; in threads, the synchronous one does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Self, TypeVar

from starlette.concurrency import run_in_threadpool

from reactions import aio
from reactions.api.client import Reactions
from reactions.redis.connection import connect
from reactions.web.rate_limit import RateLimiter

Answer = TypeVar("Answer")


class Running(ABC):
    """Runs functions that use ``client`` and ``limiter``, which work in ``run`` only.

    Attributes:
        client: the client of the requests.
        limiter: the rate limiter.
    """

    client: Reactions
    limiter: RateLimiter

    def of_space(self, name: str) -> Self:
        """Return this way of running for a space; it shares the connections and the limiter.

        Raises:
            InvalidArgument: there is no such space.
        """
        made = copy(self)
        made.client = self.client.space(name)
        return made

    @abstractmethod
    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Call a function, and return its answer.

        Raises:
            Exception: what it raised.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connections that were made here."""


class InThreads(Running):
    """Runs them in the thread pool of the server."""

    def __init__(self, client: Reactions) -> None:
        self.client = client
        self._connection = connect(client.settings)
        self.limiter = RateLimiter(client.settings, self._connection)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        return await run_in_threadpool(work)

    async def close(self) -> None:
        self._connection.close()


class OnLoop(Running):
    """Runs them on the event loop, over one connection to Redis."""

    def __init__(self, client: aio.Reactions) -> None:
        self._twin = client
        self.client = client.engine
        self.limiter = RateLimiter(client.settings, client.engine.redis)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        return await self._twin.run(work)

    async def close(self) -> None:
        await self._twin.close()


def running(client: Reactions) -> Running:
    """Return the way in which the requests of a service over this client run.

    A client of a class of its own is used as it is, in threads; so is one of a Redis Cluster.
    """
    if type(client) is Reactions and not client.settings.redis_cluster:
        return OnLoop(aio.Reactions(client.settings))
    return InThreads(client)
