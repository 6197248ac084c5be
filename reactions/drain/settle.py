"""Acknowledges recorded claims in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reactions.core.settings import Settings
from reactions.drain.batch import Batch
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.claims import Claim, ClaimedPost, Settled
from reactions.redis.outbox import Outbox
from reactions.redis.scripts.drain import SettledPost
from reactions.redis.ttl import Ttl


class Settler:
    """Settles recorded claims."""

    def __init__(
        self, outbox: Outbox, cache: CacheInstall, queries: Queries, settings: Settings
    ) -> None:
        self._outbox = outbox
        self._cache = cache
        self._queries = queries
        self._ttl = Ttl(settings)
        self._settings = settings

    def prepare(self, claims: Sequence[Claim], batch: Batch) -> dict[int, list[SettledPost]]:
        """Return shard -> what to settle of each post, without the claims that lost their lease."""
        kept = [claim for claim in claims if claim.shard not in batch.abandoned]
        unread = {post.post_id for claim in kept for post in claim.posts} - batch.counts.keys()
        if unread:  # PostgreSQL refused every row of these posts
            batch.counts.update(self._queries.counts(unread))
        return {
            claim.shard: [self._settled_post(claim, post, batch) for post in claim.posts]
            for claim in kept
        }

    def settle(
        self,
        claims: Sequence[Claim],
        posts: Mapping[int, Sequence[SettledPost]],
        transaction: int = 0,
    ) -> list[tuple[Claim, Settled]]:
        """Acknowledge the claims of these posts, and drop the caches of posts with a lost lease.

        Takes one round trip to each Redis node.

        Args:
            transaction: the last one of PostgreSQL that committed any of them.
        """
        kept = [claim for claim in claims if claim.shard in posts]
        settled = list(zip(kept, self._outbox.settle(kept, posts, transaction), strict=True))
        ours = {claim.shard for claim, answer in settled if not answer.lost}
        for claim in claims:
            if claim.shard not in ours:
                # Another drain settles these posts, or Redis was wiped. In both cases a read may
                # have cached counts from before the commit of this batch.
                for post in claim.posts:
                    self._cache.drop(post.post_id)
        return settled

    def _settled_post(self, claim: Claim, post: ClaimedPost, batch: Batch) -> SettledPost:
        drop = 2 if post.post_id in batch.deleted else int(post.post_id in batch.refused)
        codes = self._settings.reaction_types.values()
        return SettledPost(
            post.post_id,
            self._ttl.share(),
            post.rate(claim.claimed_at) >= self._settings.hot_rate,
            drop,
            dict.fromkeys(codes, 0) | dict(batch.counts[post.post_id]),
            post.taken_over,
        )
