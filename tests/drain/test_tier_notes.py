"""``TierNotes``: which tiers a drain writes to PostgreSQL, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.drain.tier_notes import TierNotes
from reactions.postgres.posts import Posts
from reactions.redis.claims import Claim, Settled
from reactions.redis.scripts.drain import SettledPost

POST = 1042
CLAIM = Claim(42, "token", 1_000_000, 0, [], 5_000_000)


class FakePosts:
    """Keeps the notes, or fails."""

    def __init__(self) -> None:
        self.notes: list[tuple[dict[int, PostTier], int]] = []
        self.fails = False

    def note_tiers(self, tiers: Mapping[int, PostTier], now_us: int) -> None:
        if self.fails:
            raise ReactionsUnavailable("postgresql", "not reachable")
        self.notes.append((dict(tiers), now_us))


@pytest.fixture
def posts() -> FakePosts:
    return FakePosts()


@pytest.fixture
def notes(posts: FakePosts) -> TierNotes:
    return TierNotes(cast(Posts, posts), Settings(viral_threshold=100))


def hot(post_id: int, count: int = 10, drop: int = 0) -> SettledPost:
    return SettledPost(post_id, 1000, True, drop, {1: count})


def test_tiers_that_a_settlement_reports_are_written_at_once(
    notes: TierNotes, posts: FakePosts
) -> None:
    notes.note([(CLAIM, Settled(False, promoted=[1], demoted=[2], rising=[3]))], [])
    notes.note([(CLAIM, Settled(False, demoted=[1]))], [])
    assert posts.notes == [
        ({1: PostTier.VIRAL, 2: PostTier.REGULAR, 3: PostTier.RISING}, 1_000_000),
        ({1: PostTier.REGULAR}, 1_000_000),
    ]


def test_hot_posts_are_written_together(notes: TierNotes, posts: FakePosts) -> None:
    settled = [(CLAIM, Settled(False))]
    notes.note(settled, [hot(1)])
    notes.note(settled, [hot(2)])
    notes.note(settled, [hot(3)])
    assert posts.notes == [({1: PostTier.HOT}, 1_000_000)]
    notes._note_at = 0.0  # as if ``HOT_TOGETHER_S`` had passed
    notes.note(settled, [])
    assert posts.notes[1:] == [({2: PostTier.HOT, 3: PostTier.HOT}, 1_000_000)]


def test_a_hot_post_is_not_written_again_for_a_while(notes: TierNotes, posts: FakePosts) -> None:
    settled = [(CLAIM, Settled(False))]
    notes.note(settled, [hot(1)])
    notes._note_at = 0.0
    notes.note(settled, [hot(1)])
    assert len(posts.notes) == 1


def test_a_viral_or_deleted_post_is_not_hot(notes: TierNotes, posts: FakePosts) -> None:
    notes.note([(CLAIM, Settled(False))], [hot(1, count=100), hot(2, drop=2)])
    assert posts.notes == []


def test_a_failure_of_postgresql_is_not_raised(notes: TierNotes, posts: FakePosts) -> None:
    posts.fails = True
    notes.note([(CLAIM, Settled(False, promoted=[1]))], [])
    posts.fails = False
    notes.note([(CLAIM, Settled(False, promoted=[2]))], [])
    assert posts.notes == [({2: PostTier.VIRAL}, 1_000_000)]
