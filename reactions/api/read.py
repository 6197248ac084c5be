"""The read path: Redis first, PostgreSQL for what it does not know, never one query a post.

What a user did last is found in the outbox (pending, then claimed), then in the complete hash or
the sample, then in what is remembered of the user, then in the database: in that order, each is
older than the one before, so users always read what they wrote.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from cachetools import TTLCache

from reactions.api.cursor import Cursors
from reactions.api.relay import Relay
from reactions.api.single_flight import SingleFlight
from reactions.core.constants import MAX_WHOLE_USER, SAMPLE_SIZE
from reactions.core.errors import ReactionsUnavailable, ReadInterrupted
from reactions.core.instruments import READS, fallback
from reactions.core.model import Counts, Page, Reacted, Reactor, Row, Summary, Tier
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.connection import Client, translated
from reactions.redis.pipeline import Call, Command, run_many
from reactions.redis.post_cache import PostCache
from reactions.redis.replies import PostLookup, installed, parse_lookups
from reactions.redis.user_cache import UserCache, parse_user_lookup

MAX_LISTED_CHANGES = 1_000
"""Most changes of a post, not durable yet, that a list of its reactors takes in."""

LOAD_AGAIN_S = 5.0
"""How long this process waits before it asks again for a post to be cached."""

DOWN_S = 1.0
"""How long reads do without PostgreSQL after it failed them, before they try it again."""


Stored = TypeVar("Stored")

_TIER = {False: Tier.REGULAR, True: Tier.VIRAL}


@dataclass(slots=True)
class _Post:
    """One post of a feed while it is put together."""

    lookup: PostLookup
    counts: Mapping[int, int] | None
    code: int | None


class Reader:
    """Answers reads."""

    def __init__(
        self, client: Client, database: Database, relay: Relay, settings: Settings
    ) -> None:
        self._client = client
        self._cache = PostCache(client, settings)
        self._users = UserCache(client, settings)
        self._queries = Queries(database)
        self._cursors = Cursors(settings)
        self._relay = relay
        self._settings = settings
        self._codes = settings.reaction_types
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._flight: SingleFlight[int, Mapping[int, int]] = SingleFlight()
        self._lock = threading.Lock()  # cachetools leaves it to its users
        self._asked: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)
        self._viral: TTLCache[int, Mapping[int, int]] | None = (
            TTLCache(10_000, settings.local_cache_s) if settings.local_cache_s else None
        )
        self._down_until = 0.0

    # -- summaries -----------------------------------------------------------------------------

    def summaries(self, post_ids: Sequence[int], user_id: int) -> list[Summary]:
        """``user_id`` 0 for nobody's."""
        wanted = list(dict.fromkeys(post_ids))
        posts = self._local(wanted) if not user_id else {}
        found, many = self._lookup([p for p in wanted if p not in posts], user_id)
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
        summaries = [self._summary(post_id, posts[post_id], user_id) for post_id in post_ids]
        if failure is not None:
            raise ReadInterrupted(str(failure), summaries) from failure
        return [summary for summary in summaries if summary is not None]

    def counts(self, post_id: int) -> Counts:
        """As they are shown."""
        return self.summaries([post_id], 0)[0].counts

    def reaction_of(self, user_id: int, post_id: int) -> str | None:
        """The name of the type."""
        posts, many = self._lookup([post_id], user_id)
        post = posts[post_id]
        if post.code is None:
            self._request_loads(posts, [post_id])
            self._ask_database(posts, [], user_id, [post_id], many)
            self._count(posts, {post_id})
        else:
            self._count(posts, set())
        return self._names.get(post.code or 0)

    def _lookup(self, post_ids: Sequence[int], user_id: int) -> tuple[dict[int, _Post], bool]:
        """What Redis knows, and whether the user has more reactions than are cached.

        One round trip. On a cluster another one for the user, if needed.

        There the nodes answer at different times, and what is remembered of the user must be read
        after the outbox: what has left the one is in the other.
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
        """Viral posts that this process has looked at a moment ago."""
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
        """Fill in what Redis does not know, for all of it together: two queries at most."""

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
            reason = "another thread that asks PostgreSQL for the same does not come back"
            raise ReactionsUnavailable("postgresql", reason) from error
        for post_id, counts in found.items():
            posts[post_id].counts = counts

    def _load(
        self, cold: list[int], user_id: int, unknown: list[int], many: bool
    ) -> tuple[dict[int, Mapping[int, int]], dict[int, int]]:
        """Fence, read, cache: two round trips and two queries.

        Where something of the user is unknown, all of it is read, so that it is known from then on;
        of one with too many reactions, only what is asked for.
        """
        self._check_up()  # before anything is fenced
        token = secrets.token_hex(8)
        fences: list[Call | Command] = [self._cache.fence_call(p, token) for p in cold]
        if unknown:
            fences.append(self._users.fence(user_id, token))
        self._run(fences)
        stored, own, whole = self._stored(
            "summaries",
            lambda: self._queries.summaries(
                cold, user_id, unknown, max_others=0 if many else MAX_WHOLE_USER
            ),
        )
        zeros = dict.fromkeys(self._codes.values(), 0)
        installs: list[Call | Command] = [
            self._cache.install_counts_call(p, token, zeros | stored[p]) for p in cold
        ]
        if unknown:
            # Of a user who is cached whole, absence says that there is none.
            kept = (
                {post_id: code for post_id, code in own.items() if code}
                if whole
                else {post_id: own[post_id] for post_id in unknown}
            )
            installs.append(self._users.install_call(user_id, token, kept, whole=whole))
        replies = self._run(installs)
        return {p: installed(reply)[1] for p, reply in zip(cold, replies, strict=False)}, own

    def _stored(self, read: str, ask: Callable[[], Stored]) -> Stored:
        """What PostgreSQL answers to this kind of read; when it fails, it is left alone a while."""
        self._check_up()
        try:
            with fallback(read):
                return ask()
        except ReactionsUnavailable:
            self._down_until = time.monotonic() + DOWN_S
            raise

    def _check_up(self) -> None:
        """Do not wait for a database that has just failed."""
        if time.monotonic() < self._down_until:
            raise ReactionsUnavailable("postgresql", "PostgreSQL did not answer a moment ago")

    def _count(self, posts: Mapping[int, _Post], missed: Set[int]) -> None:
        """Which posts Redis knew enough of."""
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
        """A regular post that is asked for again, while only its counts are cached, is loaded."""
        for post_id in unknown:
            post = posts[post_id]
            if post.counts and not post.lookup.buckets:
                self._request_load(post_id)

    def _request_samples(self, posts: Mapping[int, _Post], cold: Sequence[int]) -> None:
        """A viral post of which nothing was cached is loaded at once."""
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

    def _summary(self, post_id: int, post: _Post, user_id: int) -> Summary | None:
        if post.counts is None or (user_id and post.code is None):
            return None
        # Below zero is possible for a moment, while a guess is pending; it is not shown.
        counts = {name: max(0, post.counts.get(code, 0)) for name, code in self._codes.items()}
        total = sum(counts.values())
        viral = post.lookup.viral or total >= self._settings.viral_threshold
        tier = Tier.DELETED if post.lookup.deleted else Tier.VIRAL if viral else Tier.REGULAR
        return Summary(post_id, counts, total, tier, self._names.get(post.code or 0))

    # -- lists ---------------------------------------------------------------------------------

    def reactors(
        self, post_id: int, code: int | None, limit: int, cursor: str | None
    ) -> Page[Reactor]:
        """``code`` None for all types."""
        about = f"reactors {post_id} {code or 0}"
        before = None
        if cursor is not None:
            (before,) = self._cursors.read(about, 1, cursor)
        rows = self._newest(post_id, code, limit + 1, before)
        items = tuple(Reactor(row.user_id, self._names[row.reaction]) for row in rows[:limit])
        more = len(rows) > limit
        return Page(items, self._cursors.write(about, rows[limit - 1].version) if more else None)

    def recent(self, post_id: int, limit: int) -> list[Reactor]:
        """From the sample, else from the database."""
        found = self._cache.recent(post_id, min(limit, SAMPLE_SIZE))
        if found is None:
            rows = self._newest(post_id, None, limit, None)
            found = [(row.user_id, row.reaction) for row in rows]
        return [Reactor(user, self._names[code]) for user, code in found if code in self._names]

    def history(self, user_id: int, limit: int, cursor: str | None) -> Page[Reacted]:
        """From the database, without what has just been deleted."""
        about = f"history {user_id}"
        before = None
        if cursor is not None:
            version, post_id = self._cursors.read(about, 2, cursor)
            before = version, post_id
        rows = self._stored(
            "history",
            lambda: self._queries.history(user_id, self._names, limit=limit + 1, before=before),
        )
        # PostgreSQL hears of a deletion a few seconds later.
        deleted = self._cache.deleted([row.post_id for row in rows])
        items = tuple(
            Reacted(row.post_id, self._names[row.reaction], row.version)
            for row in rows[:limit]
            if row.post_id not in deleted
        )
        if len(rows) <= limit:
            return Page(items, None)
        last = rows[limit - 1]
        return Page(items, self._cursors.write(about, last.version, last.post_id))

    def uniques(self, post_id: int) -> int:
        """From the HyperLogLog, else from the database."""
        found = self._cache.uniques(post_id)
        if found is None:
            found = self._stored("uniques", lambda: self._queries.count_ever(post_id))
        return found

    def _newest(self, post_id: int, code: int | None, limit: int, before: int | None) -> list[Row]:
        """The newest of the database with what is not durable yet, which is read first."""
        lookup = self._cache.lookup(post_id)
        if lookup.deleted:
            return []
        codes = [code] if code else list(self._names)
        overlay = self._cache.pending(post_id, MAX_LISTED_CHANGES)
        if overlay is None:
            return self._newest_settled(post_id, codes, limit, before)
        # Rows that the overlay has in another place make room for as many more.
        most = limit + len(overlay)
        stored = self._stored(
            "reactors", lambda: self._queries.newest(post_id, codes, limit=most, before=before)
        )
        fresh = [
            Row(post_id, user_id, kind, version)
            for user_id, (kind, version) in overlay.items()
            if kind in codes and (before is None or version < before)
        ]
        fresh += (row for row in stored if row.user_id not in overlay)
        return sorted(fresh, key=lambda row: -row.version)[:limit]

    def _newest_settled(
        self, post_id: int, codes: Sequence[int], limit: int, before: int | None
    ) -> list[Row]:
        """The newest of the database, without those who have something pending by now.

        They have a newer place in the list, on a page before, or none at all.
        """
        rows: list[Row] = []
        size = limit
        while True:
            ask = partial(self._queries.newest, post_id, codes, limit=size, before=before)
            found = self._stored("reactors", ask)
            changed = self._cache.changed(post_id, [row.user_id for row in found])
            # Asked again: what has left the outbox meanwhile has a newer version now.
            still = set(self._stored("reactors", ask))
            rows += (row for row in found if row in still and row.user_id not in changed)
            if len(found) < size or len(rows) >= limit:
                return rows[:limit]
            before, size = found[-1].version, 2 * size

    def _run(self, calls: Sequence[Call | Command]) -> list[Any]:
        with translated():
            return run_many(self._client, calls)
