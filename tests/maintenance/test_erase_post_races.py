"""A post is deleted while others drain it, react on it, or lose its mark in Redis."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from reactions.core.errors import PostDeleted
from reactions.core.model import Tier
from reactions.drain.batch import Drained
from reactions.drain.persister import Persister
from reactions.redis.keys import default_keys as keys
from tests.maintenance.erasing import (
    OTHER,
    POST,
    SHARD,
    Play,
    check_counts,
    check_post_is_gone,
    finish,
    lapse,
    react,
    rows_of,
)
from tests.support.engine import Engine
from tests.support.waiting import patience, wait_until

PATIENCE_S = patience(30)
ORDERS = sorted(
    order
    for order in set(itertools.permutations(["claim", "record", "settle", "delete", "erase"]))
    if order.index("claim") < order.index("record") < order.index("settle")
    and order.index("delete") < order.index("erase")
)


@pytest.mark.parametrize("large", [False, True])
def test_a_drain_under_way_brings_nothing_back(small_batches: Engine, large: bool) -> None:
    """In any order of the steps of drain and deletion. Other posts of the drain are correct."""
    assert len(ORDERS) == 10
    for number, order in enumerate(ORDERS):
        post = POST + 200 * number
        react(small_batches, post, range(1, 6))
        react(small_batches, OTHER, [2 * number + 1])
        small_batches.drain()
        react(small_batches, post, range(4, 20 if large else 9), "love")
        react(small_batches, OTHER, [2 * number + 2])
        play = Play(small_batches, post)
        for at, step in enumerate(order):
            getattr(play, step)()
            check_counts(small_batches)
            if "delete" in order[: at + 1]:
                assert small_batches.reactions.summaries([post], 5)[0].tier is Tier.DELETED, order
                assert small_batches.reactions.reaction_of(5, post) is None, order
        finish(small_batches)
        check_post_is_gone(small_batches, post)
    assert small_batches.reactions.counts(OTHER)["like"] == 20
    assert small_batches.verify().holds


def test_a_drain_that_died_before_a_deletion_leaves_nothing(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 6))
    small_batches.outbox.claim({SHARD: ""})
    lapse(small_batches)
    small_batches.reactions.delete_post(POST)
    finish(small_batches)
    check_post_is_gone(small_batches)


def test_a_stale_drain_brings_nothing_back_long_after(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 6))
    react(small_batches, OTHER, range(1, 3))
    claims, _ = small_batches.outbox.claim({SHARD: ""})
    lapse(small_batches)
    small_batches.drain()
    small_batches.reactions.delete_post(POST)
    finish(small_batches)
    late = Drained()
    small_batches.persister.settle(claims, small_batches.persister.record(claims, late), late)
    assert (late.changed, late.lost) == (0, 1)
    check_post_is_gone(small_batches)


class Writers:
    """React to the post, and to another one, until the post refused 20 reactions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.deleted = threading.Event()
        self.late: list[int] = []
        """Users whose reaction was acknowledged although the post was deleted."""

    def write(self, first: int) -> int:
        """React as every fourth user, and return how many reacted to the other post."""
        refused = 0
        for user in itertools.count(first, 4):
            known = self.deleted.is_set()
            try:
                self._engine.reactions.react(user, POST, "like")
                if known:
                    self.late.append(user)
            except PostDeleted:
                refused += 1
            self._engine.reactions.react(user, OTHER, "like")
            if refused == 20:
                return len(range(first, user + 1, 4))
        raise AssertionError


def test_writers_race_with_a_deletion(small_batches: Engine) -> None:
    """Reactions acknowledged before the deletion are erased. None is acknowledged afterwards."""
    writers, over = Writers(small_batches), threading.Event()

    def drains() -> None:
        persister = Persister(small_batches.client, small_batches.database, small_batches.settings)
        while not over.is_set():
            persister.drain([SHARD])

    with ThreadPoolExecutor(5) as pool:
        drain = pool.submit(drains)
        writing = [pool.submit(writers.write, first) for first in range(1, 5)]
        try:
            wait_until(lambda: len(rows_of(small_batches, "post_id = :post", post=POST)) > 20)
            small_batches.reactions.delete_post(POST)
            writers.deleted.set()
            small_batches.eraser.erase()
            written = sum(writer.result(PATIENCE_S) for writer in writing)
        finally:
            over.set()
        drain.result(PATIENCE_S)
    assert writers.late == []
    finish(small_batches)
    check_post_is_gone(small_batches)
    assert small_batches.reactions.counts(OTHER)["like"] == written
    assert small_batches.verify().holds


def test_a_mark_that_redis_lost_is_put_back_by_a_drain(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 6))
    small_batches.drain()
    small_batches.reactions.delete_post(POST)
    finish(small_batches)
    small_batches.client.delete(keys.outbox_deleted(SHARD))
    react(small_batches, POST, range(1, 4), "love")  # Redis does not know of the deletion
    react(small_batches, OTHER, range(1, 4), "love")
    small_batches.drain()
    check_post_is_gone(small_batches)
    with pytest.raises(PostDeleted):
        small_batches.reactions.react(1, POST, "like")
    assert small_batches.reactions.summaries([POST], 1)[0].tier is Tier.DELETED
    assert small_batches.reactions.counts(OTHER)["love"] == 3


@pytest.mark.parametrize("large", [False, True])
def test_what_comes_behind_a_claim_of_a_lost_mark_goes_too(
    small_batches: Engine, large: bool
) -> None:
    small_batches.reactions.delete_post(POST)
    finish(small_batches)
    small_batches.client.delete(keys.outbox_deleted(SHARD))
    react(small_batches, POST, range(1, 30 if large else 4))
    play = Play(small_batches)
    play.claim()
    react(small_batches, POST, [1, 77], "wow")
    play.record()
    react(small_batches, POST, [2, 78], "wow")
    play.settle()
    check_post_is_gone(small_batches)
    with pytest.raises(PostDeleted):
        small_batches.reactions.react(1, POST, "like")


def test_a_mark_that_was_lost_while_the_rows_go_does_not_stop_that(small_batches: Engine) -> None:
    react(small_batches, POST, range(1, 30))
    small_batches.drain()
    small_batches.reactions.delete_post(POST)
    small_batches.eraser.erase(0.0)
    small_batches.client.delete(keys.outbox_deleted(SHARD))
    react(small_batches, POST, range(25, 60), "love")
    finish(small_batches)
    small_batches.drain()
    check_post_is_gone(small_batches)
