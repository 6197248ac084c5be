"""What a drain does with the outbox: it claims, scans, trims and settles, and extends its lease."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from reactions.core.constants import LOAD_LIFE_MS
from reactions.core.settings import Settings
from reactions.redis.claims import Claim, Entry, Settled, claimed_posts, entry_of, settled
from reactions.redis.command_batch import Commands
from reactions.redis.connection import Client, translate, translated
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import run_all, run_many
from reactions.redis.scripts import drain
from reactions.redis.scripts.drain import SettledPost, TierRules
from reactions.redis.ttl import Ttl


class Outbox:
    """Claims and settles the outbox, for drains.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._settings = settings
        self._lease_us = int(settings.lease_s * 1e6)
        self._longest_us = int(max(settings.lease_s, settings.retry_cap_s) * 1e6)
        ttl = Ttl(settings)
        self._tiers = TierRules(
            settings.viral_threshold,
            int(settings.viral_threshold * settings.viral_hysteresis),
            LOAD_LIFE_MS,
            ttl.cold,
            ttl.regular,
            ttl.hot,
            ttl.viral,
            int(settings.viral_window_s * 1e6),
            int(settings.viral_horizon_s * 1e6),
            max(1, int(settings.viral_threshold * settings.viral_watch)),
        )

    def claim(self, shards: Mapping[int, str]) -> tuple[list[Claim], dict[int, str]]:
        """Claim the pending changes of several shards. One round trip for each node.

        Args:
            shards: shard -> token of an earlier claim to take over, or "".

        Returns:
            The claims, and shard -> reason for each shard that failed. A clean shard and a shard
            that another drain has leased yield no claim.

        Raises:
            ReactionsUnavailable: Redis is not reachable at all.
        """
        settings = self._settings
        tokens = {shard: secrets.token_hex(8) for shard in shards}
        calls = [
            drain.claim(
                self._keys,
                shard,
                tokens[shard],
                previous,
                lease_us=self._lease_us,
                longest_us=self._longest_us,
                posts=settings.batch_posts,
                # The rows of all claims go into one transaction.
                rows=max(1, settings.batch_rows // len(shards)),
                inline=settings.batch_rows,
            )
            for shard, previous in shards.items()
        ]
        with translated():
            replies = run_many(self._client, calls)
        claims: list[Claim] = []
        failed: dict[int, str] = {}
        for shard, reply in zip(shards, replies, strict=True):
            if isinstance(reply, RedisError):
                failed[shard] = str(translate(reply))
            elif reply[0] and len(reply) > 3:
                claims.append(
                    Claim(
                        shard,
                        tokens[shard],
                        reply[1],
                        reply[2],
                        list(claimed_posts(reply[3:])),
                        self._lease_us,
                    )
                )
        return claims, failed

    def scan(self, post_id: int) -> Iterator[tuple[list[bytes], list[Entry]]]:
        """Scan the claimed changes of a post that is too large for one reply.

        The caller trims each piece before it asks for the next one. The scan ends when nothing is
        left but the entry that ``trim`` always keeps. Until then it starts over, because a cursor
        that outlives a restart or a failover of the server may skip entries.

        Yields:
            Pieces of about batch_rows entries: the fields to trim, and the entries in them. An
            empty piece ends each round; by then the caller must have trimmed all earlier ones.
        """
        key, cursor, piece = self._keys.post_claimed(post_id), 0, dict[bytes, bytes]()
        commands = Commands(self._client)
        while True:
            with translated():
                found: dict[bytes, bytes]
                cursor, found = commands.hscan(key, cursor, count=self._settings.batch_rows)
            if found:
                piece = found
                entries = [entry_of(str(post_id), user, value) for user, value in piece.items()]
                yield list(piece), entries
            if cursor == 0:
                yield [], []
                with translated():
                    if commands.hlen(key) <= 1 and piece.keys() >= set(commands.hkeys(key)):
                        return

    def trim(
        self, claim: Claim, post_id: int, fields: Sequence[bytes], transaction: int = 0
    ) -> bool:
        """Drop committed entries of a large post, and extend the lease. One round trip.

        Args:
            transaction: that of PostgreSQL which committed them, or a later one of this drain.

        Returns:
            False if the lease is lost: nothing was dropped.
        """
        call = drain.trim(self._keys, post_id, claim.token, self._lease_us, fields, transaction)
        return bool(call.run(self._client))

    def settle(
        self,
        claims: Sequence[Claim],
        posts: Mapping[int, Sequence[SettledPost]],
        transaction: int = 0,
    ) -> list[Settled]:
        """Acknowledge committed claims, and end their leases. One round trip for each node.

        Args:
            posts: shard -> its posts, with their counts in the database.
            transaction: the last one of PostgreSQL that committed any of them.

        Raises:
            ReactionsUnavailable: Redis failed. The claims stay, and a later drain takes them over.
        """
        calls = [
            drain.settle(
                self._keys,
                claim.shard,
                claim.token,
                claim.claimed_at,
                tiers=self._tiers,
                lags=claim.lags,
                posts=posts[claim.shard],
                transaction=transaction,
            )
            for claim in claims
        ]
        replies = run_all(self._client, calls)
        return [settled(reply) for reply in replies]

    def extend_leases(self, tokens: Mapping[int, str], delay_s: float) -> None:
        """Extend the leases of a failed batch to its next try. One round trip for each node.

        A lease that another drain has by now stays as it is.

        Args:
            tokens: shard -> the token of its claim.
            delay_s: seconds from now, at most the longer of lease_s and retry_cap_s.
        """
        self._extend(tokens, int(min(delay_s * 1e6, self._longest_us)))

    def extend_claims(self, claims: Sequence[Claim]) -> None:
        """Extend the leases of a long batch by lease_s from now. One round trip for each node.

        A lost lease stays lost.
        """
        sent_at = time.monotonic()
        replies = self._extend({claim.shard: claim.token for claim in claims}, self._lease_us)
        for claim, extended in zip(claims, replies, strict=True):
            if extended == 1:
                claim.note_extension(sent_at)

    def _extend(self, tokens: Mapping[int, str], delay_us: int) -> list[Any]:
        with translated():
            return run_many(
                self._client,
                [drain.extend_lease(self._keys, s, token, delay_us) for s, token in tokens.items()],
            )
