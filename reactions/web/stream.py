"""The stream of counts: one poller a process asks for all posts that somebody listens to.

Values are full, so nothing is lost where some are skipped: a slow listener gets the newest ones
when it is ready for them. An event's id is a digest of all values of its stream, the same in every
process, so whoever comes back with the id of the present values has missed nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from reactions.api.client import MAX_SUMMARIES, Reactions
from reactions.core.errors import ReactionsError, ReadInterrupted
from reactions.core.model import Summary
from reactions.web.problems import too_many

log = logging.getLogger(__name__)

POLL_S = 0.25
"""Between two looks at a post: at most four events a second."""

MAX_STREAM_POSTS = 100
"""Posts of one stream."""

STREAMS_OF_USER = 10
"""Open streams of one user in one process."""

LIFE_S = 900.0
"""Then a stream ends, and its client comes back by itself: signed in still, or not any more."""

RETRY_S = 10
"""When to come again, where there are too many."""


class Value(NamedTuple):
    """What is shown of a post, and a digest of it."""

    summary: Summary
    version: bytes


class Listener:
    """One stream: its posts, and what it was told of them."""

    def __init__(self, user_id: int, post_ids: Sequence[int]) -> None:
        self.user_id = user_id
        self.post_ids = tuple(sorted(set(post_ids)))
        self.changed = asyncio.Event()
        self.changed.set()
        self._told: dict[int, bytes] = {}

    def news(self, values: Mapping[int, Value]) -> list[Summary]:
        """What changed since it was last asked for, in the order of the ids."""
        self.changed.clear()
        fresh = [p for p in self.post_ids if values[p].version != self._told.get(p)]
        self._told |= {post_id: values[post_id].version for post_id in fresh}
        return [values[post_id].summary for post_id in fresh]

    def event_id(self) -> str:
        """Of all that it was told so far."""
        told = (post_id.to_bytes(8) + self._told[post_id] for post_id in self.post_ids)
        return hashlib.blake2b(b"".join(told), digest_size=12).hexdigest()


class Hub:
    """All streams of this process. Everything here runs in the event loop, but for the reads."""

    def __init__(self, client: Reactions) -> None:
        self._client = client
        self._most = client.settings.web_streams
        self._listeners: set[Listener] = set()
        self._streams: Counter[int] = Counter()  # by user, also those that are being opened
        self._posts: Counter[int] = Counter()  # how many listen to a post
        self._values: dict[int, Value] = {}  # of exactly these
        self._poller: asyncio.Task[None] | None = None
        self._ended = False

    async def join(self, user_id: int, post_ids: Sequence[int]) -> Listener:
        """A new stream; the values of its posts are known from now on.

        Raises:
            Refusal: too many streams.
            ReactionsUnavailable: a store.
        """
        if self._streams.total() >= self._most:
            raise too_many(503, "too-many-streams", "this process has no room", RETRY_S)
        if self._streams[user_id] >= STREAMS_OF_USER:
            detail = f"you have {STREAMS_OF_USER} streams open here: close one"
            raise too_many(429, "too-many-streams", detail, RETRY_S)
        self._streams[user_id] += 1
        listener = Listener(user_id, post_ids)
        self._posts.update(listener.post_ids)
        try:
            unknown = [post_id for post_id in listener.post_ids if post_id not in self._values]
            if unknown:
                self._take(await run_in_threadpool(self._client.summaries, unknown))
        except BaseException:
            self._drop(listener)
            raise
        self._listeners.add(listener)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        return listener

    def leave(self, listener: Listener) -> None:
        """It has ended."""
        self._listeners.discard(listener)
        self._drop(listener)

    def end(self) -> None:
        """End all streams: the process is to end, and would wait for them."""
        self._ended = True
        for listener in self._listeners:
            listener.changed.set()

    def _drop(self, listener: Listener) -> None:
        _count_down(self._streams, [listener.user_id])
        for post_id in _count_down(self._posts, listener.post_ids):
            self._values.pop(post_id, None)

    async def listen(
        self, listener: Listener, last_id: str | None
    ) -> AsyncIterator[tuple[str, list[Summary]]]:
        """Events, each with its id, until the stream has lived its life."""
        end = time.monotonic() + LIFE_S
        while not self._ended:
            fresh = listener.news(self._values)
            event_id = listener.event_id()
            if fresh and event_id != last_id:
                yield event_id, fresh
            last_id = None
            try:
                await asyncio.wait_for(listener.changed.wait(), end - time.monotonic())
            except TimeoutError:
                return

    async def _poll(self) -> None:
        """Until nobody listens."""
        while self._listeners:
            began = time.monotonic()
            posts = tuple(self._posts)
            for first in range(0, len(posts), MAX_SUMMARIES):
                self._take(await self._ask(posts[first : first + MAX_SUMMARIES]))
            await asyncio.sleep(max(0, began + POLL_S - time.monotonic()))

    async def _ask(self, post_ids: Sequence[int]) -> Sequence[Summary | None]:
        """What is known; whatever fails, the next look is soon."""
        try:
            return await run_in_threadpool(self._client.summaries, post_ids)
        except ReadInterrupted as error:
            return error.summaries
        except ReactionsError as error:
            log.warning("streams wait: %s", error)
            return ()

    def _take(self, summaries: Sequence[Summary | None]) -> None:
        """Keep what changed, of posts that somebody listens to, and tell them."""
        changed: set[int] = set()
        for summary in summaries:
            if summary is None or summary.post_id not in self._posts:
                continue
            version = _digest(summary)
            known = self._values.get(summary.post_id)
            if known is None or known.version != version:
                self._values[summary.post_id] = Value(summary, version)
                changed.add(summary.post_id)
        if changed:
            for listener in self._listeners:
                if not changed.isdisjoint(listener.post_ids):
                    listener.changed.set()


def _count_down(counter: Counter[int], keys: Sequence[int]) -> list[int]:
    """Those that are at zero now, and gone."""
    counter.subtract(keys)
    gone = [key for key in keys if counter[key] <= 0]
    for key in gone:
        del counter[key]
    return gone


def _digest(summary: Summary) -> bytes:
    shown = f"{summary.tier}{sorted(summary.counts.items())}"
    return hashlib.blake2b(shown.encode(), digest_size=12).digest()
