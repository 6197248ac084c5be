"""``MemoryUsage``: the shares of the shards add up to the memory that holds data."""

from __future__ import annotations

import pytest

from reactions.redis.connection import Client
from reactions.redis.memory_usage import MemoryUsage, nodes


def test_an_empty_server_has_no_shares(client: Client) -> None:
    assert MemoryUsage(client).by_shard() == [0.0] * 100


def test_a_larger_shard_has_a_larger_share(client: Client) -> None:
    client.set("post:{1}:1:viral", "x" * 10_000)
    client.set("user:{2}:2:reactions", "x" * 30_000)
    client.set("foreign", "x" * 100_000)
    shares = MemoryUsage(client).by_shard()
    assert shares[2] / shares[1] == pytest.approx(3, rel=0.3)
    assert sum(shares) == pytest.approx(shares[1] + shares[2])
    held = client.info("memory")["used_memory_dataset"]
    assert sum(shares) == pytest.approx(held, rel=0.3)
    assert [name for name, _ in nodes(client)] == ["redis"]
