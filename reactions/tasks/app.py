"""The Celery application with its beat schedule, and what each worker process works with."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from celery import signals
from kombu.transport import TRANSPORT_ALIASES

from reactions.core.celery_app import make_app
from reactions.core.logs import as_json
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.persister import Persister
from reactions.maintenance.erase import Eraser
from reactions.maintenance.reconcile import Patrol
from reactions.maintenance.recovery import Recovery
from reactions.maintenance.virality import Virality
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client, connect
from reactions.redis.outbox import Outbox
from reactions.redis.outbox_state import OutboxState
from reactions.redis.server_options import eviction_policies

log = logging.getLogger(__name__)

settings = Settings.from_env()
app = make_app(settings)
app.conf.worker_consumer = "reactions.tasks.message_filter:Consumer"
TRANSPORT_ALIASES.update(
    dict.fromkeys(("redis", "rediss"), "reactions.tasks.message_filter:Transport")
)


@cache
def client() -> Client:
    """One for each worker process: made on first use, so never shared across a fork."""
    return connect(settings)


@cache
def database() -> Database:
    """One for each worker process."""
    return Database(settings, name="reactions-worker")


@cache
def outbox() -> Outbox:
    """One for each worker process."""
    return Outbox(client(), settings)


@cache
def outbox_state() -> OutboxState:
    """One for each worker process."""
    return OutboxState(client(), settings)


@cache
def persister() -> Persister:
    """One for each worker process."""
    return Persister(client(), database(), settings)


@cache
def loader() -> CacheLoader:
    """One for each worker process."""
    return CacheLoader(CacheInstall(client(), settings), Queries(database()), settings)


@cache
def eraser() -> Eraser:
    """One for each worker process."""
    return Eraser(client(), database(), settings)


@cache
def duties() -> DutyRuns:
    """One for each worker process."""
    return DutyRuns(database())


@cache
def patrol() -> Patrol:
    """One for each worker process."""
    return Patrol(client(), database(), settings)


@cache
def recovery() -> Recovery:
    """One for each worker process."""
    return Recovery(client(), database(), settings)


@cache
def virality() -> Virality:
    """One for each worker process."""
    return Virality(client(), database(), settings)


@signals.worker_process_init.connect
def _fresh(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    for made in _PER_PROCESS:
        made.cache_clear()


_PER_PROCESS = (
    client,
    database,
    outbox,
    outbox_state,
    persister,
    loader,
    eraser,
    duties,
    patrol,
    recovery,
    virality,
)


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _log_json(logger: logging.Logger, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    if settings.log_json:
        as_json(logger)


@signals.worker_ready.connect
def _check_eviction(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """The outbox must never be evicted; say so loudly where it could be."""
    try:
        policies = eviction_policies(client(), settings)
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
