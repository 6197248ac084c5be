"""The ``posts`` table: when each post was touched, its tier, and when its caches were compared.

Duties and operators use it to find the posts that they work on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import SHARDS
from reactions.core.model import PostTier
from reactions.postgres.database import Database
from reactions.postgres.tables import (
    TOUCHED_EVERY_US,
    deleted_posts,
    posts,
    reaction_counts,
    reactions,
)

MAX_COUNTED_POSTS = 100_000
"""With more posts than this, ``count_by_tier`` estimates how many there are."""

_post, _deleted, _count = posts.c, deleted_posts.c, reaction_counts.c


class Touched(NamedTuple):
    """A post, its tier, and the version of a recorded change (µs).

    The newest change may be up to ``TOUCHED_EVERY_US`` later than ``touched``.
    """

    post_id: int
    touched: int
    tier: int


class Posts:
    """Walks over posts and notes their state. A method is one query unless it says otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, after: int, limit: int) -> list[int]:
        """Return the next post ids after this one, from the rows and the counts table."""
        rows, counts = reactions.c.post_id, _count.post_id
        both = (
            select(rows.label("post_id"))
            .where(rows > after)
            .distinct()
            .order_by(rows)
            .limit(limit)
            .subquery()
            .select()
            .union(
                select(counts)
                .where(counts > after)
                .distinct()
                .order_by(counts)
                .limit(limit)
                .subquery()
                .select()
            )
        ).subquery()
        with self._database.transaction() as connection:
            found = connection.scalars(select(both.c.post_id).order_by(both.c.post_id).limit(limit))
            return list(found)

    def sizes(self, after: int, limit: int) -> dict[int, int]:
        """Return the next posts after this id -> how many rows they have. Two queries."""
        with self._database.transaction() as connection:
            found = list(
                connection.scalars(
                    select(_post.post_id)
                    .where(_post.post_id > after)
                    .order_by(_post.post_id)
                    .limit(limit)
                )
            )
            sizes = dict.fromkeys(found, 0)
            for post_id, rows in connection.execute(
                select(_count.post_id, func.sum(_count.count))
                .where(_count.post_id.in_(found))
                .group_by(_count.post_id)
            ):
                sizes[post_id] = int(rows)
        return sizes

    def in_tiers(self, tiers: Iterable[int], after: int, since: int, limit: int) -> list[int]:
        """Return the next posts of these tiers after this id, touched since ``since`` (µs)."""
        wanted = (
            select(_post.post_id)
            .where(_post.tier.in_(list(tiers)), _post.touched >= since, _post.post_id > after)
            .order_by(_post.post_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return list(connection.scalars(wanted))

    def to_check(
        self, tiers: Iterable[int], now: int, before: int, limit: int
    ) -> Sequence[Touched]:
        """Return posts of these tiers touched since their last comparison, newest first.

        Posts touched at the same time come together, so there may be more than ``limit``.

        Args:
            now: leave out posts compared at this time (µs) or later; but not those compared far in
                the future, before the clock was set back.
            before: leave out posts touched at this time (µs) or later.
        """
        wanted = (
            select(_post.post_id, _post.touched, _post.tier)
            .where(
                _post.tier.in_(list(tiers)),
                or_(
                    and_(_post.touched > _post.checked - TOUCHED_EVERY_US, _post.checked < now),
                    _post.checked > now + TOUCHED_EVERY_US,
                ),
                _post.touched < before,
            )
            .order_by(_post.touched.desc())
            .fetch(limit, with_ties=True)
        )
        with self._database.transaction() as connection:
            return [Touched(*row) for row in connection.execute(wanted)]

    def touched_before(
        self, before: int, since: int, shards: Sequence[int], limit: int
    ) -> dict[int, int]:
        """Return posts of these shards touched in ``[since, before)`` (µs) -> when, newest first.

        Posts touched at the same time come together, so there may be more than ``limit``.
        """
        wanted = (
            select(_post.post_id, _post.touched)
            .where(
                _post.touched < before,
                _post.touched >= since,
                (_post.post_id % SHARDS).in_(list(shards)),
            )
            .order_by(_post.touched.desc())
            .fetch(limit, with_ties=True)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted).all())

    def newest_touched(self, since: int) -> dict[int, int]:
        """Return shard -> when (µs) it was last touched, for shards touched since ``since`` (µs).

        Each shard has its own: versions that ran ahead of the clock stay in the shard that has
        them.
        """
        shard = _post.post_id % SHARDS
        wanted = select(shard, func.max(_post.touched)).where(_post.touched >= since)
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted.group_by(shard)).all())

    def rising(self, limit: int) -> dict[int, int]:
        """Return rising posts -> since when (µs) they rise, those touched last first."""
        wanted = (
            select(_post.post_id, _post.tier_since)
            .where(_post.tier == PostTier.RISING)
            .order_by(_post.touched.desc())
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted).all())

    def count_by_tier(self) -> dict[int, int]:
        """Return tier -> how many posts it has.

        The regular posts of a table with more than ``MAX_COUNTED_POSTS`` are an estimate. Two
        queries: an index scan over the other tiers, and the planner's statistics; a third one
        counts a smaller table.
        """
        with self._database.transaction() as connection:
            counted = (
                select(_post.tier, func.count())
                .where(_post.tier.in_([tier for tier in PostTier if tier]))
                .group_by(_post.tier)
            )
            found: dict[int, int] = dict(connection.execute(counted).all())
            estimate = text("SELECT reltuples FROM pg_class WHERE oid = CAST('posts' AS regclass)")
            total = int(connection.scalar(estimate) or 0)
            if total < MAX_COUNTED_POSTS:
                total = int(connection.scalar(select(func.count()).select_from(posts)) or 0)
        return {PostTier.REGULAR: max(0, total - sum(found.values())), **found}

    def deleted(self, post_ids: Iterable[int]) -> set[int]:
        """Return those of these posts that are deleted."""
        wanted = select(_deleted.post_id).where(_deleted.post_id.in_(list(post_ids)))
        with self._database.transaction() as connection:
            return set(connection.scalars(wanted))

    def deleted_in_shards(self, shards: Sequence[int], after: int, limit: int) -> dict[int, bool]:
        """Return the next deleted posts of these shards -> whether all their rows are erased."""
        wanted = (
            select(_deleted.post_id, _deleted.erased)
            .where((_deleted.post_id % SHARDS).in_(list(shards)), _deleted.post_id > after)
            .order_by(_deleted.post_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted).all())

    def note_tiers(self, tiers: Mapping[int, PostTier], now_us: int) -> None:
        """Note the tier of posts; where it changes, also note that it did so at ``now_us``."""
        added = insert(posts).values(
            [
                {"post_id": post, "touched": now_us, "tier": tier, "tier_since": now_us}
                for post, tier in sorted(tiers.items())
            ]
        )
        with self._database.transaction() as connection:
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["post_id"],
                    set_={"tier": added.excluded.tier, "tier_since": added.excluded.tier_since},
                    where=_post.tier != added.excluded.tier,
                )
            )

    def note_checked(self, post_ids: Iterable[int], now_us: int) -> None:
        """Note that the caches of these posts were compared at ``now_us``."""
        with self._database.transaction() as connection:
            connection.execute(
                posts.update().where(_post.post_id.in_(sorted(post_ids))).values(checked=now_us)
            )

    def cool(self, before_us: int, limit: int) -> int:
        """Note hot posts not touched since ``before_us`` as regular; return how many."""
        cold = (
            select(_post.post_id)
            .where(_post.tier == PostTier.HOT, _post.touched < before_us)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return int(
                connection.execute(
                    posts.update()
                    .where(_post.post_id.in_(cold.scalar_subquery()))
                    .values(tier=PostTier.REGULAR, tier_since=before_us)
                ).rowcount
            )
