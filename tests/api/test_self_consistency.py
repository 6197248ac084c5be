"""A summary that shows the user's reaction has counts that contain it."""

from __future__ import annotations

from typing import Any

import pytest

from reactions.api import cold_reads
from reactions.core.model import Status
from reactions.drain.batch import Drained
from tests.support.engine import Engine
from tests.support.reading import POST, SHARD, evict, feeds_of, react

USER = 7


def shown(engine: Engine, user_id: int = USER) -> tuple[str | None, int]:
    (summary,) = engine.reactions.summaries([POST], user_id)
    assert summary.total == sum(summary.counts.values())
    if summary.reaction is not None:
        assert summary.counts[summary.reaction] >= 1
    return summary.reaction, summary.total


def test_a_cold_post_whose_first_reaction_a_drain_has_claimed(small: Engine) -> None:
    small.reactions.react(USER, POST, "love")
    claims, _ = small.outbox.claim({SHARD: ""})
    assert shown(small) == ("love", 1)
    batch = small.persister.record(claims, Drained())
    assert shown(small) == ("love", 1)  # committed, but not settled
    small.persister.settle(claims, batch, Drained())
    assert shown(small) == ("love", 1)


def test_a_cold_post_with_a_claim_and_changes_behind_it(small: Engine) -> None:
    react(small, POST, range(1, 7))
    small.drain()
    evict(small)
    small.reactions.react(1, POST, "love")  # replaces a like that is durable
    small.reactions.unreact(2, POST)
    claims, _ = small.outbox.claim({SHARD: ""})
    small.reactions.react(USER, POST, "love")
    (summary,) = small.reactions.summaries([POST], USER)
    assert summary.counts["like"] == 4
    assert summary.counts["love"] == 2
    assert summary.reaction == "love"
    small.persister.settle(claims, small.persister.record(claims, Drained()), Drained())
    assert shown(small) == ("love", 6)


def test_a_post_with_more_changes_than_are_merged(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_reads, "MAX_MERGED_CHANGES", 2)
    react(small, POST, range(1, 6), "like")
    small.reactions.react(USER, POST, "love")
    small.outbox.claim({SHARD: ""})
    reaction, total = shown(small)
    assert reaction == "love"
    assert total >= 1


def test_a_feed_with_more_claimed_posts_than_are_merged(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_reads, "MAX_MERGED_POSTS", 1)
    posts = [POST, POST + 100, POST + 200]
    for post in posts:
        react(small, post, range(1, 4))
    small.drain()
    evict(small)
    small.reactions.react_many((USER, post, "love") for post in posts)
    small.outbox.claim({SHARD: ""})
    for summary in small.reactions.summaries(posts, USER):
        assert summary.reaction == "love"
        assert summary.counts["love"] == 1
        assert summary.total == sum(summary.counts.values())


@pytest.mark.parametrize("settled", [False, True])
def test_a_reaction_that_becomes_durable_before_an_unknown_user_is_read(
    small: Engine, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    """The summary is older than the query of the user's reactions, so it lacks the reaction."""
    react(small, POST, range(11, 14), "like")
    small.drain()
    for _ in range(2):
        small.reactions.summaries([POST])  # caches the summary
    queries = feeds_of(small.reactions)._cold._for_caches
    summaries = queries.summaries

    def late(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(queries, "summaries", summaries)
        small.reactions.react(USER, POST, "love")
        claims, _ = small.outbox.claim({SHARD: ""})
        batch = small.persister.record(claims, Drained())
        if settled:
            small.persister.settle(claims, batch, Drained())
        return summaries(*args, **options)

    monkeypatch.setattr(queries, "summaries", late)
    assert shown(small) == ("love", 4)
    assert shown(small) == ("love", 4)


def test_a_warmed_post_answers_exactly_from_its_first_reaction(small: Engine) -> None:
    assert small.reactions.react(1, POST + 100, "like").status is Status.ACCEPTED
    small.loader.load([POST])  # what a worker does when warm() requests it
    assert small.reactions.react(1, POST, "like").status is Status.CREATED
    assert small.reactions.react(1, POST, "love").previous == "like"
    small.drain()
    assert small.reactions.unreact(1, POST).status is Status.REMOVED
