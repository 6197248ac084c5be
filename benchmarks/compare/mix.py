"""The workload ``mix``: nine feeds to one reaction, on full tables and with warm caches.

Readers come back, but for a share who come for the first time in a day: Redis knows nothing of
them. Those who come back also react, so a drain finds their reactions cached. A row of the filled
tables is never by a reader on a post where that reader reacts: so the result can be checked.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, count

from benchmarks.compare.contenders import tables
from benchmarks.support.arena import Arena, wait

FIRST_POST = 1_000
POSTS = 5_000
"""Posts of Zipf popularity."""

HOT_POSTS = 20
"""Further posts, which get all reactions if a mix has hot posts. Any reaction makes them dirty."""

USERS = 1_000_000
READERS = 1_000
"""Users who come back: the first ones of USERS. Every other reader is somebody else."""

FIRST_TIME = 0.05
"""Share of feeds by somebody who reads for the first time in a day."""

READ_SHARE = 0.9
FEEDS = 500
"""Feeds prepared for each client; each read takes one of them."""

REPEATED, REMOVED = 0.05, 0.05
"""Shares of reactions that change, or remove, a recent one."""

TYPES = 6
"""Reaction types, of the codes 1 to 6."""

MAX_ROWS = 400_000
"""Rows of one post, of 500,000 users who may have one there."""

FEED = -1
"""Stands for a type code: the operation reads a feed."""


@dataclass(frozen=True, slots=True)
class Mix:
    """One variant.

    Attributes:
        feed: posts of a feed.
        hot: posts of a feed that are being reacted on; None: reactions are on posts of the same
            popularity as reads, whatever is in a feed.
        rows: reactions in the tables at first.
    """

    feed: int = 20
    hot: int | None = None
    rows: int = 100_000

    @property
    def name(self) -> str:
        hot = "" if self.hot is None else f", {self.hot} hot"
        return f"mix: feeds of {self.feed}{hot}, {self.rows:,} rows"

    def operations(
        self, chance: random.Random, number: int, clients: int
    ) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """(user, code, posts) of one client of so many; no two share a user."""
        posts = _Posts(chance, self)
        feeds = [posts.feed() for _ in range(FEEDS)]
        first_timers = count(READERS + 1 + number, clients)
        recent: list[tuple[int, int]] = []
        while True:
            back = 1 + number + clients * int(chance.random() * (READERS // clients))
            if chance.random() < READ_SHARE:
                first = chance.random() < FIRST_TIME
                yield next(first_timers) if first else back, FEED, chance.choice(feeds)
                continue
            luck, code, where = chance.random(), chance.randint(1, TYPES), posts.reacted()
            if recent and luck < REPEATED + REMOVED:
                back, where = chance.choice(recent)
                code = 0 if luck < REMOVED else code
            else:
                while (back + where) % 2 == 0:  # there may be a row already
                    where = posts.reacted()
                recent = [*recent[-999:], (back, where)]
            yield back, code, (where,)


class _Posts:
    """Draws posts for feeds and for reactions."""

    def __init__(self, chance: random.Random, mix: Mix) -> None:
        self._chance = chance
        self._mix = mix
        self._weights = list(accumulate(1 / rank for rank in range(1, POSTS + 1)))

    def popular(self) -> int:
        drawn = self._chance.random() * self._weights[-1]
        return FIRST_POST + bisect(self._weights, drawn)

    def reacted(self) -> int:
        if self._mix.hot is None:
            return self.popular()
        return self._chance.choice(HOT)

    def feed(self) -> tuple[int, ...]:
        posts = dict.fromkeys(self._chance.sample(HOT, self._mix.hot or 0))
        while len(posts) < self._mix.feed:
            posts[self.popular()] = None
        mixed = list(posts)
        self._chance.shuffle(mixed)
        return tuple(mixed)


HOT = range(FIRST_POST + POSTS, FIRST_POST + POSTS + HOT_POSTS)
ALL_POSTS = range(FIRST_POST, FIRST_POST + POSTS + HOT_POSTS)

# A user of the same parity as the post; 7,919 and 500,000 have no common divisor. A hot post has as
# many rows as a post of rank 50. The posts were touched long ago, so that no duty loads them.
_FILL = f"""
INSERT INTO reactions (post_id, user_id, reaction, version)
SELECT post, 2 * ((n * 7919 + post * 104729) % 500000) + 2 - post % 2, 1 + (n + post) % 6, n
FROM generate_series(0, {POSTS + HOT_POSTS - 1}) AS place
CROSS JOIN LATERAL (SELECT {FIRST_POST} + place::bigint AS post) AS p
CROSS JOIN LATERAL generate_series(1::bigint, least({MAX_ROWS}, ceil(
    {{rows}} * {{share}} / CASE WHEN place < {POSTS} THEN 1 + place ELSE 50 END
)::bigint)) AS n;
INSERT INTO reaction_counts (post_id, reaction, count)
SELECT post_id, reaction, count(*) FROM reactions GROUP BY post_id, reaction;
INSERT INTO posts (post_id, touched, tier, tier_since)
SELECT DISTINCT post_id, 1, 0, 1 FROM reaction_counts;
INSERT INTO contender.reactions (post_id, user_id, reaction)
SELECT post_id, user_id, reaction FROM reactions;
INSERT INTO contender.counts (post_id, reaction, count)
SELECT post_id, reaction, count FROM reaction_counts;
CREATE TABLE IF NOT EXISTS contender.saved (post_id bigint, reaction smallint, count bigint);
INSERT INTO contender.saved SELECT post_id, reaction, count FROM reaction_counts;
"""  # noqa: S608 - numbers of this module

_BY_READERS = f"user_id <= {READERS} AND (user_id + post_id) % 2 = 1"
_RESTORE = f"""
DELETE FROM reactions WHERE {_BY_READERS};
DELETE FROM contender.reactions WHERE {_BY_READERS};
TRUNCATE reaction_counts, contender.counts;
INSERT INTO reaction_counts (post_id, reaction, count) SELECT * FROM contender.saved;
INSERT INTO contender.counts (post_id, reaction, count) SELECT * FROM contender.saved;
"""  # noqa: S608 - as above


def prepare(arena: Arena, mix: Mix) -> None:
    """Fill all tables, or take away what an earlier run has added; and empty both Redis."""
    if arena.filled == mix.rows:
        arena.flush()
        arena.execute(_RESTORE)
    else:
        arena.empty()
        arena.execute(tables.SCHEMA)
        share = 1 / sum(1 / rank for rank in range(1, POSTS + 1))
        arena.execute(_FILL.format(rows=mix.rows, share=share))
        arena.filled = mix.rows
    arena.execute("VACUUM (ANALYZE)")
    arena.execute("CHECKPOINT")
    wait(lambda: not arena.rewriting())
