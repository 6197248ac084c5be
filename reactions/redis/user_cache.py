"""What Redis remembers of a user: some of their reactions, as the database has them.

Never needed for an answer to be right. Drains write it before they acknowledge a batch, so that it
is never older than what has left the outbox; reads add what they had to ask the database for, under
a token that every drain of that user's reactions deletes.
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
from reactions.redis import keys
from reactions.redis.connection import Client, is_full, readable, translate, translated
from reactions.redis.pipeline import Call, Command, run_many
from reactions.redis.scripts import user_cache as user_scripts
from reactions.redis.ttl import Ttl

MARK = 0
"""The field of the mark; ids start at 1, so it is no post's."""

MAX_REACTIONS_PER_WRITE = 200
"""About how many reactions one script writes of users: a ms of the server."""

SPARE_S = 60.0
"""How long drains write no cache of users after memory was used up: a user's takes more than what
is pending of theirs, so that draining would make no room."""


class UserCache:
    """The cached reactions of users, on one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._ttl = Ttl(settings)
        self._cluster = settings.redis_cluster
        self._spare_until = 0.0

    def write_through(self, rows: Collection[Row], until_us: int) -> None:
        """Write what a drain has committed, in one round trip for each node.

        Args:
            until_us: when its lease may end; later, what is cached of these posts is dropped.

        Raises:
            ReactionsUnavailable: the batch must not be acknowledged.
        """
        if time.monotonic() < self._spare_until:
            until_us = 0
        users: dict[int, list[tuple[int, int]]] = {}
        for row in rows:
            users.setdefault(row.user_id, []).append((row.post_id, row.reaction))
        groups = self._groups(users)
        replies = self._write_through(until_us, groups)
        full = [is_full(reply) for reply in replies if isinstance(reply, RedisError)]
        if full and all(full):  # what was cached before is not to stay as it was
            self._spare_until = time.monotonic() + SPARE_S
            replies = self._write_through(0, groups)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise translate(reply) from reply

    def _groups(
        self, users: Mapping[int, list[tuple[int, int]]]
    ) -> list[dict[int, list[tuple[int, int]]]]:
        """Those of a script each: of a shard on a cluster, else as it holds the server up for."""
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
                until_us, self._ttl.user, [self._ttl.share() for _ in users], users
            )
            for users in groups
        ]
        with translated():
            return run_many(self._client, calls)

    def lookup_commands(self, user_id: int, post_ids: Sequence[int]) -> list[Command]:
        """Two commands for a pipeline; ``parse_user_lookup`` reads the reply of the first."""
        name = keys.user_reactions(user_id)
        return [
            Command(("HMGET", name, MARK, *post_ids)),
            Command(("PEXPIRE", name, self._ttl.jittered(self._ttl.user))),
        ]

    def fence(self, user_id: int, token: str) -> Command:
        """Announces, in a pipeline, that the database is going to be asked."""
        return Command(("SET", keys.user_loading(user_id), token, "PX", LOAD_LIFE_MS))

    def install_call(
        self, user_id: int, token: str, found: Mapping[int, int], *, whole: bool
    ) -> Call:
        """The call that caches what was read since ``fence``, unless a drain came in between.

        Args:
            whole: these are all of the user's reactions; otherwise they are too many.
        """
        life = self._ttl.jittered(self._ttl.user)
        return user_scripts.install_user(user_id, token, life, found, whole=whole)

    def cached(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """(user, post) -> code, of those that are cached; one round trip for each node."""
        calls = [
            Command(("HGET", keys.user_reactions(user_id), post_id)) for user_id, post_id in wanted
        ]
        with translated():
            replies = run_many(self._client, calls)
        return {
            # -1, no code, for what is none: it differs, and so is repaired.
            pair: int(code) if isinstance(code, bytes) and code.isdigit() else -1
            for pair, code in zip(wanted, replies, strict=True)
            if code is not None
        }

    def drop(self, user_id: int) -> None:
        """Drop what is cached of a user."""
        with translated():
            self._client.unlink(keys.user_reactions(user_id), keys.user_loading(user_id))

    def drop_all(self) -> None:
        """Drop what is cached of all users: a walk over all keys, by SCAN."""
        with translated():
            for key in self._client.scan_iter(match="user:*", count=1000):
                self._client.unlink(key)

    def drop_post(self, post_id: int, user_ids: Iterable[int]) -> None:
        """Drop what is cached of one post for these users; one round trip for each node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for user_id in user_ids:
                pipe.hdel(keys.user_reactions(user_id), str(post_id))
            pipe.execute()


@dataclass(frozen=True, slots=True)
class UserLookup:
    """What is remembered of a user.

    Attributes:
        known: post -> code, 0 for none.
        many: the user has more reactions than are cached.
    """

    known: Mapping[int, int]
    many: bool


def parse_user_lookup(post_ids: Sequence[int], reply: Any) -> UserLookup:  # noqa: ANN401 - of the server
    """From the reply to ``UserCache.lookup_commands`` for these posts."""
    if isinstance(reply, RedisError):
        raise translate(reply) from reply
    mark, *codes = reply
    with readable():
        known = {p: int(code) for p, code in zip(post_ids, codes, strict=True) if code is not None}
    if mark == b"1":
        known = {post_id: known.get(post_id, 0) for post_id in post_ids}
    return UserLookup(known, mark == b"0")
