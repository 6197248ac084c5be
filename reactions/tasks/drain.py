"""The drain task: make what is pending in some shards durable."""

from __future__ import annotations

import contextlib
import random
from typing import Any

from reactions.broker import DRAIN
from reactions.errors import InvalidArgument
from reactions.persist import DrainFailed
from reactions.settings import SHARDS
from reactions.tasks.app import app, outbox, persister, settings

TOKEN = 16
"""Characters of a token; a longer one would be sent on with each retry."""


@app.task(name=DRAIN, bind=True, max_retries=None)
def drain(
    self: Any,  # noqa: ANN401 - Celery's task has no type
    shards: list[int],
    tokens: dict[str, str] | None = None,
) -> None:
    """Drain these shards; on a failure keep them, and try again with growing, jittered delays.

    Idempotent, and harmless twice, late or forged: the lease decides who may, the versions what
    counts.
    """
    shards = _check_shards(shards)
    held = _check_tokens(tokens or {})
    try:
        done = persister().drain(shards, held)
    except DrainFailed as failure:
        delay = retry_delay(self.request.retries)
        _keep(failure.tokens, delay)
        raise self.retry(
            kwargs={"shards": list(failure.tokens), "tokens": failure.tokens},
            countdown=delay,
            exc=failure,
        ) from failure
    if done.leftover:
        drain.delay(shards=done.leftover)


def retry_delay(retries: int) -> float:
    """Seconds before the next try: doubling up to the cap, half of it random."""
    # A forged header may say anything.
    doublings = min(retries, 30) if type(retries) is int and retries >= 0 else 30
    longest = min(settings.retry_cap_s, settings.retry_base_s * 2**doublings)
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for secrecy


def _keep(tokens: dict[int, str], delay: float) -> None:
    """Hold the leases until the next try, so that nobody else runs into the same wall."""
    with contextlib.suppress(Exception):  # Redis may be the wall; then the leases just lapse
        outbox().hold({shard: token for shard, token in tokens.items() if token}, delay)


def _check_shards(shards: object) -> list[int]:
    if not isinstance(shards, list) or not all(
        type(shard) is int and 0 <= shard < SHARDS for shard in shards
    ):
        raise InvalidArgument("shards", f"a list of integers from 0 to {SHARDS - 1}", shards)
    return list(dict.fromkeys(shards))


def _check_tokens(tokens: object) -> dict[int, str]:
    """JSON has no integer keys: the shards come as text."""
    shards = {str(shard): shard for shard in range(SHARDS)}
    if not isinstance(tokens, dict) or not all(
        shard in shards and type(token) is str and len(token) <= TOKEN and token.isascii()
        for shard, token in tokens.items()
    ):
        raise InvalidArgument("tokens", "an object of shard numbers and their tokens", tokens)
    return {shards[shard]: token for shard, token in tokens.items()}
