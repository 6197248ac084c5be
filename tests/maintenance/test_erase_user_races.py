"""A user is forgotten while they react, while others drain, or while a clock is read."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reactions.api.client import Reactions
from reactions.drain.batch import Drained
from reactions.drain.persister import Persister
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import run_many
from tests.maintenance.erasing import (
    FELLOW,
    OTHER,
    POST,
    POSTS,
    SHARD,
    USER,
    check_counts,
    check_user_is_gone,
    finish,
    lapse,
    populate,
    react,
    rows_of,
)
from tests.support.engine import Engine
from tests.support.waiting import patience, wait_until

PATIENCE_S = patience(30)


def test_what_is_pending_or_claimed_goes_too(small_batches: Engine) -> None:
    others = populate(small_batches)
    small_batches.reactions.react_many((USER, post, "wow") for post in (1, 2, 3, 5, 10, 777))
    claims, _ = small_batches.outbox.claim(dict.fromkeys((1, 2, 77), ""))
    assert sum(len(claim.posts) for claim in claims) == 3
    small_batches.reactions.react_many((USER, post, "sad") for post in (2, 4, 888))
    small_batches.reactions.forget_user(USER)
    for _ in range(5):  # a drain has claimed some changes, so the erasure waits for it
        small_batches.eraser.erase()
        small_batches.persister.drain(set(range(100)) - {1, 2, 77})
        assert USER in small_batches.erasure_requests.unfinished()[1]
    small_batches.persister.settle(
        claims, small_batches.persister.record(claims, Drained()), Drained()
    )
    finish(small_batches)
    check_user_is_gone(small_batches, others | {777: {}, 888: {}})


def test_a_reaction_that_waits_in_redis_holds_an_erasure_up(small_batches: Engine) -> None:
    react(small_batches, POST, [USER])
    small_batches.reactions.forget_user(USER)
    for _ in range(5):
        small_batches.eraser.erase()
    assert USER in small_batches.erasure_requests.unfinished()[1]
    small_batches.drain()
    finish(small_batches)
    check_user_is_gone(small_batches, {POST: {}})


def test_what_a_user_does_once_it_has_begun_stays_if_it_is_newer(small_batches: Engine) -> None:
    """The first step notes the cutoff. Later reactions stay, whatever step comes next."""
    others = populate(small_batches)
    small_batches.reactions.forget_user(USER)
    small_batches.eraser.erase(0.0)
    small_batches.reactions.react(USER, 888, "angry")
    small_batches.drain()
    small_batches.reactions.react(USER, 999, "angry")
    finish(small_batches)
    assert rows_of(small_batches, "user_id = :user", user=USER) == [(888, USER, 6), (999, USER, 6)]
    assert small_batches.queries.reactions(list(others)) == others
    assert small_batches.reactions.reaction_of(USER, 999) == "angry"
    check_counts(small_batches)
    assert small_batches.verify().holds


def test_a_stale_drain_does_not_bring_a_user_back(small_batches: Engine) -> None:
    """The drain claimed before the erasure and records long after it. Its other rows stay."""
    react(small_batches, POST, [USER, FELLOW])
    react(small_batches, OTHER, [USER])
    claims, _ = small_batches.outbox.claim({SHARD: ""})
    lapse(small_batches)
    small_batches.drain()
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    for _ in range(2):
        late = Drained()
        batch = small_batches.persister.record(claims, late)
        assert late.changed == 0
        small_batches.persister.settle(claims, batch, late)
        assert late.lost == 1
        check_user_is_gone(small_batches, {POST: {FELLOW: 1}, OTHER: {}})
        none: list[dict[bytes, bytes]] = [{}, {b"1042": b"0"}, {b"0": b"1"}]
        assert small_batches.client.hgetall(keys.user_reactions(USER)) in none
        small_batches.client.delete(keys.user_reactions(USER))


def test_a_reader_who_comes_late_does_not_cache_a_forgotten_user(small_batches: Engine) -> None:
    react(small_batches, POST, [USER])
    small_batches.drain()
    users = small_batches.eraser._users
    run_many(small_batches.client, [users.fence_command(USER, "t")])
    found = small_batches.queries.summaries([], USER, [POST])[1]
    assert found == {POST: 1}
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    assert not users.install_call(USER, "t", found, whole=False).run(small_batches.client)
    check_user_is_gone(small_batches, {POST: {}})


@pytest.mark.parametrize("method", ["readings", "bound_versions"])
def test_what_a_user_does_just_when_the_time_is_noted_stays(
    small_batches: Engine, method: str
) -> None:
    """At any reading of a clock except the first, which is the cutoff."""
    react(small_batches, POST, [USER, FELLOW])
    small_batches.drain()
    small_batches.reactions.forget_user(USER)
    small_batches.eraser.erase()
    small_batches.drain()
    clock: Any = small_batches.eraser._clock
    read = getattr(clock, method)
    posts = itertools.count(2_000)
    acknowledged: list[int] = []

    def reading() -> Any:
        post = next(posts)
        small_batches.reactions.react(USER, post, "wow")
        acknowledged.append(post)
        return read()

    setattr(clock, method, reading)
    while small_batches.erasure_requests.unfinished()[1]:
        small_batches.eraser.erase()  # drain only when the erasure waits
        if small_batches.eraser.erase().users == 0:
            small_batches.drain()
    small_batches.drain()
    assert acknowledged
    assert rows_of(small_batches, "user_id = 7") == [(post, USER, 4) for post in acknowledged]
    assert small_batches.verify().holds


def _erased(engine: Engine) -> bool:
    engine.eraser.erase()
    return not any(engine.erasure_requests.unfinished())


def test_a_user_who_goes_on_while_they_are_forgotten(small_batches: Engine) -> None:
    """The stores agree afterwards, and the reactions from before are gone."""
    others = populate(small_batches)
    over = threading.Event()

    def goes_on(client: Reactions) -> None:
        play = random.Random(2)  # noqa: S311 - not for secrecy
        while not over.is_set():
            name = play.choice(["wow", "sad", None])
            post = play.choice(POSTS[:10])
            client.react_many([(USER, post, name)])
            assert client.reaction_of(USER, post) in (name, None)  # or the eraser removed it

    def drains() -> None:
        persister = Persister(small_batches.client, small_batches.database, small_batches.settings)
        while not over.is_set():
            persister.drain(range(100))

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(goes_on, small_batches.reactions), pool.submit(drains)]
        small_batches.reactions.forget_user(USER)
        try:
            wait_until(lambda: _erased(small_batches), 30, "the erasure to end")
        finally:
            over.set()
        for thread in threads:
            thread.result(PATIENCE_S)
    small_batches.drain()
    assert all(post in POSTS[:10] for post, _, _ in rows_of(small_batches, "user_id = 7"))
    assert small_batches.queries.reactions(POSTS[10:]) == {
        post: others[post] for post in POSTS[10:]
    }
    check_counts(small_batches)
    assert small_batches.verify().holds
    small_batches.reactions.react_many((USER, post, "angry") for post in POSTS)
    small_batches.drain()
    assert rows_of(small_batches, "user_id = 7") == [(post, USER, 6) for post in POSTS]
