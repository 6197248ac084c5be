"""Caches some of each user's reactions, as the database has them.

Answers are correct without this cache. A drain writes through it before it settles a batch, so the
cache is never older than what has left the outbox. A read that had to query the database installs
the result under a token. Every drain of that user's reactions deletes the token, which refuses the
install.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from reactions.core.constants import LOAD_LIFE_MS, shard_of
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.core.validate import is_id
from reactions.redis.cached_ids import CachedIds
from reactions.redis.command_batch import CommandBatch, Commands
from reactions.redis.connection import (
    Client,
    is_full,
    is_outage,
    readable,
    translate,
    translated,
)
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import Call, Command, run_all, run_many
from reactions.redis.scripts import user_cache as user_scripts
from reactions.redis.ttl import Ttl

MARK = 0
"""The field of the mark. Post ids start at 1, so no post has this field."""

MAX_REACTIONS_PER_WRITE = 200
"""Reactions that one script writes, about: a millisecond of the server's time."""

PAUSE_S = 60.0
"""How many seconds drains stop writing user caches after Redis ran out of memory. A cached reaction
takes more memory than a pending change, so draining would free none."""


class UserCache:
    """Reads, fills and drops the caches of users.

    Every method that sends something raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._settings = settings
        self._ttl = Ttl(settings)
        self._cluster = settings.redis_cluster
        self._paused_until = 0.0

    def write_through(self, rows: Collection[Row], until_us: int) -> set[int]:
        """Write what a drain has committed. One round trip for each node.

        Args:
            rows: the committed rows.
            until_us: when the drain's lease may end, in µs by the clock of Redis. After that time,
                the cached reactions to these posts are dropped instead of written.

        Returns:
            The users whose node of a cluster does not answer: their rows must not be settled.

        Raises:
            ReactionsUnavailable: the batch must not be settled.
        """
        if time.monotonic() < self._paused_until:
            until_us = 0
        users: dict[int, list[tuple[int, int]]] = {}
        for row in rows:
            users.setdefault(row.user_id, []).append((row.post_id, row.reaction))
        groups = self._groups(users)
        replies = self._write_through(until_us, groups)
        full = [is_full(reply) for reply in replies if isinstance(reply, RedisError)]
        if full and all(full):  # what is cached is out of date now, so drop it
            self._paused_until = time.monotonic() + PAUSE_S
            replies = self._write_through(0, groups)
        missing: set[int] = set()
        for group, reply in zip(groups, replies, strict=True):
            if self._cluster and is_outage(reply) and not is_full(reply):
                missing |= group.keys()
            elif isinstance(reply, RedisError):
                raise translate(reply) from reply
        return missing

    def _groups(
        self, users: Mapping[int, list[tuple[int, int]]]
    ) -> list[dict[int, list[tuple[int, int]]]]:
        """Divide users into one group for each script: by shard on a cluster, else by size."""
        groups: dict[int, dict[int, list[tuple[int, int]]]] = {}
        seen = 0
        for user_id, posts in users.items():
            group = shard_of(user_id) if self._cluster else seen // MAX_REACTIONS_PER_WRITE
            groups.setdefault(group, {})[user_id] = posts
            seen += len(posts)
        return list(groups.values())

    def _write_through(
        self, until_us: int, groups: Iterable[Mapping[int, Sequence[tuple[int, int]]]]
    ) -> list[Any]:
        calls = [
            user_scripts.write_through_users(
                self._keys, until_us, self._ttl.user, [self._ttl.share() for _ in users], users
            )
            for users in groups
        ]
        with translated():
            return run_many(self._client, calls)

    def lookup_commands(self, user_id: int, post_ids: Sequence[int]) -> list[Command]:
        """Build the two commands of a lookup. ``parse_user_lookup`` reads the first reply."""
        name = self._keys.user_reactions(user_id)
        return [
            Command(("HMGET", name, MARK, *post_ids)),
            Command(("PEXPIRE", name, self._ttl.jittered(self._ttl.user))),
        ]

    def fence_command(self, user_id: int, token: str) -> Command:
        """Build the command that announces a read of the user's reactions from the database."""
        return Command(("SET", self._keys.user_loading(user_id), token, "PX", LOAD_LIFE_MS))

    def install_call(
        self, user_id: int, token: str, found: Mapping[int, int], *, whole: bool
    ) -> Call:
        """Build the call that caches what a read found, unless a drain came in between.

        Args:
            found: post -> code (0 for none), read since ``fence_command``.
            whole: ``found`` contains all of the user's reactions. Otherwise the user has more than
                MAX_WHOLE_USER reactions.
        """
        life = self._ttl.jittered(self._ttl.user)
        return user_scripts.install_user(self._keys, user_id, token, life, found, whole=whole)

    def cached_reactions(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """Return (user, post) -> code of the cached ones. One round trip for each node."""
        calls = [
            Command(("HGET", self._keys.user_reactions(user_id), post_id))
            for user_id, post_id in wanted
        ]
        with translated():
            replies = run_many(self._client, calls)
        return {
            # -1 for anything but a code: it differs from the database, so verification repairs it.
            pair: int(code) if isinstance(code, bytes) and code.isdigit() else -1
            for pair, code in zip(wanted, replies, strict=True)
            if code is not None
        }

    def cached(self, user_ids: Collection[int]) -> tuple[dict[tuple[int, int], int], list[int]]:
        """Return all that is cached of these users. One round trip for each node.

        Returns:
            (user, post) -> code, -1 for anything but a code, and post 0 for anything but a post;
            and the users of whom every reaction is cached.
        """
        users = list(user_ids)
        calls = [Command(("HGETALL", self._keys.user_reactions(user_id))) for user_id in users]
        found: dict[tuple[int, int], int] = {}
        whole = []
        for user_id, reply in zip(users, run_all(self._client, calls), strict=True):
            fields = (
                reply if isinstance(reply, dict) else dict(zip(*[iter(reply)] * 2, strict=True))
            )
            if fields.pop(b"%d" % MARK, None) == b"1":
                whole.append(user_id)
            for post, code in fields.items():
                post_id = int(post) if is_id(post) else 0
                found[user_id, post_id] = int(code) if code.isdigit() else -1
        return found, whole

    def drop(self, user_id: int) -> None:
        """Drop the cache of a user. One round trip."""
        with translated():
            Commands(self._client).unlink(
                self._keys.user_reactions(user_id), self._keys.user_loading(user_id)
            )

    def drop_all(self) -> None:
        """Drop the caches of all users. Scans the whole keyspace with SCAN."""
        for users in CachedIds(self._client, self._settings).users():
            with translated(), CommandBatch(self._client) as pipe:
                for user_id in users:
                    pipe.unlink(self._keys.user_reactions(user_id))
                    pipe.unlink(self._keys.user_loading(user_id))
                pipe.execute()

    def drop_post(self, post_id: int, user_ids: Iterable[int]) -> None:
        """Drop the cached reactions of these users to one post. One round trip for each node."""
        with translated(), CommandBatch(self._client) as pipe:
            for user_id in user_ids:
                pipe.hdel(self._keys.user_reactions(user_id), str(post_id))
            pipe.execute()


@dataclass(frozen=True, slots=True)
class UserLookup:
    """What Redis has cached about a user.

    Attributes:
        known: post -> code, 0 for no reaction.
        many: the user has more reactions than the cache may hold.
    """

    known: Mapping[int, int]
    many: bool


def parse_user_lookup(post_ids: Sequence[int], reply: Any) -> UserLookup:  # noqa: ANN401 - of the server
    """Read the first reply to ``UserCache.lookup_commands`` for these posts."""
    if isinstance(reply, RedisError):
        raise translate(reply) from reply
    mark, *codes = reply
    with readable():
        known = {p: int(code) for p, code in zip(post_ids, codes, strict=True) if code is not None}
    if mark == b"1":
        known = {post_id: known.get(post_id, 0) for post_id in post_ids}
    return UserLookup(known, mark == b"0")
