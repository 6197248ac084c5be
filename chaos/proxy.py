"""A network that can be cut: TCP proxies between workers and stores."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from reactions.demo.process import free_port

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Cut(StrEnum):
    """How a network fails."""

    NONE = "none"
    SILENT = "silent"
    """All packets are dropped; no end gets an error."""
    ANSWERS = "answers"
    """Requests pass, answers are dropped."""
    REFUSED = "refused"
    """Connections are reset, and new ones are refused."""


class Network:
    """The event loop of all links of a run, in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def link(self, connect: Connect) -> Link:
        """Open a port on the loopback that leads to a server."""
        link = Link(self.loop, connect)
        asyncio.run_coroutine_threadsafe(link.listen(), self.loop).result(10)
        return link

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


@dataclass(eq=False, slots=True)
class _Joined:
    """A connection through a link.

    Attributes:
        passed_at: when something passed last, in s of the loop's clock.
        forgotten: nothing passes any more, and no end hears of it.
    """

    passed_at: float
    forgotten: bool = False


class Link:
    """One proxy."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connect: Connect) -> None:
        self.port = free_port()
        self._loop = loop
        self._connect = connect
        self._cut = Cut.NONE
        self._open: set[asyncio.StreamWriter] = set()
        self._joined: set[_Joined] = set()

    async def listen(self) -> None:
        await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def cut(self, how: Cut) -> None:
        """Cut the link, or join it again. Joining resets open connections: they lack bytes."""
        self._loop.call_soon_threadsafe(self._set, how)

    def forget(self, idle_s: float) -> int:
        """Drop the connections that were idle for so long, in silence; returns how many."""
        return asyncio.run_coroutine_threadsafe(self._forget(idle_s), self._loop).result(10)

    async def _forget(self, idle_s: float) -> int:
        before = self._loop.time() - idle_s
        found = [one for one in self._joined if one.passed_at <= before and not one.forgotten]
        for one in found:
            one.forgotten = True
        return len(found)

    def _set(self, how: Cut) -> None:
        self._cut = how
        if how in (Cut.NONE, Cut.REFUSED):
            for writer in self._open:
                writer.transport.abort()

    async def _serve(self, near: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._open.add(client)
        try:
            if self._cut is Cut.REFUSED:
                client.transport.abort()
            elif self._cut is Cut.SILENT:
                while await near.read(65_536):  # read, and never answered
                    pass
            else:
                await self._join(near, client)
        except OSError:
            client.transport.abort()
        finally:
            self._open.discard(client)

    async def _join(self, near: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        far, server = await self._connect()
        self._open.add(server)
        joined = _Joined(self._loop.time())
        self._joined.add(joined)
        try:
            await asyncio.gather(
                self._pump(joined, near, server, (Cut.SILENT,)),
                self._pump(joined, far, client, (Cut.SILENT, Cut.ANSWERS)),
            )
        finally:
            self._open.discard(server)
            self._joined.discard(joined)

    async def _pump(
        self,
        joined: _Joined,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        lost: tuple[Cut, ...],
    ) -> None:
        """Forward one direction. A close during the cut is forwarded when the link is joined."""
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if self._cut not in lost and not joined.forgotten:
                    joined.passed_at = self._loop.time()
                    target.write(data)
                    await target.drain()
        while self._cut in lost:
            await asyncio.sleep(0.05)
        target.close()
