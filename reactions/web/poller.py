"""Reads the posts of all streams of a process, a few times a second, in one task.

Values are complete, so a slow stream may skip some: it sends the newest value when it can.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import NamedTuple

from reactions.api.client import MAX_SUMMARIES
from reactions.core.errors import ReactionsError, ReadInterrupted
from reactions.core.model import Summary
from reactions.core.type_registry import ReactionType
from reactions.web.running import Running

log = logging.getLogger(__name__)

POLL_S = 0.25
"""The time between two reads of a post, and so at most four events a second."""

CURRENT_S = 1.0
"""The values are current if this process read all of them within this time."""


class Value(NamedTuple):
    """What a stream shows of a post, and a digest of it."""

    summary: Summary
    version: bytes


class Poller:
    """The current values of the followed posts. Only the reads leave the event loop.

    Args:
        on_change: called in the event loop with the ids of the posts that changed, or with those of
            all posts if the reaction types did.
    """

    def __init__(self, running: Running, on_change: Callable[[Set[int]], None]) -> None:
        self._run, self._client = running.run, running.client
        self._on_change = on_change
        self._followers: Counter[int] = Counter()  # post -> number of streams
        self._task: asyncio.Task[None] | None = None
        self._read_at = -CURRENT_S
        self.values: dict[int, Value] = {}
        """The followed posts that were read at least once."""
        self.types: tuple[ReactionType, ...] = ()
        """The reaction types, once a stream followed a post; about a second old at most."""

    async def follow(self, post_ids: Sequence[int]) -> None:
        """Follow the posts for one stream, and return when `values` and `types` are known.

        Raises:
            ReactionsUnavailable: a store does not answer. The posts are not followed.
        """
        self._followers.update(post_ids)
        try:
            unknown = [post_id for post_id in post_ids if post_id not in self.values]
            if unknown:
                self._store(await self._run(partial(self._client.summaries, unknown)))
            if not self.types:
                self._store_types(await self._run(self._client.types))
        except BaseException:
            self.unfollow(post_ids)
            raise
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())

    def unfollow(self, post_ids: Sequence[int]) -> None:
        """Stop following the posts for one stream."""
        for post_id in count_down(self._followers, post_ids):
            self.values.pop(post_id, None)

    def current(self) -> bool:
        """Whether all posts were read within `CURRENT_S`."""
        return time.monotonic() - self._read_at <= CURRENT_S

    async def _poll(self) -> None:
        """Read the posts until no stream follows any."""
        while self._followers:
            began = time.monotonic()
            posts = tuple(self._followers)
            missing = len(posts)
            for first in range(0, len(posts), MAX_SUMMARIES):
                found = await self._read(posts[first : first + MAX_SUMMARIES])
                missing -= sum(summary is not None for summary in found)
                self._store(found)
            if not missing:
                self._read_at = began
            await self._read_types()
            await asyncio.sleep(max(0, began + POLL_S - time.monotonic()))

    async def _read(self, post_ids: Sequence[int]) -> Sequence[Summary | None]:
        """Read what the stores answer now; the next poll repeats what fails."""
        try:
            return await self._run(partial(self._client.summaries, post_ids))
        except ReadInterrupted as error:
            return error.summaries
        except ReactionsError as error:
            log.warning("the streams cannot read their posts, and try again: %s", error)
            return ()

    async def _read_types(self) -> None:
        """Ask for the types; the client reads them again once a second at most."""
        try:
            self._store_types(await self._run(self._client.types))
        except ReactionsError as error:
            log.warning("the streams cannot read the reaction types, and try again: %s", error)

    def _store_types(self, types: tuple[ReactionType, ...]) -> None:
        """Keep the types, and report a change."""
        if types != self.types:
            self.types = types
            self._on_change(set(self._followers))

    def _store(self, summaries: Sequence[Summary | None]) -> None:
        """Keep the values that changed, of posts that are still followed, and report them."""
        changed: set[int] = set()
        for summary in summaries:
            if summary is None or summary.post_id not in self._followers:
                continue
            version = _digest(summary)
            known = self.values.get(summary.post_id)
            if known is None or known.version != version:
                self.values[summary.post_id] = Value(summary, version)
                changed.add(summary.post_id)
        if changed:
            self._on_change(changed)


def count_down(counter: Counter[int], keys: Sequence[int]) -> list[int]:
    """Subtract 1 from each key; delete the keys that reach 0, and return them."""
    counter.subtract(keys)
    gone = [key for key in keys if counter[key] <= 0]
    for key in gone:
        del counter[key]
    return gone


def _digest(summary: Summary) -> bytes:
    shown = f"{summary.tier}{sorted(summary.counts.items())}"
    return hashlib.blake2b(shown.encode(), digest_size=12).digest()
