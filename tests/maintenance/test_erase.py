"""The eraser: it works in batches, and continues after its process died at any step."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from reactions.core.errors import PostDeleted
from reactions.drain.persister import Persister
from reactions.maintenance.erase import Eraser
from reactions.redis.keys import default_keys as keys
from tests.maintenance.erasing import (
    BATCH,
    FELLOW,
    OTHER,
    POST,
    POSTS,
    USER,
    DiedError,
    check_counts,
    check_post_is_gone,
    check_user_is_gone,
    finish,
    mortal,
    populate,
    react,
    rows_of,
)
from tests.support.engine import Engine


def test_rows_go_in_batches_and_counts_with_them(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 31))
    react(small_batches, POST, range(1, 6), "love")
    react(small_batches, OTHER, range(1, 6))
    small_batches.drain()
    react(small_batches, POST, range(3, 9), None)
    small_batches.drain()
    small_batches.reactions.delete_post(POST)
    erasures = small_batches.eraser._erasures
    step = erasures.erase_post
    left: list[int] = []

    def stepping(post_id: int, limit: int) -> list[int]:
        users = step(post_id, limit)
        assert len(users) <= BATCH
        check_counts(small_batches)
        left.append(len(rows_of(small_batches, "post_id = :post", post=post_id)))
        return users

    erasures.erase_post = stepping  # type: ignore[method-assign]
    done = small_batches.eraser.erase()
    assert left == [23, 16, 9, 2, 0, 0]
    assert (done.rows, done.posts) == (30, 1)
    check_post_is_gone(small_batches)
    assert len(rows_of(small_batches, "post_id = :post", post=OTHER)) == 5


def test_with_hardly_any_time_each_call_does_a_batch(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 31))
    small_batches.drain()
    small_batches.reactions.delete_post(POST)
    left = []
    while small_batches.erasure_requests.unfinished()[0]:
        small_batches.eraser.erase(0.0)
        check_counts(small_batches)
        left.append(len(rows_of(small_batches, "post_id = :post", post=POST)))
    assert left == [23, 16, 9, 2, 0, 0]
    check_post_is_gone(small_batches)


def test_users_forget_what_they_did_on_a_deleted_post(small_batches: Engine) -> None:
    assert small_batches.user_loader.load(range(1, 11)) == 10  # drains write to cached users
    react(small_batches, POST, range(1, 11))
    small_batches.reactions.react_many((user, OTHER, "wow") for user in range(1, 11))
    small_batches.drain()
    for user in range(1, 11):
        assert small_batches.client.hget(keys.user_reactions(user), str(POST)) == b"1"
    small_batches.reactions.delete_post(POST)
    finish(small_batches)
    for user in range(1, 11):
        hash_of_user = small_batches.client.hgetall(keys.user_reactions(user))
        assert hash_of_user == {b"0": b"1", b"1142": b"4"}


def test_a_post_that_was_never_there_can_be_deleted_and_more_than_once(
    small_batches: Engine,
) -> None:
    for _ in range(3):
        small_batches.reactions.delete_post(POST)
    finish(small_batches)
    check_post_is_gone(small_batches)
    small_batches.reactions.delete_post(POST)
    assert small_batches.erasure_requests.unfinished() == ([], {})
    with pytest.raises(PostDeleted):
        small_batches.reactions.react(USER, POST, "like")


@pytest.mark.parametrize("after", [False, True])
def test_an_erasure_of_a_post_that_dies_at_any_step_goes_on(
    small_batches: Engine, after: bool
) -> None:
    deaths = 0
    for life in itertools.count():
        post = POST + 100 * life
        react(small_batches, post, range(1, 18))
        small_batches.drain()
        react(small_batches, post, [20, 21])
        small_batches.reactions.delete_post(post)
        died = False
        try:
            mortal(small_batches, life, after=after).erase()
        except DiedError:
            died = True
        check_counts(small_batches)
        with pytest.raises(PostDeleted):
            small_batches.reactions.react(1, post, "like")
        assert small_batches.reactions.counts(post)["like"] == 0
        finish(small_batches)
        check_post_is_gone(small_batches, post)
        if not died:
            break
        deaths += 1
    assert deaths >= 9  # reads the requests, marks the post, three batches with users, confirms


def test_everything_a_user_did_goes_and_nothing_else(small_batches: Engine) -> None:
    """Counts are exact in both stores after every step."""
    others = populate(small_batches)
    small_batches.reactions.forget_user(USER)
    calls = 0
    while small_batches.erasure_requests.unfinished()[1]:
        small_batches.eraser.erase(0.0)
        check_counts(small_batches)
        assert small_batches.verify().holds
        small_batches.drain()
        check_counts(small_batches)
        assert small_batches.verify().holds
        calls += 1
    assert calls > len(POSTS) // BATCH
    check_user_is_gone(small_batches, others)


@pytest.mark.parametrize("after", [False, True])
def test_an_erasure_of_a_user_that_dies_at_any_step_goes_on(
    small_batches: Engine, after: bool
) -> None:
    deaths = 0
    posts = range(1, 11)
    others = {post: {FELLOW: 1} for post in posts}
    for life in itertools.count():
        small_batches.reactions.react_many(
            (user, post, "like") for post in posts for user in (USER, FELLOW)
        )
        small_batches.drain()
        small_batches.reactions.react(USER, 3, "love")
        small_batches.reactions.forget_user(USER)
        eraser = mortal(small_batches, life, after=after)
        died = False
        while not died and small_batches.erasure_requests.unfinished()[1]:
            try:
                eraser.erase()
            except DiedError:
                died = True
            check_counts(small_batches)
            small_batches.drain()
        finish(small_batches)
        check_user_is_gone(small_batches, others)
        if not died:
            break
        deaths += 1
    assert deaths > 10


def test_two_erasers_do_no_harm_to_each_other(small_batches: Engine) -> None:
    posts = range(1, 13)
    small_batches.reactions.react_many(
        (user, post, "like") for post in posts for user in (*range(10, 30), USER)
    )
    small_batches.drain()
    for post in posts[:6]:
        small_batches.reactions.delete_post(post)
    small_batches.reactions.forget_user(USER)

    def erases(_: int) -> None:
        eraser = Eraser(small_batches.client, small_batches.database, small_batches.settings)
        persister = Persister(small_batches.client, small_batches.database, small_batches.settings)
        while any(small_batches.erasure_requests.unfinished()):
            eraser.erase(0.02)
            persister.drain(range(100))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(erases, range(3)))
    small_batches.drain()
    for post in posts[:6]:
        check_post_is_gone(small_batches, post)
    left = rows_of(small_batches, "post_id > 0")
    assert left == [(post, user, 1) for post in posts[6:] for user in range(10, 30)]
    assert small_batches.verify().holds
