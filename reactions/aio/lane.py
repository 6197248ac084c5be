"""The way to one server: calls of the same turn of the loop leave in one packet on one connection.

A call that a broken or silent connection owes is sent once more over a new one, as the synchronous
client does: every command is safe to send twice. A call of a usual size waits no longer than twice
redis_timeout_s, and three times if its connection breaks late. What waits is bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from reactions.aio.call import Call
from reactions.aio.line import Line
from reactions.redis.connection_pool import Address
from reactions.redis.wire import SEND_BYTES

MAX_CALLS = 20_000
"""Calls to one server that wait or are under way. Further ones fail at once."""

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of the commands that wait."""

PACKET_BYTES = 256 * 1024
"""Bytes from which a packet takes no further call."""

CONNECTS = 2
"""How often a connection is tried before the calls that wait for it fail."""


class Lane:
    """The way from one event loop to one server."""

    def __init__(self, connect: Callable[[], Any], address: Address, timeout_s: float) -> None:
        """
        Args:
            connect: makes a connection of redis-py's asyncio client that is not open yet.
            address: what this process thinks of the server's address.
            timeout_s: redis_timeout_s.
        """
        self._connect = connect
        self._address = address
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Call] = deque()
        self._line: Line | None = None
        self._retired: set[Line] = set()
        """Connections that get no more calls, but owe replies."""
        self._bytes = 0
        self._wanted: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    @property
    def address(self) -> Address:
        """What this process thinks of the server's address."""
        return self._address

    def submit(self, packed: bytes, number: int) -> asyncio.Future[list[Any]]:
        """Send commands with the next packet, and return the future of their replies.

        The future gets a RedisError when the connection failed, and may be cancelled.

        Raises:
            RedisTimeoutError: too many calls wait for the server already.
        """
        calls = self._number()
        if calls >= MAX_CALLS or (calls and self._bytes + len(packed) > MAX_BYTES):
            raise RedisTimeoutError(f"{calls} calls of this process wait for it already")
        # Twice: once more if the connection is silent. A large call has more for each piece.
        wait_s = self._timeout_s * (2 + len(packed) // SEND_BYTES)
        call = Call(packed, number, self._loop.create_future(), self._loop.time() + wait_s)
        self._bytes += len(packed)
        self._waiting.append(call)
        self._wake()
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._look)
        return call.answer

    def _number(self) -> int:
        """Calls that wait or are under way."""
        number = len(self._waiting) + (len(self._line.owed) if self._line else 0)
        return number + sum(len(line.owed) for line in self._retired)

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = self._loop.create_task(self._write())
        elif self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    async def _write(self) -> None:
        """Send what waits, in the order in which it came."""
        while True:
            if not self._waiting:
                self._wanted = self._loop.create_future()
                await self._wanted
                self._wanted = None
            line = self._line
            if line is None or not line.is_usable(self._loop.time()):
                line = await self._renew()
                if line is None:
                    continue
            if calls := self._packet():
                await line.send(calls)

    def _packet(self) -> list[Call]:
        calls: list[Call] = []
        size, waiting = 0, self._waiting
        while waiting and size < PACKET_BYTES:
            call = waiting.popleft()
            self._bytes -= len(call.packed)
            if not call.answer.done():
                calls.append(call)
                size += len(call.packed)
        return calls

    async def _renew(self) -> Line | None:
        """Connect; None if it failed, and so did the calls that wait."""
        self._retire()
        failure: RedisError | None = None
        for _ in range(CONNECTS):
            line = Line(self._connect(), self._address, self._lost)
            try:
                await line.open()
            except RedisError as error:
                failure = error
                # A timeout of redis-py is no ConnectionError.
                if isinstance(error, AuthenticationError) or not isinstance(
                    error, RedisConnectionError
                ):
                    break
            except (OSError, ValueError) as error:
                failure = RedisConnectionError(str(error))
            else:
                self._line = line
                return line
        self._fail_waiting(failure or RedisConnectionError("no connection"))
        return None

    def _fail_waiting(self, error: RedisError) -> None:
        self._fail(self._waiting, error)
        self._waiting.clear()
        self._bytes = 0

    def _retire(self) -> None:
        """Let the connection end when it has no more replies to give."""
        line, self._line = self._line, None
        if line is not None:
            if line.owed:
                self._retired.add(line)
            else:
                line.end()

    def _lost(self, line: Line, error: RedisError) -> None:
        """Send what a connection owes once more, or tell the callers."""
        if line is self._line:
            self._line = None
        self._retired.discard(line)
        again: list[Call] = []
        now, silent = self._loop.time(), isinstance(error, RedisTimeoutError)
        for call in line.owed:
            if call.answer.done():
                continue  # nobody waits, so nobody wants it twice
            if call.tries or (silent and call.sent_to_new):
                self._fail((call,), error)
                continue
            call.tries += 1
            call.replies.clear()
            call.deadline = max(call.deadline, now + self._timeout_s)
            self._bytes += len(call.packed)
            again.append(call)
        line.owed.clear()
        self._waiting.extendleft(reversed(again))
        if again:
            self._wake()

    @staticmethod
    def _fail(calls: Iterable[Call], error: RedisError) -> None:
        for call in calls:
            call.fail(type(error)(*error.args))  # each caller raises its own

    def _look(self) -> None:
        """End silent connections, and tell callers whose time is up; look again while any wait."""
        now = self._loop.time()
        self._watch = None
        lines = [*self._retired, *([self._line] if self._line else [])]
        for line in lines:
            if line.silent_since() + self._timeout_s <= now:
                line.lose(RedisTimeoutError("the server does not answer"))
        for line in [each for each in self._retired if not each.owed]:
            self._retired.discard(line)
            line.end()
        due = [now + self._timeout_s]
        due += (line.silent_since() + self._timeout_s for line in lines)
        for calls in (self._waiting, *(line.owed for line in lines)):
            while calls is self._waiting and calls and calls[0].is_over(now):
                self._bytes -= len(calls.popleft().packed)
            for call in calls:
                if not call.is_over(now):
                    due.append(call.deadline)
                    break
        if self._retired or self._number():
            self._watch = self._loop.call_at(max(min(due), now + 0.005), self._look)

    async def close(self) -> None:
        """End the connections. Calls that are under way fail."""
        closed = RedisConnectionError("the client was closed")
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        lines = [*self._retired, *([self._line] if self._line else [])]
        self._line, self._retired = None, set()
        for line in lines:
            line.end()
            self._fail(line.owed, closed)
        self._fail_waiting(closed)
        await asyncio.sleep(0)  # let the tasks see that they are cancelled
