"""The tasks in a worker: what they do with good, bad, late and repeated messages."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import QueueNotFound, Retry

from reactions.core.celery_app import DRAIN
from reactions.core.constants import shard_of
from reactions.core.errors import InvalidArgument
from reactions.demo.embedded import Postgres
from reactions.drain.batch import Drained
from reactions.redis import keys
from reactions.redis.claims import Claim
from tests.support.databases import execute_admin
from tests.support.waiting import wait_until
from tests.tasks.lane import Lane, Tasks

POST, SHARD = 1042, 42


def react(lane: Lane, *users: int, post_id: int = POST) -> None:
    lane.engine.reactions.react_many((user, post_id, "like") for user in users)


def rows(lane: Lane, post_id: int = POST) -> dict[int, int]:
    return lane.engine.queries.reactions([post_id])[post_id]


def claim(lane: Lane, shard: int = SHARD) -> Claim:
    """What another drain does before it writes."""
    (taken,), _ = lane.engine.outbox.claim({shard: ""})
    return taken


def finish(lane: Lane, held: Claim) -> Drained:
    """What it does then."""
    done = Drained()
    lane.engine.persister.settle([held], lane.engine.persister.record([held], done), done)
    return done


def assert_drained(lane: Lane, *users: int) -> None:
    assert lane.engine.outbox_state.pending() == 0
    assert rows(lane) == dict.fromkeys(users, 1)
    assert lane.engine.queries.counts([POST])[POST] == {1: len(users)}
    assert lane.engine.verify().holds


# -- the drain -------------------------------------------------------------------------------------


def test_a_drain_drains_its_shards_alone(lane: Lane) -> None:
    react(lane, 1, 2, 3)
    react(lane, 1, post_id=POST + 1)
    run = lane.run([SHARD])
    assert (run.state, run.result, run.retries) == ("SUCCESS", None, 0)
    assert rows(lane) == {1: 1, 2: 1, 3: 1}
    assert (rows(lane, POST + 1), lane.engine.outbox_state.pending()) == ({}, 1)
    lane.run([SHARD + 1])
    assert_drained(lane, 1, 2, 3)


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
def test_a_drain_of_what_is_no_shard_is_refused_and_harms_nothing(
    lane: Lane, shards: object
) -> None:
    react(lane, 1, 2)
    run = lane.run(shards)
    assert run.state == "FAILURE"
    assert isinstance(run.result, InvalidArgument)
    assert run.result.argument == "shards"
    lane.settle()
    assert len(lane.runs) == 1  # it does not come back
    assert (rows(lane), lane.engine.outbox_state.pending()) == ({}, 2)
    lane.run([SHARD])
    assert_drained(lane, 1, 2)


@pytest.mark.parametrize("args", [(), ([SHARD], {}, "more")], ids=["none", "too many"])
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
    """Well-formed or not: while another drain has the shard, it stays that drain's."""
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
    lane.engine.client.delete(keys.outbox_lease(SHARD))  # as if it had lapsed
    lane.run([SHARD])  # another drain did the work
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


# -- its retries -----------------------------------------------------------------------------------


@contextmanager
def without_database(server_url: str) -> Iterator[None]:
    """An outage of the lane's database: its connections are cut and new ones refused."""

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
    # Each try presents the token of the one before, so that its claim is not in its own way.
    assert all(run.kwargs["tokens"].get(str(SHARD)) for run in failed[1:])
    wait_until(lambda: lane.of("patient")[-1].state == "SUCCESS", what="the last try")
    assert_drained(lane, 1, 2)


def test_the_delay_doubles_up_to_the_cap_and_half_of_it_is_random(tasks: Tasks) -> None:
    delay: Callable[[int], float] = tasks.drain.retry_delay
    for retries, longest in [(0, 0.05), (1, 0.1), (2, 0.2), (3, 0.2), (50, 0.2), (10**6, 0.2)]:
        drawn = [delay(retries) for _ in range(200)]
        assert longest / 2 <= min(drawn) < longest * 0.6
        assert longest * 0.9 < max(drawn) <= longest


# -- the sweep -------------------------------------------------------------------------------------


def age(lane: Lane, post_id: int, seconds: float) -> None:
    """Make what is pending of a post older."""
    dirty = keys.outbox_dirty(shard_of(post_id))
    lane.engine.client.zincrby(dirty, -seconds * 1e6, str(post_id))


def test_the_sweep_has_exactly_the_overdue_shards_drained(lane: Lane) -> None:
    for post, seconds in [(1001, 61), (1002, 299), (1003, 299), (1004, 30)]:
        react(lane, 7, post_id=post)
        age(lane, post, seconds)  # the last is young: its wake-up may still come
    claim(lane, 3)  # overdue, but a drain is at it
    assert lane.run(task="reactions.sweep").state == "SUCCESS"
    wait_until(lane.drains, what="what the sweep sent")
    lane.settle()
    assert [run.kwargs for run in lane.drains()] == [{"shards": [1, 2]}]
    assert [rows(lane, post) for post in (1001, 1002, 1003, 1004)] == [{7: 1}, {7: 1}, {}, {}]


def test_what_does_not_get_through_the_queue_of_durability_goes_the_other_way(lane: Lane) -> None:
    """Found by a fault run: with more waiting there than a message lives, a claim stayed for ever
    that a dead drain had left on a shard where nobody reacted any more."""
    for post, seconds in [(1001, 299), (1002, 301)]:
        react(lane, 7, post_id=post)
        age(lane, post, seconds)
    assert lane.run(task="reactions.sweep").queue == "maintenance"
    wait_until(lambda: len(lane.drains()) >= 2, what="what the sweep sent")
    lane.settle()
    sent = {(run.queue, *run.kwargs["shards"]) for run in lane.drains()}
    assert sent == {("persistence", 1), ("maintenance", 2)}


def test_beat_is_told_to_sweep_and_drops_a_sweep_that_comes_late(tasks: Tasks) -> None:
    interval = timedelta(seconds=tasks.settings.sweep_interval_s)
    entry = tasks.celery.conf.beat_schedule["sweep"]
    assert (entry["task"], entry["schedule"]) == (tasks.sweep.sweep.name, interval)
    # Not while every worker may be busy with a drain, and not for ever.
    busy = tasks.settings.drain_budget_s
    assert (
        busy + interval.total_seconds()
        < entry["options"]["expires"]
        <= busy + 2 * interval.total_seconds()
    )


def test_a_sweep_of_a_clean_outbox_sends_nothing(lane: Lane) -> None:
    assert lane.run(task="reactions.sweep").state == "SUCCESS"
    lane.settle()
    assert lane.drains() == []


def test_the_sweep_shares_many_shards_out_over_a_few_messages(lane: Lane) -> None:
    for post in range(1000, 1100):
        react(lane, 7, post_id=post)
        age(lane, post, 100)
    lane.run(task="reactions.sweep")
    wait_until(lambda: len(lane.drains()) >= 4, what="four drains")
    lane.settle()
    assert sorted(s for run in lane.drains() for s in run.kwargs["shards"]) == list(range(100))
    assert max(len(run.kwargs["shards"]) for run in lane.drains()) == 25
    assert lane.engine.outbox_state.pending() == 0
    assert lane.engine.verify().holds


def test_two_sweeps_at_once_are_as_one(lane: Lane) -> None:
    react(lane, 1, 2)
    age(lane, POST, 61)
    for number in range(2):
        lane.send(task="reactions.sweep", task_id=f"sweep-{number}")
    wait_until(lane.drains, what="a drain")
    lane.settle()
    assert_drained(lane, 1, 2)


# -- messages --------------------------------------------------------------------------------------


def test_drains_go_to_the_queue_of_durability(lane: Lane) -> None:
    react(lane, 1)
    age(lane, POST, 61)
    lane.run([SHARD + 1])
    lane.run(task="reactions.sweep")
    wait_until(lambda: len(lane.drains()) == 2, what="the sweep's drain")
    assert [run.queue for run in lane.drains()] == ["persistence"] * 2


def test_a_queue_that_does_not_exist_is_an_error(tasks: Tasks) -> None:
    with pytest.raises(QueueNotFound):
        tasks.celery.send_task(DRAIN, [[SHARD]], queue="persistance")


class Exploit:
    """Unpickled, it makes a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[pathlib.Path]]:
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("serializer", ["pickle", "yaml"])
def test_only_json_is_read(
    lane: Lane, serializer: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tmp_path / "made"
    shards: object = [Exploit(made)] if serializer == "pickle" else [SHARD]
    react(lane, 1)
    with caplog.at_level(logging.ERROR, "celery.worker.consumer.consumer"):
        lane.send(shards, serializer=serializer)
        wait_until(lambda: "Refusing to deserialize" in caplog.text, what="the refusal")
    lane.settle()
    assert not lane.runs
    assert not made.exists()
    lane.run([SHARD])  # the worker lives
    assert_drained(lane, 1)


def test_a_message_of_an_unknown_task_is_dropped(lane: Lane) -> None:
    react(lane, 1)
    lane.send(task="os.system", queue="persistence")
    lane.run([SHARD])
    lane.settle()
    assert [run.task for run in lane.runs] == [DRAIN]
    assert_drained(lane, 1)
