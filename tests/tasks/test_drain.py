"""The task `drain`: good, forged, late and repeated messages, and its retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery.exceptions import Retry

from reactions.core.errors import InvalidArgument
from reactions.demo.embedded import Postgres
from reactions.redis.keys import default_keys as keys
from tests.support.databases import execute_admin
from tests.support.waiting import wait_until
from tests.tasks.lane import Lane, Tasks
from tests.tasks.steps import POST, SHARD, age, assert_drained, claim, finish, react, rows


@pytest.mark.parametrize("shards", [[SHARD], [SHARD + 1], [7], []], ids=repr)
def test_a_drain_drains_every_shard_that_was_woken(lane: Lane, shards: list[int]) -> None:
    """Whichever its message names. So messages that arrive together cost the work of one."""
    react(lane, 1, 2, 3)
    react(lane, 1, post_id=POST + 1)
    run = lane.run(shards)
    assert (run.state, run.result, run.retries) == ("SUCCESS", None, 0)
    assert rows(lane, POST + 1) == {1: 1}
    assert_drained(lane, 1, 2, 3)
    assert lane.run([SHARD + 1]).state == "SUCCESS"
    lane.settle()
    assert len(lane.runs) == 2


def test_a_drain_leaves_the_shards_of_another_drain(lane: Lane) -> None:
    react(lane, 1, 2)
    held = claim(lane)
    react(lane, 1, post_id=POST + 1)
    lane.run([SHARD])
    lane.run([SHARD], {}, True)
    assert (rows(lane), rows(lane, POST + 1)) == ({}, {1: 1})
    assert finish(lane, held).lost == 0
    assert_drained(lane, 1, 2)


def test_a_shard_that_nobody_woke_is_drained_by_force(lane: Lane) -> None:
    """Its wake-up was lost; the sweep sends such a message. Shards in the message stay alone."""
    react(lane, 1, 2)
    react(lane, 1, post_id=POST + 1)
    lane.engine.client.delete(keys.outbox_wake(SHARD), keys.outbox_wake(SHARD + 1))
    lane.run([SHARD])
    assert (rows(lane), lane.engine.outbox_state.pending()) == ({}, 3)
    lane.run([SHARD], {}, True)
    assert rows(lane) == {1: 1, 2: 1}
    assert (rows(lane, POST + 1), lane.engine.outbox_state.pending()) == ({}, 1)
    lane.run([SHARD + 1], {}, True)
    assert_drained(lane, 1, 2)


@pytest.mark.parametrize(
    "shards",
    [
        None,
        SHARD,
        "42",
        {"42": 1},
        [True],
        [100],
        [-1],
        ["42"],
        [42.0],
        [None],
        [[SHARD]],
        [SHARD, 100],
        [2**70],
    ],
    ids=repr,
)
def test_an_invalid_shard_is_refused_and_harms_nothing(lane: Lane, shards: object) -> None:
    react(lane, 1, 2)
    run = lane.run(shards)
    assert run.state == "FAILURE"
    assert isinstance(run.result, InvalidArgument)
    assert run.result.argument == "shards"
    lane.settle()
    assert len(lane.runs) == 1  # the message does not return
    assert (rows(lane), lane.engine.outbox_state.pending()) == ({}, 2)
    lane.run([SHARD])
    assert_drained(lane, 1, 2)


TOO_MANY: tuple[Any, ...] = ([SHARD], {}, True, "post", "more")


@pytest.mark.parametrize("args", [(), TOO_MANY], ids=["none", "too many"])
def test_a_drain_with_other_arguments_fails(lane: Lane, args: tuple[Any, ...]) -> None:
    react(lane, 1)
    run = lane.run(*args)
    assert (run.state, type(run.result)) == ("FAILURE", TypeError)
    lane.run([SHARD])
    assert_drained(lane, 1)


def test_a_shard_named_twice_is_drained_once(lane: Lane) -> None:
    react(lane, 1)
    assert lane.run([SHARD] * 1000).state == "SUCCESS"
    assert_drained(lane, 1)


@pytest.mark.parametrize(
    "tokens",
    [
        {"42": "forged"},
        {"42": ""},
        {"42": "|"},
        {"42": "%"},
        {"42": 7},
        {"42": None},
        {"42": {"a": 1}},
        {"42": ["a"]},
        {"": "a"},
        {"-1": "a"},
        {"x": "a"},
        {"\N{SUPERSCRIPT TWO}": "a"},
        {"999": "a"},
        [1],
        "42",
        7,
    ],
    ids=repr,
)
def test_a_forged_token_opens_nothing(lane: Lane, tokens: object) -> None:
    """While another drain holds the lease, no token takes it, well-formed or not."""
    react(lane, 1, 2)
    held = claim(lane)
    lane.run([SHARD], tokens)
    lane.settle()
    assert (rows(lane), lane.engine.outbox_state.pending()) == ({}, 2)
    done = finish(lane, held)
    assert (done.changed, done.lost) == (2, 0)
    assert_drained(lane, 1, 2)


def test_a_message_delivered_twice_counts_once(lane: Lane) -> None:
    react(lane, 1, 2, 3)
    for _ in range(2):
        lane.send([SHARD], task_id="twice")
    wait_until(lambda: len(lane.of("twice")) == 2, what="both deliveries")
    assert [run.state for run in lane.of("twice")] == ["SUCCESS", "SUCCESS"]
    assert_drained(lane, 1, 2, 3)


def test_a_stale_retry_takes_nothing_from_the_drain_that_has_the_shard_now(lane: Lane) -> None:
    react(lane, 1)
    stale = claim(lane)
    lane.engine.client.delete(keys.outbox_lease(SHARD))  # as if the lease had lapsed
    lane.run([SHARD], {}, True)  # another drain did the work
    assert rows(lane) == {1: 1}
    react(lane, 2)
    held = claim(lane)
    assert lane.run([SHARD], {str(SHARD): stale.token}).state == "SUCCESS"
    assert (rows(lane), lane.engine.outbox_state.pending()) == ({1: 1}, 1)
    assert finish(lane, held).lost == 0
    assert_drained(lane, 1, 2)


def test_a_stale_retry_of_a_free_shard_is_a_drain(lane: Lane) -> None:
    react(lane, 1)
    stale = claim(lane)
    lane.engine.client.delete(keys.outbox_lease(SHARD))
    react(lane, 2)
    lane.run([SHARD], {str(SHARD): stale.token})
    lane.run([SHARD])  # user 2 came after the claim that the first of these takes over
    assert_drained(lane, 1, 2)


@contextmanager
def without_database(server_url: str) -> Iterator[None]:
    """An outage of the lane's database: connections are cut, and new ones are refused."""

    def allow(connections: bool) -> None:
        execute_admin(server_url, f"ALTER DATABASE lane ALLOW_CONNECTIONS {connections}")

    allow(False)
    execute_admin(
        server_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lane'",
    )
    try:
        yield
    finally:
        allow(True)


def test_a_drain_is_retried_until_the_database_is_back(lane: Lane, postgres: Postgres) -> None:
    react(lane, 1, 2)
    settings = lane.tasks.settings
    with without_database(postgres.url):
        lane.send([SHARD], task_id="patient")
        wait_until(lambda: len(lane.of("patient")) >= 5, what="four retries")
        assert lane.engine.outbox_state.pending() == 2
        failed = lane.of("patient")
    for number, run in enumerate(failed):
        assert (run.state, run.retries, run.queue) == ("RETRY", number, "persistence")
        assert isinstance(run.result, Retry)
        assert "PostgreSQL cannot serve" in str(run.result.exc)
        longest = min(settings.retry_cap_s, settings.retry_base_s * 2**number)
        assert longest / 2 <= run.result.when <= longest
    # Each try sends the token of the try before, which still holds the lease.
    assert all(run.kwargs["tokens"].get(str(SHARD)) for run in failed[1:])
    wait_until(lambda: lane.of("patient")[-1].state == "SUCCESS", what="the last try")
    assert_drained(lane, 1, 2)


def test_the_delay_doubles_up_to_the_cap_and_half_of_it_is_random(tasks: Tasks) -> None:
    delay: Callable[[int], float] = tasks.drain.retry_delay
    for retries, longest in [(0, 0.05), (1, 0.1), (2, 0.2), (3, 0.2), (50, 0.2), (10**6, 0.2)]:
        drawn = [delay(retries) for _ in range(200)]
        assert longest / 2 <= min(drawn) < longest * 0.6
        assert longest * 0.9 < max(drawn) <= longest


def test_drains_go_to_the_queue_of_durability(lane: Lane) -> None:
    lane.run([SHARD + 1])
    react(lane, 1)
    age(lane, POST, 61)
    lane.run(task="reactions.sweep")
    wait_until(lambda: len(lane.drains()) == 2, what="the sweep's drain")
    assert [run.queue for run in lane.drains()] == ["persistence"] * 2
