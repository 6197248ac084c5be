"""Ready summaries: most feeds are answered by two plain commands.

``lua/include/summary.lua`` says what a summary holds, and why a user who is not listed in it has
nothing pending on the post. So what the cached reactions of that user say is the newest truth.

The summaries are read first. A change that left the outbox before is then in the cached reactions;
one that left it in between may be there, too, and the counts of the summary lack it. A reaction
whose count is 0 shows that, and the post is looked up again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cachetools import TTLCache
from redis.exceptions import RedisError

from reactions.core.constants import shard_of
from reactions.core.model import Summary, Tier, make_summary
from reactions.core.settings import Settings
from reactions.redis import keys
from reactions.redis.buckets import MARK
from reactions.redis.connection import Client, execute_many, translated
from reactions.redis.ttl import Ttl
from reactions.redis.wire import Words

REGULAR, VIRAL, DELETED = 0, 1, 2
"""Tiers as a summary has them."""

MAX_PARSED = 10_000
"""Distinct counts that a process remembers in parsed form."""

MAX_FOLDED = 1_000
"""Distinct summaries with changes that a process remembers in parsed form."""

RENEWALS = 16
"""A process renews the TTL of a user's cached reactions so many times within that TTL."""


class ReadyCounts(NamedTuple):
    """The counts of a summary, parsed once for all posts that have the same."""

    tier: Tier
    by_code: Mapping[int, int]
    by_name: dict[str, int]
    total: int


class Found(NamedTuple):
    """What one round trip found.

    Attributes:
        summaries: post -> its summary, for the posts that are answered completely.
        user_loaded: the cached reactions of the user have their mark, so PostgreSQL was asked for
            them; True when no user was given.
        waiting: post -> its counts, for the posts that lack only the reaction of a user who is not
            loaded. The user has nothing pending on them, so PostgreSQL knows the reaction.
    """

    summaries: Mapping[int, Summary]
    user_loaded: bool
    waiting: Mapping[int, ReadyCounts]


class SummaryCache:
    """Reads ready summaries and the cached reactions of one user."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._cluster = settings.redis_cluster
        self._threshold = settings.viral_threshold
        self._names = {code: name for name, code in settings.reaction_types.items()}
        self._parsed: dict[bytes, ReadyCounts] = {}
        self._folded: dict[bytes, tuple[ReadyCounts, Mapping[int, int]]] = {}
        self._ttl = Ttl(settings)
        self._lock = threading.Lock()  # cachetools is not thread-safe
        self._renewed: TTLCache[int, bool] = TTLCache(
            10_000, max(0.05, settings.cache_ttl_user_s / RENEWALS)
        )

    def read(self, post_ids: Sequence[int], user_id: int) -> Found:
        """Return the summaries of these posts that are ready. One round trip; on a cluster two.

        Args:
            post_ids: distinct posts, at least one.
            user_id: whose reactions are wanted; 0 for nobody's.

        Raises:
            ReactionsUnavailable: Redis.
        """
        with translated():
            if self._cluster:
                return self._read_cluster(post_ids, user_id)
            summaries = ("MGET", *keys.post_summaries(post_ids))
            if not user_id:
                (values,) = execute_many(self._client, [summaries])
                return self._found(post_ids, values, user_id, None)
            values, own, *_ = execute_many(
                self._client, [summaries, *self._of_user(user_id, post_ids)]
            )
            return self._found(post_ids, values, user_id, own)

    def _read_cluster(self, post_ids: Sequence[int], user_id: int) -> Found:
        """Read the summaries of all nodes, and then the user's node."""
        shards: dict[int, list[int]] = {}
        for post_id in post_ids:
            shards.setdefault(shard_of(post_id), []).append(post_id)
        commands = [("MGET", *keys.post_summaries(posts)) for posts in shards.values()]
        values = [v for reply in execute_many(self._client, commands) for v in _checked(reply)]
        ordered = [post_id for posts in shards.values() for post_id in posts]
        own = None
        if user_id:
            own = execute_many(self._client, self._of_user(user_id, ordered))[0]
        return self._found(ordered, values, user_id, own)

    def _of_user(self, user_id: int, post_ids: Sequence[int]) -> list[Words]:
        """Commands that read the cached reactions of a user and, now and then, renew their TTL."""
        name = keys.user_reactions(user_id)
        commands: list[Words] = [("HMGET", name, MARK, *post_ids)]
        with self._lock:
            if user_id not in self._renewed:
                self._renewed[user_id] = True
                commands.append(("PEXPIRE", name, self._ttl.jittered(self._ttl.user)))
        return commands

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
        names = self._names
        found: dict[int, Summary] = {}
        waiting: dict[int, ReadyCounts] = {}
        for post_id, value, cached in zip(post_ids, _checked(values), codes, strict=True):
            if value is None:
                continue
            try:
                counts, code = self._parse(value, user_id)
                if code is None:
                    code = absent if cached is None else int(cached)
            except ValueError:  # a key that this version cannot read is as good as none
                continue
            if code is not None:
                tier, _, by_name, total = counts
                own_name = names.get(code) if tier is not Tier.DELETED else None
                if own_name is not None and not by_name[own_name]:
                    continue  # it became durable after the summary was read
                found[post_id] = make_summary(post_id, by_name.copy(), total, tier, own_name)
            elif mark is None:
                waiting[post_id] = counts
        return Found(found, mark is not None, waiting)

    def complete(
        self, waiting: Mapping[int, ReadyCounts], own: Mapping[int, int]
    ) -> dict[int, Summary]:
        """Return the summaries of waiting posts, but for those whose counts lack the reaction.

        Args:
            waiting: ``Found.waiting``.
            own: post -> the user's type code, 0 for none; read after the summaries.
        """
        found: dict[int, Summary] = {}
        for post_id, (tier, _, by_name, total) in waiting.items():
            own_name = self._names.get(own[post_id]) if tier is not Tier.DELETED else None
            if own_name is None or by_name[own_name]:
                found[post_id] = make_summary(post_id, by_name.copy(), total, tier, own_name)
        return found

    def _parse(self, value: bytes, user_id: int) -> tuple[ReadyCounts, int | None]:
        """The counts of a summary, and the user's code if the summary lists the user."""
        counts = self._parsed.get(value)
        if counts is not None:
            return counts, None
        folded = self._folded.get(value)
        if folded is None:
            base, _, changes = value.partition(b";")
            counts = self._parsed.get(base) or self._parse_base(base)
            if not changes:
                return counts, None
            by_code, listed = fold_changes(counts.by_code, changes)
            folded = self._counts(counts.tier is Tier.VIRAL, by_code), listed
            if len(self._folded) >= MAX_FOLDED:
                self._folded.clear()
            self._folded[value] = folded
        counts, listed_codes = folded
        return counts, listed_codes.get(user_id)

    def _parse_base(self, base: bytes) -> ReadyCounts:
        tier, by_code = parse_base(base)
        if tier == DELETED:
            counts = self._counts(False, {})._replace(tier=Tier.DELETED)
        else:
            counts = self._counts(tier == VIRAL, by_code)
        if len(self._parsed) >= MAX_PARSED:
            self._parsed.clear()
        self._parsed[base] = counts
        return counts

    def _counts(self, viral: bool, by_code: Mapping[int, int]) -> ReadyCounts:
        # A count can be below zero for a moment, while an unknown earlier reaction is guessed.
        by_name = {name: max(0, by_code.get(code, 0)) for code, name in self._names.items()}
        total = sum(by_name.values())
        tier = Tier.VIRAL if viral or total >= self._threshold else Tier.REGULAR
        return ReadyCounts(tier, by_code, by_name, total)


def parse_base(base: bytes) -> tuple[int, dict[int, int]]:
    """The tier and the counts (code -> number) of a summary before its first ``;``.

    Raises:
        ValueError: no script of this library wrote it.
    """
    tier, *flat = map(int, base.rstrip(b",").split(b","))
    if tier not in (REGULAR, VIRAL, DELETED):
        raise ValueError(f"no tier: {tier}")
    return tier, dict(zip(flat[::2], flat[1::2], strict=True))


def fold_changes(
    counts: Mapping[int, int], changes: bytes
) -> tuple[dict[int, int], dict[int, int]]:
    """The counts after the changes of a summary, and user -> code of everyone who is listed.

    Raises:
        ValueError: as ``parse_base``.
    """
    by_code, listed = dict(counts), dict[int, int]()
    for change in changes.split(b";"):
        user, *steps, new = map(int, change.split(b":"))
        listed[user] = new
        if steps:
            (previous,) = steps
            by_code[previous] = by_code.get(previous, 0) - 1
            by_code[new] = by_code.get(new, 0) + 1
    return by_code, listed


def _checked(reply: Any) -> Any:  # noqa: ANN401 - a reply of the server
    if isinstance(reply, RedisError):
        raise reply
    return reply
