"""``reactions doctor --only beat``: the health check of beat, with the address of its lock alone.

tests/tasks has the same check at work with Sentinels, and with RabbitMQ beside a cluster.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from reactions.cli.main import main
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection import connect

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def healthy(settings: Settings) -> bool:
    env = settings.environment()
    result = CliRunner().invoke(main, ["doctor", "--only", "beat", "--json"], env=env)
    answer = json.loads(result.stdout.splitlines()[-1])
    assert [finding["check"] for finding in answer["findings"]] == ["beat"]
    assert result.exit_code == (0 if answer["healthy"] else 1)
    return bool(answer["healthy"])


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_it_looks_where_beat_has_its_lock(valkey: Valkey, broker: str) -> None:
    """That is the broker or, if RabbitMQ is, the Redis of the data. No other server answers."""
    store = f"redis://127.0.0.1:{valkey.port}/1"
    urls = (
        {"broker_url": store, "redis_url": "redis://127.0.0.1:1/0"}
        if broker == "redis"
        else {"broker_url": "amqp://127.0.0.1:1//", "redis_url": store}
    )
    settings = Settings(database_url=NOWHERE, **urls)
    with connect(Settings(redis_url=store)) as client:
        client.delete("redbeat::lock")
        assert not healthy(settings)
        client.set("redbeat::lock", "a beat", ex=10)
        assert healthy(settings)
        client.delete("redbeat::lock")
