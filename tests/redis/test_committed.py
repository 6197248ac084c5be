"""``Committed``: which transactions of PostgreSQL a standby must have."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.redis.committed import Committed, parse_committed
from reactions.redis.keys import default_keys as keys


@pytest.mark.parametrize("cluster", [False, True])
def test_one_missing_note_makes_all_unknown(redis_url: str, cluster: bool) -> None:
    with Redis.from_url(redis_url) as client:
        notes = Committed(client, Settings(redis_cluster=cluster))
        assert notes.of_all_shards() == []
        client.set(keys.outbox_committed(7), 30)
        notes.note_missing(20)
        assert notes.of_all_shards() == [20, 30]
        notes.note_missing(40)
        assert notes.of_all_shards() == [20, 30]
        notes.forget(range(SHARDS - 1))
        assert notes.of_all_shards() == []


@pytest.mark.parametrize("found", [[b"1", None], [b"x"], [b""], [b"-1"], [b"9" * 20]])
def test_what_is_no_transaction_is_not_known(found: list[bytes | None]) -> None:
    assert parse_committed(found) == []
    assert parse_committed([b"2", b"1", b"2"]) == [1, 2]
