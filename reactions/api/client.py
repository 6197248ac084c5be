"""The public client: the thin synchronous layer that a web tier calls."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from reactions.api.relay import Relay
from reactions.api.write import Writer
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.errors import InvalidArgument
from reactions.core.instruments import TIMINGS
from reactions.core.model import Counts, Outcome, Page, Reacted, Reactor, RelayStats, Summary
from reactions.core.settings import Settings
from reactions.core.validate import check_id, check_limit, check_posts, check_reaction
from reactions.redis.connection import connect
from reactions.redis.writes import RedisWrites

if TYPE_CHECKING:
    from reactions.api.feeds import Feeds
    from reactions.api.lists import Lists
    from reactions.postgres.database import Database

MAX_SUMMARIES = 200
"""Posts of one call to ``summaries``: a feed."""

MAX_PAGE = 200
"""Entries of one page."""


class Reads(NamedTuple):
    """The read path of one process."""

    process: int
    database: Database
    feeds: Feeds
    lists: Lists


class Reactions:
    """A client of the engine. Thread-safe and fork-safe; make one and share it.

    It connects when first used; to a Redis Cluster, at once. Configured from the environment unless
    settings are given.

    Raises:
        InvalidArgument: ``settings`` are none.
        InvalidSettings: the configuration cannot be used.
        ReactionsUnavailable: no node of the cluster answers.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        if settings is not None and not issubclass(type(settings), Settings):
            raise InvalidArgument(
                "settings", "Settings, or None for those of the environment", settings
            )
        self.settings = Settings.from_env() if settings is None else settings
        self._client = connect(self.settings)
        self._relay = Relay(self.settings)
        self._writer = Writer(RedisWrites(self._client, self.settings), self._relay, self.settings)
        self._reads: Reads | None = None

    def react(self, user_id: int, post_id: int, reaction: str, *, replicas: int = 0) -> Outcome:
        """Give a post a user's reaction, in place of an earlier one.

        One round trip to Redis, whatever the post's size; never PostgreSQL, never the broker.
        Once it returns, the reaction is as safe as Redis keeps its data, and becomes a row in
        PostgreSQL, usually within a second.

        Args:
            user_id: 1 to 2^63-1.
            post_id: 1 to 2^63-1.
            reaction: one of the configured types.
            replicas: 0 to 10; returns once so many replicas of the shard's primary have it, in the
                same round trip, so that it outlives the primary and its disk.

        Raises:
            InvalidArgument: an argument is refused; nothing was sent.
            NotReplicated: recorded, but too few replicas had it within replica_timeout_s.
            PostDeleted: the post was deleted.
            ReactionsUnavailable: Redis did not answer within redis_timeout_s, or refuses.
        """
        return self._writer.react(user_id, post_id, reaction, replicas)

    def unreact(self, user_id: int, post_id: int, *, replicas: int = 0) -> Outcome:
        """Take a user's reaction off a post. As ``react`` in cost and errors.

        ``unchanged`` when there was none, ``accepted`` when that could not be known.
        """
        return self._writer.unreact(user_id, post_id, replicas)

    def react_many(
        self, items: Iterable[tuple[int, int, str | None]], *, replicas: int = 0
    ) -> list[Outcome]:
        """Many reactions in one pipeline: one round trip for each Redis node.

        Args:
            items: (user_id, post_id, reaction) each, None for a reaction to remove it; at most
                batch_limit of them. All are checked before anything is sent.
            replicas: as of ``react``; on a cluster, nodes are then asked one after the other.

        Returns:
            One outcome an item, in order.

        Raises:
            InvalidArgument: an item is refused; nothing was sent.
            BatchInterrupted: some items were not acknowledged; its ``outcomes`` says which.
            NotReplicated: all are recorded, but too few replicas had them in time.
            PostDeleted: some posts were deleted; all other items are recorded.
            ReactionsUnavailable: the connection failed; any of the items may have been recorded.
        """
        return self._writer.react_many(items, replicas)

    def counts(self, post_id: int) -> Counts:
        """A post's reactions by type: every configured type, never negative; zeros when deleted.

        Exact when nothing is pending; otherwise at most a batch behind. One round trip where the
        counts are cached; on a cold post three, and one query of at most as many rows as there
        are types.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis, or PostgreSQL for a cold post.
        """
        return self._feeds.counts(check_id("post_id", post_id))

    def summaries(self, post_ids: Iterable[int], user_id: int | None = None) -> list[Summary]:
        """What a feed shows: counts, total, tier, and the user's own reaction, for each post.

        A warm feed takes one round trip to each Redis node; on a cluster, one more for the user's
        where a post does not know. Where PostgreSQL is asked, it is two more round trips and two
        queries at most, however many posts there are. Of threads that miss the same post at once,
        one asks. The user always reads what they wrote.

        Args:
            post_ids: at most 200; the answer has their order.
            user_id: whose own reaction is wanted.

        Raises:
            InvalidArgument: nothing was sent.
            ReadInterrupted: PostgreSQL cannot serve; its ``summaries`` has what Redis knows.
            ReactionsUnavailable: Redis.
        """
        posts = check_posts(post_ids, MAX_SUMMARIES)
        user = _user(user_id)
        return self._feeds.summaries(posts, user) if posts else []

    def reaction_of(self, user_id: int, post_id: int) -> str | None:
        """A user's reaction on a post, None for none: always the last one that was acknowledged.

        One round trip where Redis knows (on a cluster two at most), else three and one query by
        primary key, whose answer is cached, also when it is "none".

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis, or PostgreSQL where Redis does not know.
        """
        return self._feeds.reaction_of(check_id("user_id", user_id), check_id("post_id", post_id))

    def reactors(
        self,
        post_id: int,
        reaction: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Reactor]:
        """Who reacted on a post, newest first; with ``reaction``, who with this type.

        Pages are stable: while others react, none repeats or leaves out who was there all along.
        Three round trips and one query, which reads no more rows than it returns. What is not
        durable yet is taken in, up to 1,000 changes of the post; beyond, it is a batch behind.

        Args:
            limit: 1 to 200.
            cursor: of the page before; one that was tampered with, or of another list, is refused.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis or PostgreSQL.
        """
        code = None if reaction is None else check_reaction(self.settings.reaction_types, reaction)
        return self._lists.reactors(
            check_id("post_id", post_id), code, check_limit(limit, MAX_PAGE), cursor
        )

    def recent(self, post_id: int, limit: int = 20) -> list[Reactor]:
        """The newest who reacted on a post, newest first.

        One round trip on a viral post; else three more and one query, as ``reactors``.

        Args:
            limit: 1 to 1,000, the size of the sample of a viral post.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis, or PostgreSQL where Redis has no sample.
        """
        return self._lists.recent(check_id("post_id", post_id), check_limit(limit, SAMPLE_SIZE))

    def history(self, user_id: int, limit: int = 50, cursor: str | None = None) -> Page[Reacted]:
        """What a user reacted on, newest first, as PostgreSQL has it: at most a batch behind.

        One query and one round trip. A page may have fewer than ``limit`` where posts were deleted
        a moment ago.

        Args:
            limit: 1 to 200.
            cursor: of the page before; one that was tampered with, or of another list, is refused.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: PostgreSQL or Redis.
        """
        return self._lists.history(
            check_id("user_id", user_id), check_limit(limit, MAX_PAGE), cursor
        )

    def uniques(self, post_id: int) -> int:
        """How many users ever reacted on a post, also those who took it away since.

        Where it is exact, those who took it away over ``tombstone_days`` ago are left out.

        (Also one who only ever took away what was not there: it left a tombstone all the same.)

        On a viral post an estimate with a standard error of 0.8 % (a HyperLogLog), one round trip.
        Elsewhere, or where that is not cached, exact but for the last batch, and one query more.
        0 on a deleted post.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis or PostgreSQL.
        """
        return self._lists.uniques(check_id("post_id", post_id))

    def warm(self, post_ids: Iterable[int]) -> None:
        """Have a worker cache posts before they are used, for example when they are created.

        The hash of a new post is then complete (and empty) before the first reaction, so every
        outcome on it is exact while the post is regular, and it never costs a cold read. Returns at
        once; usually the posts are cached within a few hundredths of a second. Safe at any time and
        for any post. When the broker is away, the posts stay cold.

        Args:
            post_ids: at most 200.

        Raises:
            InvalidArgument: nothing was sent.
        """
        for post_id in check_posts(post_ids, MAX_SUMMARIES):
            self._relay.request_load(post_id)

    def delete_post(self, post_id: int) -> None:
        """Delete a post's reactions, and refuse new ones from now on. One round trip.

        Reads see none of them from now on; workers take the rows out of PostgreSQL, a batch at a
        time, beginning within a few seconds. It cannot be undone. Calling again is safe.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis.
        """
        self._writer.delete_post(post_id)

    def forget_user(self, user_id: int) -> None:
        """Erase everything a user reacted on, from both stores. One round trip.

        Workers take the reactions away one by one, so that all counts stay exact, and then delete
        the rows; it begins within a few seconds. What the user does meanwhile may be erased too;
        what they do afterwards is not. Calling again is safe. (A HyperLogLog of a viral post
        cannot forget; it holds no ids.)

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis.
        """
        self._writer.forget_user(user_id)

    def relay_stats(self) -> RelayStats:
        """What became of this process's wake-ups: published, dropped, failed."""
        return self._relay.stats()

    def close(self) -> None:
        """Publish waiting wake-ups, within a second, and close the connections."""
        self._relay.close()
        self._client.close()
        if TIMINGS is not None:  # a child of multiprocessing ends without atexit
            TIMINGS.fold()
        if self._reads is not None and self._reads.process == os.getpid():
            self._reads.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _feeds(self) -> Feeds:
        return self._read_path().feeds

    @property
    def _lists(self) -> Lists:
        return self._read_path().lists

    def _read_path(self) -> Reads:
        """The read path with its database; each process makes its own when it first reads.

        There is no lock, which a fork could leave held: when two threads make one at the same time,
        the later one is kept.
        """
        made = self._reads
        if made is None or made.process != os.getpid():
            # Imported here: a process that only writes never loads SQLAlchemy.
            from reactions.api.feeds import Feeds
            from reactions.api.lists import Lists
            from reactions.api.stored_reads import StoredReads
            from reactions.postgres.database import Database

            settings = self.settings
            database = Database(settings, name="reactions-api", timeout_s=settings.read_timeout_s)
            stored = StoredReads()
            self._reads = made = Reads(
                os.getpid(),
                database,
                Feeds(self._client, database, stored, self._relay, settings),
                Lists(self._client, database, stored, settings),
            )
        return made


def _user(user_id: int | None) -> int:
    return 0 if user_id is None else check_id("user_id", user_id)
