"""The baseline of a replay: the script of ``react()`` alone, called through redis-py."""

from __future__ import annotations

from collections.abc import Callable

from reactions.core.settings import Settings
from reactions.redis.connection import connect
from reactions.redis.scripts import writes

_KEYS = [f"scratch:{{0}}:{number}" for number in range(writes.REACT.keys)]


def bare_script(settings: Settings) -> Callable[[int], object]:
    """Return a call of the script on scratch keys, which `delete_scratch_keys` removes.

    The call takes a user id.
    """
    client = connect(settings)
    client.script_load(writes.REACT.source)

    def call(user_id: int) -> object:
        return client.evalsha(writes.REACT.sha, len(_KEYS), *_KEYS, user_id, 1, 1, 10_000_000)

    return call


def delete_scratch_keys(settings: Settings) -> None:
    """Delete the scratch keys of the baseline."""
    with connect(settings) as client:
        client.unlink(*_KEYS)
