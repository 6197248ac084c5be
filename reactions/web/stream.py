"""The streams of counts of one process.

The id of an event is a digest of all values of its stream. All processes compute the same id, so a
client that reconnects with the current event id missed nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from typing import NamedTuple

from reactions.core.model import Summary
from reactions.core.type_registry import ReactionType
from reactions.web.poller import Poller, Value, count_down
from reactions.web.problems import retry_later
from reactions.web.running import Running
from reactions.web.shutdown import call_before_shutdown

MAX_STREAM_POSTS = 100
"""A stream may have this many posts."""

BEAT_S = 0.5
"""The time between two beats of a stream that wants them."""

MAX_USER_STREAMS = 10
"""A user may have this many streams open in one process."""

LIFE_S = 900.0
"""A stream ends after this time. A browser reconnects by itself, and so authenticates again."""

RETRY_S = 10
"""How long a client should wait when there are too many streams, in seconds."""


class Event(NamedTuple):
    """One event of a stream.

    Attributes:
        name: None for values of posts, ``beat``, or ``types``.
        id: None for types, which are not among the values.
    """

    name: str | None
    id: str | None
    items: Sequence[Summary | ReactionType]


class Listener:
    """One stream: its posts, the versions that it sent, and the types."""

    def __init__(self, user_id: int, post_ids: Sequence[int]) -> None:
        self.user_id = user_id
        self.post_ids = tuple(sorted(set(post_ids)))
        self.changed = asyncio.Event()
        self.changed.set()
        self._sent: dict[int, bytes] = {}
        self._types: tuple[ReactionType, ...] = ()

    def news(self, values: Mapping[int, Value]) -> list[Summary]:
        """Return what changed since the last call, in the order of the ids."""
        self.changed.clear()
        fresh = [p for p in self.post_ids if values[p].version != self._sent.get(p)]
        self._sent |= {post_id: values[post_id].version for post_id in fresh}
        return [values[post_id].summary for post_id in fresh]

    def new_types(self, types: tuple[ReactionType, ...]) -> tuple[ReactionType, ...]:
        """Return the types if they changed since the last call; at the first call in any case."""
        if types == self._types:
            return ()
        self._types = types
        return types

    def event_id(self) -> str:
        """Return the digest of all values sent so far."""
        sent = (post_id.to_bytes(8) + self._sent[post_id] for post_id in self.post_ids)
        return hashlib.blake2b(b"".join(sent), digest_size=12).hexdigest()


class Hub:
    """All streams of this process. Its methods must run in the event loop."""

    def __init__(self, running: Running, streams: Counter[int] | None = None) -> None:
        """Make the streams of a client.

        Args:
            streams: user -> streams that are open or opening; hubs that share it share the limits.
        """
        self._max_streams = running.client.settings.web_streams
        self._poller = Poller(running, self._wake)
        self._listeners: set[Listener] = set()
        self._streams: Counter[int] = Counter() if streams is None else streams
        self._ended = False
        self._hears_signals = False

    async def join(self, user_id: int, post_ids: Sequence[int]) -> Listener:
        """Open a stream, and return when the values of its posts are known.

        Raises:
            Refusal: the process or the user has too many streams.
            ReactionsUnavailable: a store does not answer.
        """
        if self._streams.total() >= self._max_streams:
            detail = "this process can serve no more streams"
            raise retry_later(503, "too-many-streams", detail, RETRY_S)
        if self._streams[user_id] >= MAX_USER_STREAMS:
            detail = f"you have {MAX_USER_STREAMS} streams open here: close one"
            raise retry_later(429, "too-many-streams", detail, RETRY_S)
        self._listen_to_signals()
        self._streams[user_id] += 1
        listener = Listener(user_id, post_ids)
        try:
            await self._poller.follow(listener.post_ids)
        except BaseException:
            count_down(self._streams, [user_id])
            raise
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Close a stream."""
        self._listeners.discard(listener)
        count_down(self._streams, [listener.user_id])
        self._poller.unfollow(listener.post_ids)

    def end(self) -> None:
        """End all streams, because a server that shuts down waits for open requests."""
        self._ended = True
        for listener in self._listeners:
            listener.changed.set()

    async def listen(
        self, listener: Listener, last_id: str | None, beats: bool = False, types: bool = False
    ) -> AsyncIterator[Event]:
        """Yield events for `LIFE_S` seconds.

        Args:
            last_id: the client's last event id. If it is current, there is no first event.
            beats: whether to yield an event without posts every `BEAT_S` in which nothing changed.
                There is none while a store fails.
            types: whether to yield the reaction types, at first and when one of them changed.
        """
        end = time.monotonic() + LIFE_S
        while not self._ended:
            fresh = listener.news(self._poller.values)
            event_id = listener.event_id()
            kinds = listener.new_types(self._poller.types) if types else ()
            if fresh and event_id != last_id:
                yield Event(None, event_id, fresh)
            elif beats and self._poller.current():
                yield Event("beat", event_id, [])
            if kinds:
                yield Event("types", None, kinds)
            last_id = None
            left = end - time.monotonic()
            try:
                await asyncio.wait_for(
                    listener.changed.wait(), min(left, BEAT_S) if beats else left
                )
            except TimeoutError:
                if time.monotonic() >= end:
                    return

    def _listen_to_signals(self) -> None:
        """End the streams when a signal ends the server.

        Not when the application starts: the lifespan of a mounted application does not run.
        """
        if not self._hears_signals and threading.current_thread() is threading.main_thread():
            call_before_shutdown(self.end)  # only the main thread may handle signals
        self._hears_signals = True

    def _wake(self, changed: Set[int]) -> None:
        for listener in self._listeners:
            if not changed.isdisjoint(listener.post_ids):
                listener.changed.set()
