"""A user is forgotten: all of their reactions go, and nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.redis.keys import default_keys as keys
from tests.maintenance.erasing import (
    FELLOW,
    OTHER,
    POST,
    POSTS,
    SHARD,
    USER,
    check_user_is_gone,
    finish,
    populate,
    react,
    rows_of,
)
from tests.support.engine import Engine


def test_what_a_user_does_afterwards_stays(small_batches: Engine) -> None:
    others = populate(small_batches)
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    check_user_is_gone(small_batches, others)
    for post in (1, 2, 5, 999):
        small_batches.reactions.react(USER, post, "angry")
    small_batches.drain()
    small_batches.eraser.erase()
    found = rows_of(small_batches, "user_id = :user", user=USER)
    assert found == [(post, USER, 6) for post in (1, 2, 5, 999)]
    assert [r.post_id for r in small_batches.reactions.history(USER).items] == [999, 5, 2, 1]
    assert small_batches.verify().holds


def test_the_dead_letters_of_a_user_go_too(small_batches: Engine) -> None:
    for user in (USER, FELLOW):
        react(small_batches, POST, [user])
        small_batches.client.hset(keys.post_pending(POST), str(user), "99:1700000000000000")
        small_batches.client.hset(keys.post_pending(OTHER), str(user), "like")
        small_batches.client.zadd(keys.outbox_dirty(SHARD), {str(OTHER): 1})
    small_batches.drain()
    assert small_batches.dead_letters.count() == 4
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    with small_batches.database.engine.connect() as connection:
        left = connection.execute(text('SELECT DISTINCT "user" FROM dead_letters')).scalars().all()
    assert left == [str(FELLOW)]


@pytest.mark.parametrize("when", ["before it begins", "in the middle", "after it"])
def test_forgetting_a_user_twice_is_as_good_as_once(small_batches: Engine, when: str) -> None:
    others = populate(small_batches)
    client = small_batches.reactions
    client.forget_user(USER)
    if when == "in the middle":
        small_batches.eraser.erase(0.0)
        small_batches.drain()
        small_batches.eraser.erase(0.0)
    elif when == "after it":
        finish(small_batches)
    client.react(USER, 1, "angry")
    client.forget_user(USER)
    finish(small_batches)
    check_user_is_gone(small_batches, others)


def test_a_user_who_never_did_anything_can_be_forgotten(small_batches: Engine) -> None:
    react(small_batches, POST, [FELLOW])
    small_batches.drain()
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    check_user_is_gone(small_batches, {POST: {FELLOW: 1}})


def test_several_users_are_forgotten_together(small_batches: Engine) -> None:
    users = range(1, 21)
    small_batches.reactions.react_many((user, post, "like") for post in POSTS for user in users)
    small_batches.drain()
    for user in users[::2]:
        small_batches.reactions.forget_user(user)
    finish(small_batches)
    expected = [(post, user, 1) for post in POSTS for user in users[1::2]]
    assert rows_of(small_batches, "user_id > 0") == expected
    assert small_batches.verify().holds


def test_a_forgotten_user_leaves_a_viral_post_as_they_could_have_done(
    small_batches: Engine,
) -> None:
    react(small_batches, POST, range(1, 21))
    small_batches.drain()
    react(small_batches, POST, [USER], "love")  # the newest of the sample
    small_batches.drain()
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    assert USER not in [r.user_id for r in small_batches.reactions.recent(POST, 5)]
    assert small_batches.client.get(keys.post_total_reactions(POST)) == b"19"
    check_user_is_gone(small_batches, {POST: {user: 1 for user in range(1, 21) if user != USER}})


def test_who_was_forgotten_never_reacted(small_batches: Engine) -> None:
    react(small_batches, POST, [USER, FELLOW])
    small_batches.drain()
    assert small_batches.reactions.uniques(POST) == 2
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    assert small_batches.reactions.uniques(POST) == 1


def test_a_forgotten_user_of_deleted_posts(small_batches: Engine) -> None:
    others = populate(small_batches)
    for post in (1, 2, 3):
        small_batches.reactions.delete_post(post)
        del others[post]
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    check_user_is_gone(small_batches, others)
    assert rows_of(small_batches, "post_id IN (1, 2, 3)") == []


@pytest.mark.parametrize("evicts", [False, True])
def test_a_user_is_forgotten_also_where_nothing_is_cached(
    small_batches: Engine, evicts: bool
) -> None:
    others = populate(small_batches)
    small_batches.reactions.forget_user(USER)
    while small_batches.erasure_requests.unfinished()[1]:
        small_batches.eraser.erase(0.0)
        if evicts:
            for key in small_batches.client.scan_iter(count=10_000):
                if small_batches.client.pttl(key) >= 0:
                    small_batches.client.delete(key)
        small_batches.drain()
    check_user_is_gone(small_batches, others)
