"""``ShardTimes``: a time for each shard, in few bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.constants import SHARDS
from reactions.core.shard_times import ROUNDED_US, ShardTimes

NOW = 1_700_000_000_000_000

moments = st.sampled_from([NOW, NOW + ROUNDED_US - 1, NOW + ROUNDED_US]) | st.integers(1, 2**53)
every_shard = st.lists(moments, min_size=SHARDS, max_size=SHARDS)


@given(every_shard)
def test_a_time_is_rounded_up_by_less_than_a_tenth_of_a_second(times: list[int]) -> None:
    gathered = ShardTimes.gather(times)
    for shard, time in enumerate(times):
        assert time <= gathered.of(shard) < time + ROUNDED_US
    assert gathered.highest == max(times)


@given(every_shard)
def test_what_was_written_is_read_again(times: list[int]) -> None:
    gathered = ShardTimes.gather(times)
    assert ShardTimes.read(str(gathered)) == gathered


def test_one_shard_that_is_ahead_takes_a_few_bytes() -> None:
    hour = 3_600_000_000
    times = [NOW + shard for shard in range(SHARDS)]
    times[42] += hour
    assert str(ShardTimes.gather(times)) == f"{NOW + 99}+42:{NOW + 42 + hour}"


@pytest.mark.parametrize("written", ["", "0"])
def test_no_times(written: str) -> None:
    none = ShardTimes.read(written)
    assert not none
    assert (none, none.of(42), none.highest) == (ShardTimes(), 0, 0)
    assert ShardTimes(NOW)
