"""Answers feeds: counts, tiers and a user's own reactions.

Redis answers first. One or two queries to PostgreSQL answer what Redis does not know, however many
posts a feed has. The latest reaction of a user is looked up in this order: the outbox (pending,
then claimed), the hash or the sample of the post, the cached reactions of the user, PostgreSQL.
Each place is older than the one before, so users read what they wrote.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Mapping, Sequence, Set
from typing import Any

from cachetools import TTLCache
from redis.exceptions import RedisError

from reactions.api.cold_reads import ColdReads, Post
from reactions.api.load_requests import LoadRequests
from reactions.api.relay import Relay
from reactions.api.stored_reads import StoredReads
from reactions.core.errors import ReactionsError, ReactionsUnavailable, ReadInterrupted
from reactions.core.frozen_counts import FrozenCounts
from reactions.core.instruments import READS
from reactions.core.model import Counts, Summary, Tier
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.redis.connection import Client, is_outage, translate, translated
from reactions.redis.pipeline import Call, Command, run_many
from reactions.redis.post_cache import PostCache
from reactions.redis.replies import PostLookup, parse_lookups
from reactions.redis.summary_cache import SummaryCache
from reactions.redis.user_cache import UserCache, parse_user_lookup

_TIER = {False: Tier.REGULAR, True: Tier.VIRAL}
_REGULAR_HITS, _VIRAL_HITS, _REGULAR_MISSES, _VIRAL_MISSES = (
    READS.labels(tier, result) for result in ("hit", "miss") for tier in ("regular", "viral")
)


class Feeds:
    """Answers ``summaries``, ``counts`` and ``reaction_of``."""

    def __init__(
        self,
        client: Client,
        database: Database,
        stored: StoredReads,
        relay: Relay,
        settings: Settings,
    ) -> None:
        self._client = client
        self._cache = PostCache(client, settings)
        self._ready = SummaryCache(client, settings)
        self._cold = ColdReads(client, database, stored, settings)
        self._requests = LoadRequests(relay, settings.space)
        self._users = UserCache(client, settings)
        self._settings = settings
        self._codes = settings.reaction_types
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._lock = threading.Lock()  # a TTLCache is not thread-safe
        self._viral: TTLCache[int, Mapping[int, int]] | None = (
            TTLCache(10_000, settings.local_cache_s) if settings.local_cache_s else None
        )

    def summaries(self, post_ids: Sequence[int], user_id: int) -> list[Summary]:
        """Return summaries of these posts, in order. ``user_id`` is 0 for nobody's reactions.

        Raises:
            ReadInterrupted: PostgreSQL, or a node of a cluster, answers nothing; the error has the
                other posts.
            ReactionsUnavailable: no node that has any of the posts answers.
        """
        wanted = list(dict.fromkeys(post_ids))
        posts = {} if user_id or self._viral is None else self._local(wanted, self._viral)
        if posts:
            wanted = [post_id for post_id in wanted if post_id not in posts]
        ready, user_loaded, failed = self._read_ready(wanted, user_id)
        if len(ready) == len(post_ids):  # the common case: no post twice, and all are ready
            self._load_user(user_id, user_loaded)
            return list(map(ready.__getitem__, post_ids))
        rest = [post_id for post_id in wanted if post_id not in ready and post_id not in failed]
        found, many = self._lookup(rest, user_id, failed)
        posts |= found
        cold = [post_id for post_id, post in posts.items() if post.counts is None]
        unknown = [post_id for post_id, post in posts.items() if user_id and post.code is None]
        failure: ReactionsError | None = None
        self._load_user(user_id, user_loaded or bool(unknown))  # the query for unknown loads them
        if cold or unknown:
            self._request_loads(posts, unknown)
            try:
                self._cold.read(posts, cold, user_id, unknown, many)
            except ReactionsUnavailable as error:
                if error.store != "postgresql":
                    raise
                failure = error
            self._request_samples(posts, cold)
        self._count(posts, {*cold, *unknown})
        summaries = [
            ready.get(post_id) or self._summary(post_id, posts.get(post_id), user_id)
            for post_id in post_ids
        ]
        if failed:
            failure = translate(next(iter(failed.values())))
        if failure is not None:
            store = "redis" if failed else "postgresql"
            raise ReadInterrupted(str(failure), summaries, store) from failure
        return [summary for summary in summaries if summary is not None]

    def counts(self, post_id: int) -> Counts:
        """Return the counts of one post, as ``summaries`` shows them."""
        return self.summaries([post_id], 0)[0].counts

    def reaction_of(self, user_id: int, post_id: int) -> str | None:
        """Return the type of a user's reaction on a post, or None."""
        ready, user_loaded, _ = self._read_ready([post_id], user_id)
        if post_id in ready:
            self._load_user(user_id, user_loaded)
            return ready[post_id].reaction
        posts, many = self._lookup([post_id], user_id)
        post = posts[post_id]
        self._load_user(user_id, user_loaded or post.code is None)
        if post.code is None:
            self._request_loads(posts, [post_id])
            self._cold.read(posts, [], user_id, [post_id], many)
            self._count(posts, {post_id})
        else:
            self._count(posts, set())
        return self._names.get(post.code or 0)

    def _load_user(self, user_id: int, loaded: bool) -> None:
        """Request a load of the user, so that later feeds need only the cached summaries."""
        if not loaded:
            self._requests.user(user_id)

    def _read_ready(
        self, post_ids: Sequence[int], user_id: int
    ) -> tuple[Mapping[int, Summary], bool, dict[int, RedisError]]:
        """Return the summaries of posts that have a cached one, and whether the user is loaded.

        If nothing is known of the user, one query reads and caches the user's reactions. The third
        part has the posts of nodes of a cluster that do not answer.
        """
        if not post_ids:
            return {}, True, {}
        ready, user_loaded, waiting, lost = self._ready.read(post_ids, user_id)
        failed = {**lost}
        if ready:
            viral = [summary.tier for summary in ready.values()].count(Tier.VIRAL)
            if viral:
                _VIRAL_HITS.inc(viral)
            if viral < len(ready):
                _REGULAR_HITS.inc(len(ready) - viral)
        if not waiting:
            return ready, user_loaded, failed
        try:
            own = self._cold.user_reactions(user_id, list(waiting))
        except ReactionsUnavailable as error:
            if error.store != "postgresql":
                raise
            return ready, False, failed  # the complete hashes of the posts may still know
        viral = sum(counts.tier is Tier.VIRAL for counts in waiting.values())
        if viral:
            _VIRAL_MISSES.inc(viral)
        _REGULAR_MISSES.inc(len(waiting) - viral)
        return {**ready, **self._ready.complete(waiting, own)}, True, failed

    def _lookup(
        self, post_ids: Sequence[int], user_id: int, failed: dict[int, RedisError] | None = None
    ) -> tuple[dict[int, Post], bool]:
        """Return what Redis knows about posts, and whether the user has too many to cache them all.

        Takes one round trip. A cluster takes a second one for the user's cached reactions, if
        needed: its nodes answer at different times, and the user must be read after the outbox. A
        change that has left the outbox is in the cached reactions of the user.

        Args:
            failed: gets the posts of nodes of a cluster that do not answer; without it, their error
                is raised.
        """
        if not post_ids:
            return {}, False
        groups, lookup_calls = self._cache.lookup_calls(post_ids, user_id)
        calls: list[Call | Command] = [*lookup_calls]
        together = bool(user_id) and not self._settings.redis_cluster
        if together:
            calls += self._users.lookup_commands(user_id, post_ids)
        replies = self._run(calls)
        posts: dict[int, Post] = {}
        for post_id, lookup in parse_lookups(groups, replies[: len(lookup_calls)], failed).items():
            posts[post_id] = Post(lookup, lookup.counts or None, lookup.code)
            if lookup.deleted:
                posts[post_id].counts, posts[post_id].code = {}, 0
            elif lookup.viral and lookup.counts and self._viral is not None:
                with self._lock:
                    self._viral[post_id] = lookup.counts
        unknown = [post_id for post_id, post in posts.items() if post.code is None]
        if not user_id or not unknown:
            return posts, False
        if together:
            own = parse_user_lookup(post_ids, replies[len(lookup_calls)])
        else:
            reply = self._run(self._users.lookup_commands(user_id, unknown))[0]
            if is_outage(reply):  # PostgreSQL is asked instead
                return posts, False
            own = parse_user_lookup(unknown, reply)
        for post_id in unknown:
            posts[post_id].code = own.known.get(post_id)
        return posts, own.many

    def _local(
        self, post_ids: Sequence[int], viral: TTLCache[int, Mapping[int, int]]
    ) -> dict[int, Post]:
        """Return the viral posts whose counts this process read within ``local_cache_s``."""
        with self._lock:
            found = {post_id: viral.get(post_id) for post_id in post_ids}
        return {
            post_id: Post(PostLookup(False, True, 0, None, counts), counts, None)
            for post_id, counts in found.items()
            if counts is not None
        }

    def _count(self, posts: Mapping[int, Post], missed: Set[int]) -> None:
        """Count hits and misses: whether Redis knew everything about a post."""
        found: Tally[tuple[str, str]] = Tally()
        for post_id, post in posts.items():
            viral = self._is_viral(post)
            found[_TIER[viral], "miss" if post_id in missed else "hit"] += 1
        for labels, number in found.items():
            READS.labels(*labels).inc(number)

    def _is_viral(self, post: Post) -> bool:
        counts = post.counts or {}
        return post.lookup.viral or sum(counts.values()) >= self._settings.viral_threshold

    def _request_loads(self, posts: Mapping[int, Post], unknown: Sequence[int]) -> None:
        """Request the complete hashes of regular posts that have only counts in the cache."""
        for post_id in unknown:
            post = posts[post_id]
            if post.counts and not post.lookup.buckets:
                self._requests.post(post_id)

    def _request_samples(self, posts: Mapping[int, Post], cold: Sequence[int]) -> None:
        """Request the samples of viral posts that had nothing in the cache."""
        for post_id in cold:
            counts = posts[post_id].counts or {}
            if sum(counts.values()) >= self._settings.viral_threshold:
                self._requests.post(post_id)

    def _summary(self, post_id: int, post: Post | None, user_id: int) -> Summary | None:
        if post is None or post.counts is None or (user_id and post.code is None):
            return None
        # A count can be below zero for a moment, while an unknown earlier reaction is guessed.
        counts = {name: max(0, post.counts.get(code, 0)) for name, code in self._codes.items()}
        own = self._names.get(post.code or 0)
        if own is not None and not counts[own]:
            counts[own] = 1  # the counts contain the shown reaction
        total = sum(counts.values())
        viral = post.lookup.viral or total >= self._settings.viral_threshold
        tier = Tier.DELETED if post.lookup.deleted else Tier.VIRAL if viral else Tier.REGULAR
        return Summary(post_id, FrozenCounts(counts), total, tier, own)

    def _run(self, calls: Sequence[Call | Command]) -> list[Any]:
        with translated():
            return run_many(self._client, calls)
