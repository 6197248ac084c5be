"""Stands where a client of redis-py stands, and sends commands over the lanes of an event loop."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from redis import Redis

from reactions.aio.connecting import Connector
from reactions.aio.greenlets import wait
from reactions.aio.lane import Lane
from reactions.aio.threads import MAX_THREADS, Threads
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.redis.connection import Client, connect
from reactions.redis.exchanger import Exchanger

Answer = TypeVar("Answer")
Lanes = TypeVar("Lanes")


class LoopClient(Exchanger, Generic[Lanes]):
    """Has lanes for each event loop that uses it, and forgets those of loops that are closed."""

    def __init__(self, settings: Settings, connector: Connector) -> None:
        self._settings = settings
        self._connector = connector
        self._lanes: dict[asyncio.AbstractEventLoop, Lanes] = {}
        self._threads = Threads("redis", MAX_THREADS, settings.redis_timeout_s)
        self._own: Client | None = None
        self._callbacks: Mapping[str, Any] = Redis(
            protocol=connector.protocol
        ).response_callbacks  # it never connects

    @property
    def response_callbacks(self) -> Mapping[str, Any]:
        return self._callbacks

    def lanes(self) -> Lanes:
        """Return those of the running loop; its first call makes them."""
        loop = asyncio.get_running_loop()
        found = self._lanes.get(loop)
        if found is None:
            for gone in [each for each in self._lanes if each.is_closed()]:
                self._lanes.pop(gone, None)
            found = self._lanes[loop] = self._make()
        return found

    @abstractmethod
    def _make(self) -> Lanes:
        """Make the lanes of the running loop."""

    def run_blocking(self, work: Callable[[Client], Answer]) -> Answer:
        def call() -> Answer:
            if self._own is None:
                self._own = connect(self._settings)
            return work(self._own)

        return self._threads.run(call)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        lanes = self._lanes.pop(asyncio.get_running_loop(), None)
        if lanes is not None:
            await self._close(lanes)

    @abstractmethod
    async def _close(self, lanes: Lanes) -> None:
        """Close these lanes."""

    def close(self) -> None:
        self._threads.close()
        if self._own is not None:
            self._own.close()


class ServerClient(LoopClient[Lane]):
    """That of a single server, or of the primary that Sentinels know."""

    cluster = False

    def exchange(self, packed: bytes, replies: int) -> list[Any]:
        return wait(self.lanes().submit(packed, replies))

    def exchange_on_nodes(self, slots: Sequence[int], packed: Sequence[bytes]) -> list[Any]:
        raise NotImplementedError("a single server has no slots")

    def _make(self) -> Lane:
        connector = self._connector
        return Lane(connector.make, connector.address, connector.timeout_s)

    async def _close(self, lanes: Lane) -> None:
        await lanes.close()


def connect_loop(settings: Settings) -> LoopClient[Any]:
    """Make the client of redis_url. It connects at the first command.

    Raises:
        InvalidSettings: redis_url has an option that cannot be used.
    """
    from reactions.redis.url_options import check_options

    url = settings.redis_url.get_secret_value()
    check_options(url, cluster=settings.redis_cluster)
    if settings.redis_cluster:
        raise InvalidSettings(
            "redis_cluster is set, which reactions.aio does not support yet;"
            " use reactions.Reactions in threads"
        )
    return ServerClient(settings, Connector(settings, url))
