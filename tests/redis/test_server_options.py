"""``server_options``: what a server is started with, and what it reports."""

from __future__ import annotations

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.server_options import VALKEY_OPTIONS, eviction_policies


def test_a_server_reports_its_eviction_policy(client: Client, redis_settings: Settings) -> None:
    assert eviction_policies(client, redis_settings) == {VALKEY_OPTIONS["maxmemory-policy"]}
