"""Ready summaries: most feeds are answered by two plain commands.

``lua/include/summary.lua`` says what a summary holds, and why a user who is not listed in it has
nothing pending on the post. So what the cached reactions of that user say is the newest truth.

The summaries are read first. A change that left the outbox before is then in the cached reactions;
one that left it in between may be there, too, and the counts of the summary lack it. A reaction
whose count is 0 shows that, and the post is looked up again.

On a cluster, that is two round trips, unless this process has read each summary before: then it
reads all at once. A summary with a stamp that has the same text as before was there all the time,
and a user who is not listed had nothing pending all the time. So whenever the user's node answered,
the summary may count as read just before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from reactions.core.constants import shard_of
from reactions.core.model import Summary, Tier, make_summary
from reactions.core.settings import Settings
from reactions.redis.buckets import MARK
from reactions.redis.cluster_slots import shard_slot
from reactions.redis.connection import (
    FAILURES,
    Client,
    exchange,
    execute_many,
    execute_packed,
    is_cluster,
    is_outage,
    translate,
)
from reactions.redis.feed_words import FeedWords
from reactions.redis.keys import keys_of
from reactions.redis.summary_parser import ReadyCounts, SummaryParser, is_stamped
from reactions.redis.ttl import Ttl
from reactions.redis.wire import Words, pack

MAX_MADE = 10_000
"""Posts whose last summary a process remembers; on a cluster also how to read it."""

PAUSE = 4
"""After the user's node of a cluster was asked in vain, only each fourth feed asks it at once until
that helps. So where most posts change all the time, few questions are in vain."""

RENEWALS = 16
"""A process renews the TTL of a user's cached reactions so many times within that TTL."""

MAX_RENEWED = 10_000
"""Users of whom a process remembers when it last renewed that TTL."""


_NEW = object()
"""Stands for the text of a summary that this process has not read yet."""


class Found(NamedTuple):
    """What one round trip found.

    Attributes:
        summaries: post -> its summary, for the posts that are answered completely.
        user_loaded: the cached reactions of the user have their mark, so PostgreSQL was asked for
            them; True when no user was given.
        waiting: post -> its counts, for the posts that lack only the reaction of a user who is not
            loaded. The user has nothing pending on them, so PostgreSQL knows the reaction.
        failed: post -> why its node gave no answer; only on a cluster.
    """

    summaries: Mapping[int, Summary]
    user_loaded: bool
    waiting: Mapping[int, ReadyCounts]
    failed: Mapping[int, RedisError]


class _Made(NamedTuple):
    """The last summary of a post, as everybody sees it who has no reaction and is not listed."""

    text: bytes
    summary: Summary
    listed: Mapping[int, int]


class SummaryCache:
    """Reads ready summaries and the cached reactions of one user."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._is_cluster = is_cluster(client)
        self._words = FeedWords(self._keys)
        self._packed: dict[int, tuple[int, bytes]] = {}
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._parser = SummaryParser(settings)
        self._made: dict[int, _Made] = {}
        self._texts: dict[int, bytes | None] = {}
        self._pause = 0  # feeds until the user's node is asked at once again
        self._ttl = Ttl(settings)
        self._renewed: dict[int, float] = {}
        self._renew_s = max(0.05, settings.cache_ttl_user_s / RENEWALS)

    def read(self, post_ids: Sequence[int], user_id: int) -> Found:
        """Return the summaries of these posts that are ready. One round trip; on a cluster two if
        this process meets one of them for the first time.

        Args:
            post_ids: distinct posts, at least one.
            user_id: whose reactions are wanted; 0 for nobody's.

        Raises:
            ReactionsUnavailable: Redis; on a cluster, every node that has any of the posts.
        """
        try:
            if self._is_cluster:
                return self._read_cluster(post_ids, user_id)
            return self._read_server(post_ids, user_id)
        except FAILURES as error:
            raise translate(error) from error

    def _read_server(self, post_ids: Sequence[int], user_id: int) -> Found:
        """Read the summaries, and then the user's reactions, in one round trip."""
        if not user_id:
            (values,) = exchange(self._client, b"".join(self._words.pack(post_ids, None)), 1)
            return self._found(post_ids, values, 0, None)
        name = self._keys.user_reactions(user_id)
        renewal = self._renewal(user_id, name)
        words = [*self._words.pack(post_ids, name), *map(pack, renewal)]
        values, own, *_ = exchange(self._client, b"".join(words), 2 + len(renewal))
        return self._found(post_ids, values, user_id, own)

    def _read_cluster(self, post_ids: Sequence[int], user_id: int) -> Found:
        """Read the summaries of all nodes, and then the user's node, or all at once.

        If the user's node does not answer, nothing of the user is cached.
        """
        packed, texts = self._packed, self._texts
        reads = [packed.get(post_id) or self._pack(post_id) for post_id in post_ids]
        slots, commands = [read[0] for read in reads], [read[1] for read in reads]
        before = [texts.get(post_id, _NEW) for post_id in post_ids]  # before anything is sent
        early: list[Words] = []
        if user_id and _NEW not in before:
            self._pause = max(0, self._pause - 1)
            early = [] if self._pause else self._of_user(user_id, post_ids)
        slots += [shard_slot(shard_of(user_id))] * len(early)
        replies = execute_packed(self._client, slots, commands + [pack(words) for words in early])
        replies, of_user = replies[: len(post_ids)], replies[len(post_ids) :]
        same = replies == before or self._note(post_ids, before, replies)
        errors = [reply for reply in replies if isinstance(reply, RedisError)]
        failed: dict[int, RedisError] = {}
        if errors:
            failed = {p: r for p, r in zip(post_ids, replies, strict=True) if is_outage(r)}
            if len(failed) == len(post_ids):
                raise errors[0]
            # Any other error: somebody else wrote the key, which is as good as none.
            replies = [
                None if isinstance(reply, RedisError) else reply
                for post_id, reply in zip(post_ids, replies, strict=True)
                if post_id not in failed
            ]
            post_ids = [post_id for post_id in post_ids if post_id not in failed]
        own = None
        if user_id:
            own = of_user[0] if of_user and same else None
            if own is None:
                self._pause = PAUSE if early else self._pause
                own = execute_many(self._client, self._of_user(user_id, post_ids))[0]
            if is_outage(own):
                own = [None] * (1 + len(post_ids))
        return self._found(post_ids, replies, user_id, own)._replace(failed=failed)

    def _note(
        self, post_ids: Sequence[int], before: Sequence[object], replies: Sequence[object]
    ) -> bool:
        """Remember new texts. Returns whether each summary that is there was there before."""
        same, texts = True, self._texts
        if len(texts) >= MAX_MADE:
            texts.clear()
        for post_id, known, text in zip(post_ids, before, replies, strict=True):
            if text is None:
                texts[post_id] = None
            elif text != known:
                same = False
                if isinstance(text, bytes) and is_stamped(text):
                    texts[post_id] = text
                else:
                    texts.pop(post_id, None)
        return same

    def _pack(self, post_id: int) -> tuple[int, bytes]:
        """Return the slot of a post, and the command that reads its summary; remember both."""
        name = self._keys.post_summary(post_id)
        made = shard_slot(shard_of(post_id)), pack(("GET", name))
        if len(self._packed) >= MAX_MADE:
            self._packed.clear()
        self._packed[post_id] = made
        return made

    def _of_user(self, user_id: int, post_ids: Sequence[int]) -> list[Words]:
        """Commands that read the cached reactions of a user and, now and then, renew their TTL."""
        name = self._keys.user_reactions(user_id)
        return [("HMGET", name, MARK, *post_ids), *self._renewal(user_id, name)]

    def _renewal(self, user_id: int, name: str) -> list[Words]:
        """The command that renews the TTL of a user's cached reactions, if it is time to."""
        now = time.monotonic()
        if now - self._renewed.get(user_id, -math.inf) < self._renew_s:
            return []
        if len(self._renewed) >= MAX_RENEWED:
            self._renewed.clear()
        self._renewed[user_id] = now
        return [("PEXPIRE", name, self._ttl.jittered(self._ttl.user))]

    def _found(
        self,
        post_ids: Sequence[int],
        values: Any,  # noqa: ANN401 - a reply of the server
        user_id: int,
        own: Any,  # noqa: ANN401 - as above
    ) -> Found:
        """Put the answers together; ``own`` is the mark of the user's hash, then a code a post."""
        mark, *codes = _checked(own) if user_id else (b"1", *(None for _ in post_ids))
        absent = 0 if mark == b"1" else None  # a complete hash says: no reaction on other posts
        made = self._made
        found: dict[int, Summary] = {}
        waiting: dict[int, ReadyCounts] = {}
        for post_id, value, cached in zip(post_ids, _checked(values), codes, strict=True):
            if cached is None and absent == 0:  # most posts of most feeds
                known = made.get(post_id)
                if known is not None and known.text == value and user_id not in known.listed:
                    found[post_id] = known.summary
                    continue
            if value is None:
                continue
            answer = self._read_one(post_id, value, user_id, absent if cached is None else cached)
            if isinstance(answer, Summary):
                found[post_id] = answer
            elif answer is not None and mark is None:
                waiting[post_id] = answer
        return Found(found, mark is not None, waiting, {})

    def _read_one(
        self, post_id: int, text: bytes, user_id: int, cached: bytes | int | None
    ) -> Summary | ReadyCounts | None:
        """Return the summary of a post; its counts if the reaction is unknown; else None."""
        try:
            counts, listed = self._parser.parse(post_id, text)
            code = listed.get(user_id) if listed else None
            if code is None:
                code = None if cached is None else int(cached)
        except ValueError:  # a key that this version cannot read is as good as none
            return None
        if code is None:
            return counts
        summary = self._summary(post_id, counts, code)
        if summary is not None and not code and user_id not in listed:
            if len(self._made) >= MAX_MADE:
                self._made.clear()
            self._made[post_id] = _Made(text, summary, listed)
        return summary

    def _summary(self, post_id: int, counts: ReadyCounts, code: int) -> Summary | None:
        """Return the summary of a post; None if the counts lack the user's reaction."""
        tier, _, by_name, total = counts
        own = self._names.get(code) if tier is not Tier.DELETED else None
        if own is not None and not by_name[own]:
            return None
        return make_summary(post_id, by_name, total, tier, own)

    def complete(
        self, waiting: Mapping[int, ReadyCounts], own: Mapping[int, int]
    ) -> dict[int, Summary]:
        """Return the summaries of waiting posts, but for those whose counts lack the reaction.

        Args:
            waiting: ``Found.waiting``.
            own: post -> the user's type code, 0 for none; read after the summaries.
        """
        made = (self._summary(post_id, counts, own[post_id]) for post_id, counts in waiting.items())
        return {summary.post_id: summary for summary in made if summary is not None}


def _checked(reply: Any) -> Any:  # noqa: ANN401 - a reply of the server
    if isinstance(reply, RedisError):
        raise reply
    return reply
