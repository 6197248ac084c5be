"""The public client: the thin synchronous layer that a web tier calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from types import TracebackType
from typing import Any, Self

from reactions.api.known_types import KnownTypes
from reactions.api.read_path import ReadPath
from reactions.api.relay import Relay
from reactions.api.write import Writer
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.errors import InvalidArgument
from reactions.core.instruments import TIMINGS
from reactions.core.model import Counts, Outcome, Page, Reacted, Reactor, RelayStats, Summary
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType
from reactions.core.validate import check_id, check_limit, check_posts
from reactions.redis.connection import Client, connect
from reactions.redis.writes import RedisWrites

MAX_SUMMARIES = 200
"""The most posts that one call of ``summaries`` or ``warm`` accepts."""

MAX_PAGE = 200
"""The most entries that one page has."""


class Reactions:
    """A client of the engine. Thread-safe and fork-safe; make one and share it.

    It connects to a single Redis server when it is first used, and to a Redis Cluster at once.

    Args:
        settings: the configuration; None reads it from the environment.
        space: which things the client is about, such as ``comment``: what its methods call posts.
            None: those of the settings, by default ``post``.

    Raises:
        InvalidArgument: ``settings`` is neither ``Settings`` nor None, or there is no such space.
        InvalidSettings: the configuration is not valid. The first read looks at the options of
            database_url.
        ReactionsUnavailable: no node of the cluster answers.
    """

    def __init__(self, settings: Settings | None = None, *, space: str | None = None) -> None:
        if settings is not None and not issubclass(type(settings), Settings):
            raise InvalidArgument("settings", "Settings, or None to read the environment", settings)
        found = Settings.from_env() if settings is None else settings
        self.settings = found if space is None else found.of_space(space)
        self._client = self._connect()
        self._relay = Relay(self.settings)
        self._spaces: dict[str, Any] = {self.settings.space: self}  # Self
        self._assemble(None)

    def _connect(self) -> Client:
        return connect(self.settings)

    def _assemble(self, shared: ReadPath | None) -> None:
        """Make what works on the space of the settings."""
        client, relay, settings = self._client, self._relay, self.settings
        self._known = KnownTypes(client, settings)
        relay.follow(self._known.look)
        self._writer = Writer(RedisWrites(client, settings), relay, settings, self._known)
        self._reads = ReadPath(client, relay, settings, self._known, shared)

    def space(self, name: str) -> Self:
        """Return the client of a space. It shares all connections, and sends nothing by itself.

        Every call with the same name returns the same client. To close one closes all.

        Raises:
            InvalidArgument: there is no such space.
        """
        settings = self.settings.of_space(name)
        if name not in self._spaces:
            made = copy(self)
            made.settings = settings
            made._assemble(self._reads)
            self._spaces.setdefault(name, made)
        found: Self = self._spaces[name]
        return found

    def react(self, user_id: int, post_id: int, reaction: str, *, replicas: int = 0) -> Outcome:
        """Set a user's reaction on a post. It replaces an earlier reaction of the user.

        Takes one round trip to Redis, whatever the post's size; the first call of a client takes
        one more, for the reaction types. Never waits for PostgreSQL or the broker. When it returns,
        Redis has recorded the reaction; a worker writes it to PostgreSQL, usually within a second.
        Until then it is as durable as the data of Redis.

        Args:
            user_id: 1 to 2^63-1.
            post_id: 1 to 2^63-1.
            reaction: one of the configured types.
            replicas: 0 to 10. The call returns when this many replicas of the primary have the
                reaction, so it survives the loss of the primary. Needs no further round trip.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            NotReplicated: recorded, but too few replicas had it within replica_timeout_s.
            PostDeleted: the post was deleted; nothing was recorded.
            ReactionsUnavailable: Redis did not answer within redis_timeout_s, or refused the call.
        """
        return self._writer.react(user_id, post_id, reaction, replicas)

    def unreact(self, user_id: int, post_id: int, *, replicas: int = 0) -> Outcome:
        """Remove a user's reaction from a post. Cost and errors are the same as for ``react``.

        The status is ``unchanged`` if the user had no reaction, and ``accepted`` if Redis does not
        know whether there was one.
        """
        return self._writer.unreact(user_id, post_id, replicas)

    def react_many(
        self, items: Iterable[tuple[int, int, str | None]], *, replicas: int = 0
    ) -> list[Outcome]:
        """Set or remove many reactions in one pipeline: one round trip to each Redis node.

        Args:
            items: tuples (user_id, post_id, reaction), at most batch_limit. A reaction of None
                removes the user's reaction. All items are checked before the first is sent.
            replicas: as for ``react``. On a cluster, the nodes then work one after the other.

        Returns:
            One outcome for each item, in order.

        Raises:
            InvalidArgument: an item is not valid; nothing was sent.
            BatchInterrupted: some items were not acknowledged; its ``outcomes`` says which.
            NotReplicated: all items on posts that are not deleted are recorded, but too few
                replicas had them in time.
            PostDeleted: some posts were deleted; all other items are recorded.
            ReactionsUnavailable: the connection failed; any of the items may have been recorded.
        """
        return self._writer.react_many(items, replicas)

    def counts(self, post_id: int) -> Counts:
        """Return how many users have each reaction on a post.

        The result has every configured type, and no number is negative. A deleted post has zeros.
        The counts are exact when nothing is pending, and otherwise at most one batch behind. Takes
        one round trip if a summary of the post is cached, else two. A cold post takes four round
        trips, and a query that reads one row for each type.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReactionsUnavailable: Redis failed, or PostgreSQL failed and the post is cold.
        """
        post_id = check_id("post_id", post_id)
        return self._reads.feeds.counts(post_id)

    def summaries(self, post_ids: Iterable[int], user_id: int | None = None) -> list[Summary]:
        """Return what a feed shows of each post: counts, total, tier and the user's own reaction.

        A warm feed takes one round trip. On a cluster it goes to the nodes of the posts and to that
        of the user at once; if the process has not read these summaries before, the user's node is
        asked afterwards. Posts without a cached summary take another round trip. If PostgreSQL has
        to answer a part, this takes two more round trips and at most two queries, however many
        posts the feed has, and twice as many if both the user and some posts are unknown; a cold
        post that a drain works on takes a few more. Threads that miss the same post at the same
        time share one query. Users always read their own writes.

        Args:
            post_ids: at most 200. The result has the same order.
            user_id: the user whose own reactions are wanted; None for nobody's.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReadInterrupted: PostgreSQL failed, or a node of a Redis Cluster; its ``summaries`` has
                what is known.
            ReactionsUnavailable: Redis failed.
        """
        posts = check_posts(post_ids, MAX_SUMMARIES)
        user = _user(user_id)
        return self._reads.feeds.summaries(posts, user) if posts else []

    def reaction_of(self, user_id: int, post_id: int) -> str | None:
        """Return a user's last acknowledged reaction on a post, or None if there is none.

        Takes one round trip if a summary of the post is cached, else two; on a cluster, up to
        twice as many. If Redis does not know the reaction, it takes up to four and one query of the
        user's reactions. The answer is then cached, also if it is None.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReactionsUnavailable: Redis failed, or PostgreSQL failed and Redis does not know.
        """
        user_id, post_id = check_id("user_id", user_id), check_id("post_id", post_id)
        return self._reads.feeds.reaction_of(user_id, post_id)

    def reactors(
        self,
        post_id: int,
        reaction: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Reactor]:
        """Return one page of the users who reacted on a post, newest first.

        Pages are stable: while others react, no page repeats or omits a user whose reaction stays.
        Takes three round trips and one query. The list contains changes that are not durable yet,
        up to 1,000 for the post; with more, it is one batch behind.

        Args:
            reaction: only this type; None for all types.
            limit: 1 to 200.
            cursor: from the previous page; None for the first page.

        Raises:
            InvalidArgument: an argument is not valid (for example, the cursor was changed or
                belongs to another list).
            ReactionsUnavailable: Redis or PostgreSQL failed.
        """
        post_id, limit = check_id("post_id", post_id), check_limit(limit, MAX_PAGE)
        code = None if reaction is None else self._known.code(reaction)
        return self._reads.lists.reactors(post_id, code, limit, cursor)

    def recent(self, post_id: int, limit: int = 20) -> list[Reactor]:
        """Return the newest users who reacted on a post, newest first.

        Takes one round trip on a viral post, which has a sample in the cache. Other posts take
        three more round trips and one query, as in ``reactors``.

        Args:
            limit: 1 to 1,000, the size of the sample of a viral post.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReactionsUnavailable: Redis failed, or PostgreSQL failed and no sample is cached.
        """
        post_id, limit = check_id("post_id", post_id), check_limit(limit, SAMPLE_SIZE)
        return self._reads.lists.recent(post_id, limit)

    def history(self, user_id: int, limit: int = 50, cursor: str | None = None) -> Page[Reacted]:
        """Return one page of a user's reactions, newest first.

        The page comes from PostgreSQL, so it is at most one batch behind. Takes one query and one
        round trip. A page is shorter than ``limit`` if posts on it were deleted a moment ago.

        Args:
            limit: 1 to 200.
            cursor: from the previous page; None for the first page.

        Raises:
            InvalidArgument: an argument is not valid (for example, the cursor was changed or
                belongs to another list).
            ReactionsUnavailable: PostgreSQL or Redis failed.
        """
        user_id, limit = check_id("user_id", user_id), check_limit(limit, MAX_PAGE)
        return self._reads.lists.history(user_id, limit, cursor)

    def uniques(self, post_id: int) -> int:
        """Return how many users ever reacted on a post, including those who removed it since.

        On a viral post this is an estimate with a standard error of 0.8 % (a HyperLogLog), and
        takes one round trip. On other posts it takes one query more, and is exact except for the
        last batch. The exact number includes a user who removed a reaction that did not exist, and
        excludes users who removed theirs more than ``tombstone_days`` ago. A deleted post has 0.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReactionsUnavailable: Redis or PostgreSQL failed.
        """
        post_id = check_id("post_id", post_id)
        return self._reads.lists.uniques(post_id)

    def warm(self, post_ids: Iterable[int]) -> None:
        """Ask a worker to cache posts before they are used, for example when they are created.

        A new post then has a complete (empty) hash before its first reaction. Its outcomes are
        exact while it is regular, and no read of it is cold. The call returns at once. The posts of
        several calls go to the workers in one message, so they are cached within about a second. It
        is safe at any time and for any post. While the broker is unavailable, or 200 posts wait in
        this process already, the posts stay cold.

        Args:
            post_ids: at most 200.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
        """
        for post_id in check_posts(post_ids, MAX_SUMMARIES):
            self._relay.request_load(post_id, self.settings.space, hurry=False)

    def delete_post(self, post_id: int) -> None:
        """Delete a post's reactions, and refuse new ones from now on. Takes one round trip.

        Reads return no reactions of the post from now on. Workers delete its rows from PostgreSQL
        in batches, starting within a few seconds. A deletion cannot be undone, and may be repeated.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReactionsUnavailable: Redis failed.
        """
        self._writer.delete_post(post_id)

    def forget_user(self, user_id: int) -> None:
        """Erase all reactions of a user from both stores. Takes one round trip.

        Workers remove the reactions one by one, so that all counts stay exact, and then delete the
        rows. They start within a few seconds. Reactions that the user makes during the erasure may
        be erased too; later ones are not. The call may be repeated. The HyperLogLogs of viral posts
        still count the user; they contain no ids.

        Raises:
            InvalidArgument: an argument is not valid; nothing was sent.
            ReactionsUnavailable: Redis failed.
        """
        self._writer.forget_user(user_id)

    def relay_stats(self) -> RelayStats:
        """Return the counters of wake-ups of this process, in `RelayStats`."""
        return self._relay.stats()

    def close(self) -> None:
        """Publish waiting wake-ups within a second, and close the connections."""
        self._relay.close()
        self._client.close()
        if TIMINGS is not None:  # a child of multiprocessing exits without atexit handlers
            TIMINGS.fold()
        self._reads.close()

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
    def reaction_types(self) -> Mapping[str, int]:
        """Name -> code of every type that this process shows, by the registry.

        The first call of a client reads the registry: one round trip to Redis, which has a copy.
        Until a worker or `reactions migrate` has written it, the configuration stands in for it.

        Raises:
            TypesMismatch: the configured types contradict the registry.
            ReactionsUnavailable: Redis failed.
        """
        return self._known.vocabulary().names

    def types(self) -> tuple[ReactionType, ...]:
        """Return all reaction types with the label and the emoji that people see.

        They are at most a second old: the call reads the registry again, in one round trip, if the
        last time is longer ago. While Redis fails, the types that are known already stay.

        Raises:
            TypesMismatch: the configured types contradict the registry.
            ReactionsUnavailable: Redis failed, and this client has not read the registry yet.
        """
        return self._known.renew().types


def _user(user_id: int | None) -> int:
    return 0 if user_id is None else check_id("user_id", user_id)
