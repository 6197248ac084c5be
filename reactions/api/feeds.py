"""Answers feeds: counts, tiers and a user's own reactions.

Redis answers first. One or two queries to PostgreSQL answer what Redis does not know, however many
posts a feed has. The latest reaction of a user is looked up in this order: the outbox (pending,
then claimed), the hash or the sample of the post, the cached reactions of the user, PostgreSQL.
Each place is older than the one before, so users read what they wrote.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter as Tally
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache

from reactions.api.relay import Relay
from reactions.api.single_flight import SingleFlight
from reactions.api.stored_reads import StoredReads
from reactions.core.constants import MAX_WHOLE_USER
from reactions.core.errors import ReactionsUnavailable, ReadInterrupted
from reactions.core.instruments import READS
from reactions.core.model import Counts, Summary, Tier
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client, translated
from reactions.redis.pipeline import Call, Command, run_many
from reactions.redis.post_cache import PostCache
from reactions.redis.replies import PostLookup, installed, parse_lookups
from reactions.redis.summary_cache import SummaryCache
from reactions.redis.user_cache import UserCache, parse_user_lookup

MAX_MERGED_CHANGES = 1_000
"""At most so many changes that are not durable are merged into the counts of a post."""

LOAD_AGAIN_S = 5.0
"""How long this process waits before it asks for the same post to be cached again (seconds)."""

_TIER = {False: Tier.REGULAR, True: Tier.VIRAL}
_REGULAR_HITS, _VIRAL_HITS = (READS.labels(tier, "hit") for tier in ("regular", "viral"))


@dataclass(slots=True)
class _Post:
    """One post of a feed while the answer is put together."""

    lookup: PostLookup
    counts: Mapping[int, int] | None
    code: int | None


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
        self._installs = CacheInstall(client, settings)
        self._users = UserCache(client, settings)
        self._queries = Queries(database)
        self._stored = stored
        self._relay = relay
        self._settings = settings
        self._codes = settings.reaction_types
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._flight: SingleFlight[int, Mapping[int, int]] = SingleFlight()
        self._lock = threading.Lock()  # cachetools leaves it to its users
        self._asked: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)
        self._asked_users: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)
        self._viral: TTLCache[int, Mapping[int, int]] | None = (
            TTLCache(10_000, settings.local_cache_s) if settings.local_cache_s else None
        )

    def summaries(self, post_ids: Sequence[int], user_id: int) -> list[Summary]:
        """Summaries of these posts, in order; ``user_id`` is 0 when nobody's reaction is wanted."""
        wanted = list(dict.fromkeys(post_ids))
        posts = self._local(wanted) if not user_id else {}
        ready = self._read_ready([p for p in wanted if p not in posts], user_id)
        rest = [p for p in wanted if p not in posts and p not in ready]
        if not rest and not posts:
            return [ready[post_id] for post_id in post_ids]
        found, many = self._lookup(rest, user_id)
        posts |= found
        cold = [post_id for post_id, post in posts.items() if post.counts is None]
        unknown = [post_id for post_id, post in posts.items() if user_id and post.code is None]
        failure = None
        if cold or unknown:
            self._request_loads(posts, unknown)
            try:
                self._ask_database(posts, cold, user_id, unknown, many)
            except ReactionsUnavailable as error:
                if error.store != "postgresql":
                    raise
                failure = error
            self._request_samples(posts, cold)
        self._count(posts, {*cold, *unknown})
        summaries = [
            ready.get(post_id) or self._summary(post_id, posts[post_id], user_id)
            for post_id in post_ids
        ]
        if failure is not None:
            raise ReadInterrupted(str(failure), summaries) from failure
        return [summary for summary in summaries if summary is not None]

    def counts(self, post_id: int) -> Counts:
        """The counts of one post, as ``summaries`` shows them."""
        return self.summaries([post_id], 0)[0].counts

    def reaction_of(self, user_id: int, post_id: int) -> str | None:
        """The name of the type of a user's reaction on a post, or None."""
        if (ready := self._read_ready([post_id], user_id).get(post_id)) is not None:
            return ready.reaction
        posts, many = self._lookup([post_id], user_id)
        post = posts[post_id]
        if post.code is None:
            self._request_loads(posts, [post_id])
            self._ask_database(posts, [], user_id, [post_id], many)
            self._count(posts, {post_id})
        else:
            self._count(posts, set())
        return self._names.get(post.code or 0)

    def _read_ready(self, post_ids: Sequence[int], user_id: int) -> Mapping[int, Summary]:
        """The ready summaries of these posts; asks for the user's reactions to be loaded once."""
        if not post_ids:
            return {}
        ready, user_loaded = self._ready.read(post_ids, user_id)
        if not user_loaded:
            self._request_user_load(user_id)
        if ready:
            viral = sum(summary.tier is Tier.VIRAL for summary in ready.values())
            if viral:
                _VIRAL_HITS.inc(viral)
            if viral < len(ready):
                _REGULAR_HITS.inc(len(ready) - viral)
        return ready

    def _lookup(self, post_ids: Sequence[int], user_id: int) -> tuple[dict[int, _Post], bool]:
        """What Redis knows of posts, and whether the user has more reactions than are cached.

        One round trip; on a cluster a second one for the user's cached reactions, if needed. There
        the nodes answer at different times, and the user must be read after the outbox: what has
        left the outbox is in the cached reactions of the user.
        """
        if not post_ids:
            return {}, False
        groups, lookup_calls = self._cache.lookup_calls(post_ids, user_id)
        calls: list[Call | Command] = [*lookup_calls]
        together = bool(user_id) and not self._settings.redis_cluster
        if together:
            calls += self._users.lookup_commands(user_id, post_ids)
        replies = self._run(calls)
        posts: dict[int, _Post] = {}
        for post_id, lookup in parse_lookups(groups, replies[: len(lookup_calls)]).items():
            posts[post_id] = _Post(lookup, lookup.counts or None, lookup.code)
            if lookup.deleted:
                posts[post_id].counts, posts[post_id].code = {}, 0
            elif lookup.viral and lookup.counts and self._viral is not None:
                with self._lock:
                    self._viral[post_id] = lookup.counts
        unknown = [post_id for post_id in post_ids if posts[post_id].code is None]
        if not user_id or not unknown:
            return posts, False
        if together:
            own = parse_user_lookup(post_ids, replies[len(lookup_calls)])
        else:
            own = parse_user_lookup(
                unknown, self._run(self._users.lookup_commands(user_id, unknown))[0]
            )
        for post_id in unknown:
            posts[post_id].code = own.known.get(post_id)
        return posts, own.many

    def _local(self, post_ids: Sequence[int]) -> dict[int, _Post]:
        """Viral posts whose counts this process read within ``local_cache_s``."""
        if self._viral is None:
            return {}
        with self._lock:
            found = {post_id: self._viral.get(post_id) for post_id in post_ids}
        return {
            post_id: _Post(PostLookup(False, True, 0, None, counts), counts, None)
            for post_id, counts in found.items()
            if counts is not None
        }

    def _ask_database(
        self,
        posts: Mapping[int, _Post],
        cold: list[int],
        user_id: int,
        unknown: list[int],
        many: bool,
    ) -> None:
        """Fill in what Redis does not know of all posts together: at most two queries."""

        def ask(mine: list[int]) -> Mapping[int, Mapping[int, int]]:
            if not mine and not unknown:
                return {}
            counts, own = self._load(mine, user_id, unknown, many)
            for post_id in unknown:
                posts[post_id].code = own[post_id]
            return counts

        try:
            found = self._flight.load(cold, ask, 2 * self._settings.read_timeout_s)
        except TimeoutError as error:
            reason = "another thread is asking PostgreSQL for the same posts, and gets no answer"
            raise ReactionsUnavailable("postgresql", reason) from error
        for post_id, counts in found.items():
            posts[post_id].counts = counts

    def _load(
        self, cold: list[int], user_id: int, unknown: list[int], many: bool
    ) -> tuple[dict[int, Mapping[int, int]], dict[int, int]]:
        """Fence, read, cache: two round trips and at most two queries.

        When a reaction of the user is unknown, the query reads all of them, and they are cached for
        later reads; for a user with too many of them, it reads only the wanted ones.
        """
        self._stored.check()  # before anything is fenced
        token = secrets.token_hex(8)
        fences: list[Call | Command] = [self._installs.fence_call(p, token) for p in cold]
        if unknown:
            fences.append(self._users.fence_command(user_id, token))
        self._run(fences)
        stored, own, whole = self._stored.ask(
            "summaries",
            lambda: self._queries.summaries(
                cold, user_id, unknown, max_others=0 if many else MAX_WHOLE_USER
            ),
        )
        zeros = dict.fromkeys(self._codes.values(), 0)
        installs: list[Call | Command] = [
            self._installs.install_counts_call(p, token, zeros | stored[p]) for p in cold
        ]
        if unknown:
            # For a user who is cached whole, a missing post means: no reaction.
            kept = (
                {post_id: code for post_id, code in own.items() if code}
                if whole
                else {post_id: own[post_id] for post_id in unknown}
            )
            installs.append(self._users.install_call(user_id, token, kept, whole=whole))
        answers = [installed(reply) for reply in self._run(installs)[: len(cold)]]
        counts = {p: found for p, (_, found) in zip(cold, answers, strict=True)}
        refused = [p for p, (done, _) in zip(cold, answers, strict=True) if not done]
        return {**counts, **self._counts_with_changes(refused)}, own

    def _counts_with_changes(self, post_ids: Sequence[int]) -> Mapping[int, Mapping[int, int]]:
        """The counts of posts that a drain works on, together with the changes that it has claimed.

        Reads the outbox first and then PostgreSQL, so a change is in at least one of them. A post
        with more than ``MAX_MERGED_CHANGES`` of them is left out: it is a batch behind.
        """
        changes = {p: self._cache.pending(p, MAX_MERGED_CHANGES) for p in post_ids}
        merged = {p: found for p, found in changes.items() if found is not None}
        if not merged:
            return {}
        return self._stored.ask("summaries", lambda: self._queries.counts_with_changes(merged))

    def _count(self, posts: Mapping[int, _Post], missed: Set[int]) -> None:
        """Count hits and misses: whether Redis knew everything about a post."""
        found: Tally[tuple[str, str]] = Tally()
        for post_id, post in posts.items():
            viral = self._is_viral(post)
            found[_TIER[viral], "miss" if post_id in missed else "hit"] += 1
        for labels, number in found.items():
            READS.labels(*labels).inc(number)

    def _is_viral(self, post: _Post) -> bool:
        counts = post.counts or {}
        return post.lookup.viral or sum(counts.values()) >= self._settings.viral_threshold

    def _request_loads(self, posts: Mapping[int, _Post], unknown: Sequence[int]) -> None:
        """Ask for the complete hash of regular posts whose counts alone are cached."""
        for post_id in unknown:
            post = posts[post_id]
            if post.counts and not post.lookup.buckets:
                self._request_load(post_id)

    def _request_samples(self, posts: Mapping[int, _Post], cold: Sequence[int]) -> None:
        """Ask for the samples of viral posts that were not cached at all."""
        for post_id in cold:
            counts = posts[post_id].counts or {}
            if sum(counts.values()) >= self._settings.viral_threshold:
                self._request_load(post_id)

    def _request_load(self, post_id: int) -> None:
        with self._lock:
            if post_id in self._asked:
                return
            self._asked[post_id] = True
        self._relay.request_load(post_id)

    def _request_user_load(self, user_id: int) -> None:
        """Have a worker cache all reactions of a user whose cached ones prove nothing yet."""
        with self._lock:
            if user_id in self._asked_users:
                return
            self._asked_users[user_id] = True
        self._relay.request_user_load(user_id)

    def _summary(self, post_id: int, post: _Post, user_id: int) -> Summary | None:
        if post.counts is None or (user_id and post.code is None):
            return None
        # A count can be below zero for a moment, while an unknown earlier reaction is guessed.
        counts = {name: max(0, post.counts.get(code, 0)) for name, code in self._codes.items()}
        own = self._names.get(post.code or 0)
        if own is not None and not counts[own]:
            counts[own] = 1  # an answer agrees with itself, even if it is a batch behind
        total = sum(counts.values())
        viral = post.lookup.viral or total >= self._settings.viral_threshold
        tier = Tier.DELETED if post.lookup.deleted else Tier.VIRAL if viral else Tier.REGULAR
        return Summary(post_id, counts, total, tier, own)

    def _run(self, calls: Sequence[Call | Command]) -> list[Any]:
        with translated():
            return run_many(self._client, calls)
