"""A deleted post refuses reactions, and no read shows it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reactions.core.errors import PostDeleted
from reactions.core.model import Page, Status, Tier
from tests.maintenance.erasing import (
    FELLOW,
    OTHER,
    POST,
    USER,
    finish,
    react,
)
from tests.support.engine import Engine


def test_a_deleted_post_refuses_reactions(engine: Engine) -> None:
    client = engine.reactions
    client.react(USER, POST, "like")
    client.delete_post(POST)
    calls: list[Callable[[], object]] = [
        lambda: client.react(USER, POST, "love"),
        lambda: client.react(FELLOW, POST, "love"),
        lambda: client.unreact(USER, POST),
        lambda: client.react_many([(USER, POST, "love")]),
        lambda: client.react_many([(USER, POST, None), (FELLOW, POST, "wow")]),
    ]
    for call in calls:
        with pytest.raises(PostDeleted, match="1042") as error:
            call()
        assert error.value.post_ids == (POST,)
    assert engine.outbox_state.pending() == 0
    assert client.react(USER, OTHER, "like").status is Status.ACCEPTED


def test_of_a_batch_only_the_deleted_posts_are_refused(engine: Engine) -> None:
    client = engine.reactions
    for post in (POST, 5):
        client.delete_post(post)
    items = [
        (1, OTHER, "like"),
        (1, POST, "like"),
        (2, OTHER, "love"),
        (1, 5, "like"),
        (1, OTHER, None),
        (2, POST, None),
    ]
    with pytest.raises(PostDeleted) as error:
        client.react_many(items)
    assert error.value.post_ids == (POST, 5)
    found = [outcome and (outcome.status, outcome.reaction) for outcome in error.value.outcomes]
    assert found == [
        (Status.ACCEPTED, "like"),
        None,
        (Status.ACCEPTED, "love"),
        None,
        (Status.REMOVED, None),
        None,
    ]
    engine.drain()
    assert engine.queries.reactions([OTHER, POST, 5]) == {OTHER: {2: 2}, POST: {}, 5: {}}


@pytest.mark.parametrize("tier", ["pending", "cold", "regular", "viral"])
def test_reads_see_nothing_of_a_deleted_post(small_batches: Engine, tier: str) -> None:
    """From the deletion on, and after the erasure."""
    client = small_batches.reactions
    react(small_batches, POST, range(1, 21 if tier == "viral" else 9))
    if tier != "pending":
        small_batches.drain()
    if tier == "regular":
        assert small_batches.loader.load([POST]) == 1
    assert client.summaries([POST], USER)[0].reaction == "like"
    client.delete_post(POST)
    check_unseen(small_batches)
    check_unseen(small_batches)
    finish(small_batches)
    check_unseen(small_batches)


def check_unseen(engine: Engine) -> None:
    client = engine.reactions
    none = dict.fromkeys(engine.settings.reaction_types, 0)
    assert client.counts(POST) == none
    for user in (None, USER, 99):
        (found,) = client.summaries([POST], user)
        assert (found.counts, found.total, found.reaction) == (none, 0, None)
        assert found.tier is Tier.DELETED
    assert client.reaction_of(USER, POST) is None
    assert client.reactors(POST) == Page((), None)
    assert client.reactors(POST, "like") == Page((), None)
    assert client.recent(POST) == []


@pytest.mark.parametrize("users", [8, 20])
def test_nobody_ever_reacted_on_a_deleted_post(small_batches: Engine, users: int) -> None:
    """From the deletion on, while the rows still exist."""
    react(small_batches, POST, range(1, users + 1))
    small_batches.drain()
    assert small_batches.reactions.uniques(POST) == users
    small_batches.reactions.delete_post(POST)
    assert small_batches.reactions.uniques(POST) == 0
    finish(small_batches)
    assert small_batches.reactions.uniques(POST) == 0


def test_history_does_not_show_a_deleted_post(small_batches: Engine) -> None:
    """From the deletion on, before the erasure begins."""
    small_batches.reactions.react_many((USER, post, "like") for post in (POST, OTHER))
    small_batches.drain()
    small_batches.reactions.delete_post(POST)
    assert [r.post_id for r in small_batches.reactions.history(USER).items] == [OTHER]


def test_a_page_of_a_post_that_was_deleted_meanwhile_is_empty(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 10))
    page = small_batches.reactions.reactors(POST, limit=3)
    small_batches.reactions.delete_post(POST)
    assert small_batches.reactions.reactors(POST, limit=3, cursor=page.cursor) == Page((), None)
