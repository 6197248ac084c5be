"""feed_words.py: the bytes are those that hiredis packs, and the memory is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.constants import MAX_ID
from reactions.redis import feed_words
from reactions.redis.buckets import MARK
from reactions.redis.feed_words import FeedWords
from reactions.redis.keys import default_keys as keys
from reactions.redis.wire import pack

IDS = st.integers(1, MAX_ID)
WORDS = FeedWords(keys)  # one for all examples, so that some posts are known and some are not


@given(posts=st.lists(IDS | st.integers(1, 30), min_size=1, max_size=200), user=IDS)
def test_the_commands_are_those_that_hiredis_packs(posts: list[int], user: int) -> None:
    summaries = pack(("MGET", *(keys.post_summary(post) for post in posts)))
    name = keys.user_reactions(user)
    assert b"".join(WORDS.pack(posts, None)) == summaries
    own = pack(("HMGET", name, MARK, *posts))
    assert b"".join(WORDS.pack(posts, name)) == summaries + own


def test_more_posts_than_a_process_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_words, "MAX_POSTS", 10)
    words = FeedWords(keys)
    for post in range(1, 36):
        assert keys.post_summary(post).encode() in b"".join(words.pack([post, 1], None))
        assert len(words._words) <= 10
