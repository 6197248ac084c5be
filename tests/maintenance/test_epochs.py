"""Epochs: what two of them say about a loss."""

from __future__ import annotations

import pytest

from reactions.maintenance.epochs import Loss, RedisEpoch, loss


@pytest.mark.parametrize(
    ("in_redis", "in_database", "what"),
    [
        (None, None, Loss.NONE),
        (RedisEpoch("a", 1), None, Loss.DATABASE),
        (RedisEpoch("a", 7), RedisEpoch("a", 5), Loss.DATABASE),
        (None, RedisEpoch("a", 5), Loss.EMPTY),
        (RedisEpoch("b", 0), RedisEpoch("a", 5), Loss.EMPTY),
        (RedisEpoch("b", 9), RedisEpoch("a", 5), Loss.OTHER),
        (RedisEpoch("a", 4), RedisEpoch("a", 5), Loss.OLDER),
        (RedisEpoch("a", 5, 0, "1-2"), RedisEpoch("a", 5, 0, "1-3"), Loss.DATABASE),
        (RedisEpoch("a", 5, 0, "1-2"), RedisEpoch("a", 5, 0, "1-2"), Loss.NONE),
        # Written before epochs had a place.
        (RedisEpoch("a", 5), RedisEpoch("a", 5, 0, "1-3"), Loss.NONE),
        (RedisEpoch("a", 5), RedisEpoch("a", 5), Loss.NONE),
        # A worker died after it wrote Redis and before it wrote PostgreSQL.
        (RedisEpoch("a", 6), RedisEpoch("a", 5), Loss.NONE),
    ],
)
def test_what_two_epochs_say(
    in_redis: RedisEpoch | None, in_database: RedisEpoch | None, what: Loss
) -> None:
    assert loss(in_redis, in_database) is what


@pytest.mark.parametrize("written", ["", "x", "a|b|c", "a|1", "\ufffd|1|2|3"])
def test_another_value_is_no_epoch(written: str) -> None:
    assert RedisEpoch.read(written) is None


def test_an_epoch_is_read_as_it_is_written() -> None:
    for epoch in (RedisEpoch("a", 1, 2), RedisEpoch("a", 1, 2, "1f-2e")):
        assert RedisEpoch.read(str(epoch)) == epoch
