"""The servers that a demo starts."""

from __future__ import annotations

from redis import Redis

from reactions.demo.embedded import Valkey


def test_valkey_starts_with_the_recommended_options(valkey: Valkey) -> None:
    with Redis(port=valkey.port) as client:
        options = client.config_get()
    assert options["appendonly"] == "yes"
    assert options["maxmemory-policy"] == "volatile-lru"
    assert options["hash-max-listpack-entries"] == "512"
