"""How a script comes back that the server does not have, alone and in a pipeline."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis import scripts
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import Call, Command, Script, run_many
from reactions.redis.scripts import loading
from tests.lua.support import (
    POST,
)


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_every_script_comes_back_after_a_flush(redis: Redis, script: Script) -> None:
    """The first call sends the source: the server lost the script, or was restarted."""
    redis.script_flush()
    call = loading.fence(keys, POST, "t", 1000) if script is loading.FENCE else None
    if call is None:
        redis.script_load(script.source)
        assert redis.script_exists(script.sha) == [True]
        return
    assert call.run(redis) == 1
    redis.script_flush()
    assert run_many(redis, [call, call]) == [1, 1]


def test_commands_after_a_missing_script_are_sent_again(redis: Redis) -> None:
    """A read must read the cache of a user after the outbox, never before."""
    redis.script_flush()
    first, again = keys.post_rate(POST), keys.post_total_reactions(POST)
    fence: Call | Command = loading.fence(keys, POST, "t", 1000)
    calls = [Command(("INCR", first)), fence, Command(("INCR", again))]
    assert run_many(redis, calls) == [1, 1, 2]
    assert run_many(redis, calls) == [2, 1, 3]
