"""The constants that both stores share."""

from __future__ import annotations

import pytest

from reactions.core.constants import MAX_ID, shard_of


@pytest.mark.parametrize(("post_id", "shard"), [(1042, 42), (1, 1), (100, 0), (MAX_ID, 7)])
def test_the_shard_is_the_id_modulo_100(post_id: int, shard: int) -> None:
    assert shard_of(post_id) == shard
