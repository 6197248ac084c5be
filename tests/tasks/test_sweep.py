"""The task `sweep`: which shards it finds, and through which queue it sends them."""

from __future__ import annotations

from datetime import timedelta

from reactions.core.constants import shard_of
from reactions.redis.keys import default_keys as keys
from tests.support.waiting import wait_until
from tests.tasks.lane import Lane, Tasks
from tests.tasks.steps import POST, age, assert_drained, claim, react, rows


def test_the_sweep_enqueues_exactly_the_overdue_shards(lane: Lane) -> None:
    for post, seconds in [(1001, 61), (1002, 299), (1003, 299), (1004, 30)]:
        react(lane, 7, post_id=post)
        age(lane, post, seconds)  # the last one is recent: a drain takes it because it was woken
    claim(lane, 3)  # overdue, but a drain holds it
    assert lane.run(task="reactions.sweep").state == "SUCCESS"
    wait_until(lane.drains, what="what the sweep sent")
    lane.settle()
    assert [run.kwargs for run in lane.drains()] == [{"shards": [1, 2], "force": True}]
    assert [rows(lane, post) for post in (1001, 1002, 1003, 1004)] == [{7: 1}, {7: 1}, {}, {7: 1}]


def test_the_sweep_drains_shards_whose_wake_up_was_lost(lane: Lane) -> None:
    """Such a shard is drained by its age alone, and not before."""
    for post, seconds in [(1001, 61), (1002, 30)]:
        react(lane, 7, post_id=post)
        age(lane, post, seconds)
        lane.engine.client.delete(keys.outbox_wake(shard_of(post)))
    lane.run(task="reactions.sweep")
    wait_until(lane.drains, what="what the sweep sent")
    lane.settle()
    assert [rows(lane, post) for post in (1001, 1002)] == [{7: 1}, {}]


def test_beat_is_told_to_sweep_and_drops_a_sweep_that_comes_late(tasks: Tasks) -> None:
    interval = timedelta(seconds=tasks.settings.sweep_interval_s)
    entry = tasks.celery.conf.beat_schedule["sweep"]
    assert (entry["task"], entry["schedule"]) == (tasks.sweep.sweep.name, interval)
    # A sweep outlives a drain that keeps all workers busy, but does not wait for ever.
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


def test_what_does_not_get_through_the_queue_of_durability_goes_the_other_way(lane: Lane) -> None:
    """A fault run found this. When messages of the full queue expired, the claim of a dead drain
    stayed for ever on a shard without new reactions."""
    for post, seconds in [(1001, 299), (1002, 301)]:
        react(lane, 7, post_id=post)
        age(lane, post, seconds)
    assert lane.run(task="reactions.sweep").queue == "maintenance"
    wait_until(lambda: len(lane.drains()) >= 2, what="what the sweep sent")
    lane.settle()
    sent = {(run.queue, *run.kwargs["shards"]) for run in lane.drains()}
    assert sent == {("persistence", 1), ("maintenance", 2)}
