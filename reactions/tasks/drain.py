"""The task `drain`: write the pending changes of some shards to PostgreSQL."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from reactions.core.celery_app import DRAIN
from reactions.core.constants import DEFAULT_SPACE, SHARDS
from reactions.core.errors import InvalidArgument, short
from reactions.core.instruments import RETRIES
from reactions.core.logs import event
from reactions.core.rabbitmq import possible_delay
from reactions.core.tracing import span
from reactions.drain.batch import Drained, DrainFailed
from reactions.tasks.app import Worker, app, settings, worker
from reactions.tasks.spaces import space_of

log = logging.getLogger(__name__)

MAX_SHARDS = 50
"""Shards of one round of a drain, so that two workers can share what waits."""

PAUSE_S = 0.1
"""Rounds of a drain begin at least this far apart (s), unless the last one was full.

Changes gather meanwhile: a round of one change costs nearly as much as one of ten. At 1,000
reactions a second, rounds without a pause took 3.6 times the statements a reaction.
"""

PAUSES_S = 1.0
"""So long a drain goes on with pauses (s). Then it ends, so that other tasks have its place. The
wake-ups that nobody has answered by then lead to the next message."""

MAX_TOKEN = 16
"""Characters of a token. A longer, forged one would be sent again with each retry."""


@app.task(shared=False, name=DRAIN, bind=True, max_retries=None)
def drain(
    self: Any,  # noqa: ANN401 - Celery's task has no type
    shards: list[int],
    tokens: dict[str, str] | None = None,
    force: bool = False,
    space: str = DEFAULT_SPACE,
) -> None:
    """Drain every shard of a space that waits for a drain, at most ``MAX_SHARDS`` in a round.

    The message names shards that were woken. By the time a worker has it, another worker may have
    drained them, and other shards may wait. So a worker looks which shards wait now, and messages
    that arrive together cost the work of one. It looks again until nothing waits, or for a second
    while little waits. After a failure, the drain keeps its shards and is retried with growing,
    random delays. Safe when repeated, late or forged: the lease decides who may drain, and the
    versions decide which change counts.

    Args:
        shards: integers from 0 to 99.
        tokens: shard -> token of the lease that the failed try holds; only a retry sends it.
        force: drain the named shards even if nothing woke them; the sweep sends it.
        space: the space; messages of the default one leave it out.

    Raises:
        InvalidArgument: a forged argument, or there is no such space here.
        Retry: a store failed; Celery sends the message again.
    """
    shards = _check_shards(shards)
    held, forced = _check_tokens(tokens or {}), _check_force(force)
    wake, began = _wake(self.request), time.monotonic()
    own = worker(space)
    try:
        with span("reactions.drain", _carrier(self.request)) as at:
            at.note(wake=wake, shards=shards)
            named = shards if forced or held else []
            done = own.persister.drain(named, held, _finder(own))
            at.note(rows=done.rows, transactions=done.transactions)
    except DrainFailed as failure:
        if not failure.tokens:  # nothing is claimed: the sweep finds what waits, in two seconds
            event(log, logging.WARNING, "drain failed", wake=wake, reason=str(failure))
            return
        delay = possible_delay(app, retry_delay(self.request.retries))
        _keep(own, failure.tokens, delay)
        RETRIES.inc()
        event(log, logging.WARNING, "drain failed", wake=wake, shards=shards, reason=str(failure))
        raise self.retry(
            kwargs={"shards": list(failure.tokens), "tokens": failure.tokens, **space_of(own)},
            countdown=delay,
            exc=failure,
        ) from failure
    _log_drained(done, wake, shards, time.monotonic() - began)
    if done.leftover:
        drain.delay(shards=done.leftover, force=True, **space_of(own))


def _finder(own: Worker) -> Callable[[], list[int]]:
    """Return a function that finds the shards for the next round, after a pause if that helps."""
    began, full = -math.inf, False
    end = time.monotonic() + PAUSES_S

    def find() -> list[int]:
        nonlocal began, full
        rest = began + PAUSE_S - time.monotonic()
        if rest > 0 and not full:
            if time.monotonic() + rest > end:
                return []
            time.sleep(rest)
        began = time.monotonic()
        found = own.outbox_state.woken(MAX_SHARDS)
        full = len(found) == MAX_SHARDS
        return found

    return find


def _log_drained(done: Drained, wake: str, shards: list[int], seconds: float) -> None:
    event(
        log,
        logging.INFO if done.rows or done.refused else logging.DEBUG,
        "drained",
        wake=wake,
        shards=shards,
        rows=done.rows,
        changed=done.changed,
        refused=done.refused,
        transactions=done.transactions,
        seconds=round(seconds, 3),
    )


def _wake(request: Any) -> str:  # noqa: ANN401 - Celery's
    """The id of the wake-up that led to this drain, directly or through retries."""
    return short(str(request.root_id or request.id))  # a forged id may have any type


def _carrier(request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - Celery's
    found = request.headers
    return found if isinstance(found, dict) else {}


def retry_delay(retries: int) -> float:
    """Seconds before the next try: they double up to the cap, and half of them is random."""
    # A forged header may have any type.
    doublings = min(retries, 30) if type(retries) is int and retries >= 0 else 30
    longest = min(settings.retry_cap_s, settings.retry_base_s * 2**doublings)
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for secrecy


def _keep(own: Worker, tokens: dict[int, str], delay: float) -> None:
    """Extend the leases until the next try, so that no other drain meets the same failure."""
    with contextlib.suppress(Exception):  # when Redis is what failed, the leases just lapse
        own.outbox.extend_leases({shard: token for shard, token in tokens.items() if token}, delay)


def _check_shards(shards: object) -> list[int]:
    if not isinstance(shards, list) or not all(
        type(shard) is int and 0 <= shard < SHARDS for shard in shards
    ):
        raise InvalidArgument("shards", f"a list of integers from 0 to {SHARDS - 1}", shards)
    return list(dict.fromkeys(shards))


def _check_force(force: object) -> bool:
    if type(force) is not bool:
        raise InvalidArgument("force", "true or false", force)
    return force


def _check_tokens(tokens: object) -> dict[int, str]:
    """Check the tokens. JSON has no integer keys, so the shards come as text."""
    shards = {str(shard): shard for shard in range(SHARDS)}
    if not isinstance(tokens, dict) or not all(
        shard in shards and type(token) is str and len(token) <= MAX_TOKEN and token.isascii()
        for shard, token in tokens.items()
    ):
        raise InvalidArgument("tokens", "an object of shard numbers and their tokens", tokens)
    return {shards[shard]: token for shard, token in tokens.items()}
