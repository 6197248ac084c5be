"""Reads from PostgreSQL what Redis does not know about a feed, and caches it under a fence."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reactions.api.single_flight import SingleFlight
from reactions.api.stored_reads import StoredReads
from reactions.core.constants import MAX_WHOLE_USER
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.database import Database, StandbyRefused
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client, translated
from reactions.redis.pipeline import Call, Command, run_many
from reactions.redis.post_cache import PostCache
from reactions.redis.replies import PostLookup, installed
from reactions.redis.user_cache import UserCache

MAX_MERGED_POSTS = 10
"""At most so many posts of a feed have claimed changes merged: each takes two round trips."""

MAX_MERGED_CHANGES = 1_000
"""The most changes of a post that are merged into its counts before they are durable."""


STANDBY_S = 5.0
"""For so long (s) after a standby answered, reads cache nothing and do not ask whether they may."""


@dataclass(slots=True)
class Post:
    """One post of a feed while the answer is assembled."""

    lookup: PostLookup
    counts: Mapping[int, int] | None
    code: int | None


class ColdReads:
    """Fills in what Redis does not know."""

    def __init__(
        self, client: Client, database: Database, stored: StoredReads, settings: Settings
    ) -> None:
        self._client = client
        self._cache = PostCache(client, settings)
        self._installs = CacheInstall(client, settings)
        self._users = UserCache(client, settings)
        self._queries = Queries(database)
        self._for_caches = Queries(database.for_caches())
        self._standby_until = 0.0
        self._stored = stored
        self._settings = settings
        self._codes = settings.reaction_types
        self._flight: SingleFlight[int, Mapping[int, int]] = SingleFlight(stored.blocking)

    def read(
        self,
        posts: Mapping[int, Post],
        cold: list[int],
        user_id: int,
        unknown: list[int],
        many: bool,
    ) -> None:
        """Fill in what Redis does not know about the posts. Takes at most two queries together.

        Args:
            posts: the posts of the feed; their ``counts`` and ``code`` are filled in.
            cold: the posts whose counts are unknown.
            user_id: the reader; 0 for nobody.
            unknown: the posts on which the user's reaction is unknown.
            many: the user has more reactions than are cached.

        Raises:
            ReactionsUnavailable: Redis or PostgreSQL failed, here or in the thread that reads the
                same posts.
        """

        def read_missing(mine: list[int]) -> Mapping[int, Mapping[int, int]]:
            if not mine and not unknown:
                return {}
            counts, own = self._load(mine, user_id, unknown, many)
            for post_id in unknown:
                posts[post_id].code = own[post_id]
            return counts

        try:
            found = self._flight.load(cold, read_missing, 2 * self._settings.read_timeout_s)
        except TimeoutError as error:
            reason = "another thread reads the same posts from PostgreSQL and gets no answer"
            raise ReactionsUnavailable("postgresql", reason) from error
        for post_id, counts in found.items():
            posts[post_id].counts = counts

    def user_reactions(self, user_id: int, post_ids: list[int]) -> Mapping[int, int]:
        """Read a user of whom nothing is cached, and cache all of the user's reactions.

        One query between two round trips.

        Args:
            post_ids: posts on which the user has nothing pending.

        Returns:
            post -> the user's type code, 0 for none.

        Raises:
            ReactionsUnavailable: Redis or PostgreSQL failed.
        """
        return self._load([], user_id, post_ids, many=False)[1]

    def _load(
        self, cold: list[int], user_id: int, unknown: list[int], many: bool
    ) -> tuple[dict[int, Mapping[int, int]], dict[int, int]]:
        """Fence, read and cache. Takes two round trips and at most two queries.

        If a reaction of the user is unknown, the query reads all reactions of the user, and they
        are cached for later reads. If the user has too many, it reads only the unknown ones.

        What a standby answers is not cached: it may be behind, and the caches are everybody's.
        """
        self._stored.check()  # before the first fence
        others = 0 if many else MAX_WHOLE_USER
        if time.monotonic() < self._standby_until:
            return self._read_standby(cold, user_id, unknown, others)
        token = secrets.token_hex(8)
        fences: list[Call | Command] = [self._installs.fence_call(p, token) for p in cold]
        if unknown:
            fences.append(self._users.fence_command(user_id, token))
        self._run(fences)
        found = self._stored.run(
            "summaries", lambda: self._read_for_caches(cold, user_id, unknown, others)
        )
        if found is None:
            return self._read_standby(cold, user_id, unknown, others)
        stored, own, whole = found
        zeros = dict.fromkeys(self._codes.values(), 0)
        installs: list[Call | Command] = [
            self._installs.install_counts_call(p, token, zeros | stored[p]) for p in cold
        ]
        if unknown:
            # If all reactions of the user are cached, a missing post means: no reaction.
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

    def _read_for_caches(
        self, cold: list[int], user_id: int, unknown: list[int], others: int
    ) -> tuple[dict[int, dict[int, int]], dict[int, int], bool] | None:
        """Read what may be cached; None if the server is a standby."""
        try:
            return self._for_caches.summaries(cold, user_id, unknown, max_others=others)
        except StandbyRefused:
            self._standby_until = time.monotonic() + STANDBY_S
            return None

    def _read_standby(
        self, cold: list[int], user_id: int, unknown: list[int], others: int
    ) -> tuple[dict[int, Mapping[int, int]], dict[int, int]]:
        """Read from a standby, without fences and installs, and merge what the outbox has."""
        stored, own, _ = self._stored.run(
            "summaries",
            lambda: self._queries.summaries(cold, user_id, unknown, max_others=others),
        )
        return {**stored, **self._counts_with_changes(cold)}, own

    def _counts_with_changes(self, post_ids: Sequence[int]) -> Mapping[int, Mapping[int, int]]:
        """Return the counts of posts that a drain has claimed, with the claimed changes merged.

        Reads the outbox first and then PostgreSQL, so each change is in at least one of them. A
        post with more than ``MAX_MERGED_CHANGES`` changes is one batch behind, and so are posts
        beyond ``MAX_MERGED_POSTS``. Takes two round trips a post, and two queries.
        """
        some = post_ids[:MAX_MERGED_POSTS]
        changes = {p: self._cache.pending(p, MAX_MERGED_CHANGES) for p in some}
        merged = {p: found for p, found in changes.items() if found is not None}
        if not merged:
            return {}
        return self._stored.run("summaries", lambda: self._queries.counts_with_changes(merged))

    def _run(self, calls: Sequence[Call | Command]) -> list[Any]:
        """Send calls. A fence that fails, for example in a full Redis, only stops its install."""
        with translated():
            return run_many(self._client, calls)
