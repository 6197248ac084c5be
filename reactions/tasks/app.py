"""The Celery application with its beat schedule, and what each worker process works with."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from celery import signals

from reactions.broker import make_app
from reactions.client import connect
from reactions.hot import Hot
from reactions.ledger import Ledger
from reactions.outbox import Outbox
from reactions.persist import Persister
from reactions.settings import Settings

log = logging.getLogger(__name__)

settings = Settings.from_env()
app = make_app(settings)


@cache
def outbox() -> Outbox:
    """One for each worker process: made on first use, so never shared across a fork."""
    return Outbox(connect(settings), settings)


@cache
def persister() -> Persister:
    """One for each worker process."""
    hot = Hot(connect(settings), settings)
    return Persister(outbox(), hot, Ledger(settings, name="reactions-worker"), settings)


@signals.worker_process_init.connect
def _fresh(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    outbox.cache_clear()
    persister.cache_clear()


@signals.worker_ready.connect
def _check_eviction(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """The outbox must never be evicted; say so loudly where it could be."""
    try:
        policies = outbox().eviction_policies()
    except Exception as error:  # noqa: BLE001 - a worker starts whether or not Redis is there yet
        log.warning("eviction policy not checked: %s", error)
        return
    for policy in policies:
        if policy != "noeviction" and not policy.startswith("volatile-"):
            log.critical(
                "Redis may evict reactions that are not in PostgreSQL yet: maxmemory-policy is %s. "
                "Run CONFIG SET maxmemory-policy volatile-lru (or noeviction).",
                policy,
            )
