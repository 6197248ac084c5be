"""One call on its way: the packed commands of one caller, and the future that waits for replies."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Call:
    """The commands of one caller.

    Attributes:
        packed: the commands.
        number: of commands, and so of replies.
        answer: gets the replies, in order; or a RedisError. The caller may cancel it.
        deadline: a time of the loop after which the caller gets no answer.
        sent_at: when it was given to the connection.
        sent_to_new: the connection had not answered anything before.
        tries: how often it was sent on a connection that ended.
    """

    __slots__ = (
        *("answer", "deadline", "number", "packed"),
        *("replies", "sent_at", "sent_to_new", "tries"),
    )

    def __init__(
        self, packed: bytes, number: int, answer: asyncio.Future[list[Any]], deadline: float
    ) -> None:
        self.packed = packed
        self.number = number
        self.answer = answer
        self.replies: list[Any] = []
        self.deadline = deadline
        self.sent_at = 0.0
        self.sent_to_new = False
        self.tries = 0

    def fail(self, error: RedisError) -> None:
        """Tell the caller, unless the caller is gone or has an answer."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def is_over(self, now: float) -> bool:
        """Whether nobody waits for it any more. A call whose time is up fails."""
        if not self.answer.done() and now >= self.deadline:
            self.answer.set_exception(RedisTimeoutError("no answer in the time of the call"))
        return self.answer.done()
