"""One open connection that many callers share, and the calls whose replies it owes.

Replies come in the order of the commands. So a reader hands each reply to the oldest call that
lacks one, also if its caller has gone in the meantime.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hiredis import PushNotification, Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from reactions.aio.call import Call
from reactions.redis.connection_pool import MAX_IDLE_S, Address, tells_of_role
from reactions.redis.wire import PLAIN


class Line:
    """An open connection of redis-py's asyncio client. ``open`` makes one.

    Attributes:
        owed: the calls that were sent and lack replies, oldest first.
        heard_at: when the last reply came; a time of the loop.
    """

    def __init__(
        self,
        connection: Any,  # noqa: ANN401 - redis-py's
        address: Address,
        lost: Callable[[Line, RedisError], None],
    ) -> None:
        """
        Args:
            lost: called once when the connection breaks, with what it owes in ``owed``.
        """
        self._connection = connection
        self._address = address
        self._generation = address.generation  # taken before it connects
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Task[None] | None = None
        self.owed: deque[Call] = deque()
        self.heard_at = -math.inf
        self._used_at = self._loop.time()
        self._over = False

    async def open(self) -> None:
        """Connect and greet the server.

        Raises:
            RedisError: the server cannot be reached, or refuses the connection.
        """
        connection = self._connection
        await connection.connect()
        # What is not sent yet when the connection ends is never sent: a call that was done again on
        # another connection might arrive long after it. redis-py has no public way to the socket.
        with suppress(AttributeError, OSError):
            made = connection._writer.get_extra_info("socket")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.socket_timeout = None  # from now on, a lane watches the time
        self._used_at = self._loop.time()
        self._reader = self._loop.create_task(self._read())

    def is_usable(self, now: float) -> bool:
        """Whether it may carry another call: it is not condemned, and was not idle for long."""
        if self._over or self._generation != self._address.generation:
            return False
        return bool(self.owed) or now - self._used_at <= MAX_IDLE_S

    async def send(self, calls: Sequence[Call]) -> None:
        """Send calls in one packet. Returns when the system takes more."""
        now = self._used_at = self._loop.time()
        is_new = self.heard_at == -math.inf
        for call in calls:
            call.sent_at, call.sent_to_new = now, is_new
        self.owed.extend(calls)
        packed = [b"".join([call.packed for call in calls])]
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except RedisError as error:
            self.lose(error)

    def silent_since(self) -> float:
        """Since when the oldest call waits for a reply; infinity if none does."""
        return max(self.owed[0].sent_at, self.heard_at) if self.owed else math.inf

    def lose(self, error: RedisError) -> None:
        """End the connection because it broke or is silent. Repeated calls do nothing."""
        if not self._over:
            self.end()
            self._lost(self, error)

    def end(self) -> None:
        """End the connection. What was not sent is never sent."""
        self._over = True
        with suppress(AttributeError):
            self._connection._writer.transport.abort()
        if self._reader is not None and self._reader is not asyncio.current_task(self._loop):
            self._reader.cancel()

    async def _read(self) -> None:
        """Hand out replies until the connection ends."""
        connection = self._connection
        try:
            while True:
                try:
                    reply = await connection.read_response(
                        timeout=math.inf, disconnect_on_error=False
                    )
                except ResponseError as error:
                    reply = error
                self._take(reply)
                self._take_arrived()
                self.heard_at = self._loop.time()
        except RedisError as error:
            self.lose(error)
        finally:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    def _take_arrived(self) -> None:
        """Take what arrived together with a reply: redis-py's own way costs ten times as much."""
        reader = getattr(getattr(self._connection, "_parser", None), "_reader", None)
        if not isinstance(reader, Reader):  # a name that redis-py may change
            return
        owed, gets = self.owed, reader.gets
        while owed:
            reply = gets()
            kind = type(reply)
            if kind is PushNotification:
                continue  # nobody asked for news
            if kind not in PLAIN and not isinstance(reply, Exception):
                return  # the rest has not arrived yet
            self._take(reply)

    def _take(self, reply: Any) -> None:  # noqa: ANN401 - a reply of the server
        if isinstance(reply, Exception):
            if not isinstance(reply, ResponseError):
                raise reply
            if tells_of_role(reply):
                self._address.condemn(self._generation)
        if not self.owed:
            raise RedisConnectionError("the server sent a reply that nobody asked for")
        call = self.owed[0]
        call.replies.append(reply)
        if len(call.replies) == call.number:
            self.owed.popleft()
            if not call.answer.done():  # else the caller has gone
                call.answer.set_result(call.replies)
