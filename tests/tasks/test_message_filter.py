"""Messages that are not tasks of this library are dropped, and the worker lives."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable

import pytest
from celery.exceptions import QueueNotFound

from reactions.core.celery_app import DRAIN
from tests.support.waiting import wait_until
from tests.tasks.lane import Lane, Tasks
from tests.tasks.steps import SHARD, assert_drained, react


def test_a_queue_that_does_not_exist_is_an_error(tasks: Tasks) -> None:
    with pytest.raises(QueueNotFound):
        tasks.celery.send_task(DRAIN, [[SHARD]], queue="persistance")


class Exploit:
    """Creates a file when it is unpickled."""

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
    lane.run([SHARD])  # the worker still runs
    assert_drained(lane, 1)


def test_a_message_of_an_unknown_task_is_dropped(lane: Lane) -> None:
    react(lane, 1)
    lane.send(task="os.system", queue="persistence")
    lane.run([SHARD])
    lane.settle()
    assert [run.task for run in lane.runs] == [DRAIN]
    assert_drained(lane, 1)
