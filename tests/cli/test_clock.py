"""``reactions clock``: which shards are ahead, and their repair."""

from __future__ import annotations

from reactions.redis.keys import default_keys as keys
from tests.cli.conftest import POST, Run, figures
from tests.support.engine import Engine


def test_a_shard_that_is_ahead_is_named_and_repaired(filled: Engine, run: Run) -> None:
    result = run("clock")
    assert (result.exit_code, result.stdout.strip()) == (
        0,
        "no shard is ahead of the clock of Redis",
    )
    now = int(filled.clock.now_us())
    filled.client.set(keys.outbox_clock(42), now + 3_600_000_000)
    filled.reactions.react(1, POST, "wow")
    filled.drain()
    result = run("clock", "--json")
    assert (result.exit_code, set(figures(result)["ahead_s"])) == (1, {"42"})
    assert "3,600 s" in result.stdout or "3,599 s" in result.stdout
    result = run("clock", "--repair", "--json")
    assert result.exit_code == 0, result.output
    assert figures(result) == {"shards": 1, "rows": 1, "pending": 0}
    assert run("clock").exit_code == 0
    version = filled.reactions.history(1).items[0].version
    assert version <= filled.clock.now_us()
