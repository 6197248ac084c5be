"""The Celery application, and the objects that the tasks of one worker process share."""

from __future__ import annotations

import gc
import logging
import sys
from functools import cache
from typing import Any

from celery import signals
from kombu.transport import TRANSPORT_ALIASES

from reactions.core.celery_app import make_app, schedule_url
from reactions.core.constants import DEFAULT_SPACE
from reactions.core.errors import (
    InvalidSettings,
    LayoutMismatch,
    ReactionsError,
    TypesMismatch,
)
from reactions.core.logs import as_json
from reactions.core.settings import Settings
from reactions.core.type_registry import vocabulary
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.persister import Persister
from reactions.drain.user_loader import UserLoader
from reactions.maintenance.audit import CountAudit
from reactions.maintenance.cleanup import Cleanup
from reactions.maintenance.erase import Eraser
from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from reactions.maintenance.reconcile import Reconcile
from reactions.maintenance.refresh import RefreshSamples
from reactions.maintenance.virality import ReleaseCalmPosts
from reactions.postgres import layout as postgres_layout
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.queries import Queries
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis import layout as redis_layout
from reactions.redis.beat_store import place_schedule
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import Client, connect
from reactions.redis.outbox import Outbox
from reactions.redis.outbox_state import OutboxState
from reactions.redis.server_options import eviction_policies
from reactions.redis.user_cache import UserCache

log = logging.getLogger(__name__)

settings = Settings.from_env()
app = make_app(settings)
place_schedule(app, schedule_url(settings))
app.conf.worker_consumer = "reactions.tasks.message_filter:Consumer"
TRANSPORT_ALIASES.update(
    dict.fromkeys(("redis", "rediss"), "reactions.tasks.message_filter:Transport")
    | {"sentinel": "reactions.tasks.message_filter:SentinelTransport"}
)


class Worker:
    """The objects that the tasks of one space work with. None connects before its first use."""

    def __init__(self, space: str = DEFAULT_SPACE) -> None:
        """Make the objects of a space. Those of other spaces use the same connections.

        Raises:
            InvalidArgument: there is no such space.
        """
        self.settings = own = settings.of_space(space)
        client, database = self.client, self.database = _connections()
        if space != DEFAULT_SPACE:
            self.database = database = database.of_space(own)
        stores = client, database, own
        self.outbox = Outbox(client, own)
        self.outbox_state = OutboxState(client, own)
        self.duties = DutyRuns(database)
        self.persister = Persister(*stores)
        for_caches = Queries(database.for_caches())
        self.loader = CacheLoader(CacheInstall(client, own), for_caches, own)
        self.user_loader = UserLoader(client, UserCache(client, own), for_caches)
        self.eraser = Eraser(*stores)
        self.loss_detection = LossDetection(*stores)
        self.rebuild = Rebuild(*stores)
        self.reconcile = Reconcile(*stores)
        self.audit = CountAudit(*stores)
        self.refresh = RefreshSamples(*stores)
        self.virality = ReleaseCalmPosts(*stores)
        self.cleanup = Cleanup(*stores)


@cache
def _connections() -> tuple[Client, Database]:
    """The connections of this process, which all spaces share."""
    return connect(settings), Database(settings, name="reactions-worker")


def worker(space: str = DEFAULT_SPACE) -> Worker:
    """The objects of this process for a space, made at the first call.

    Raises:
        InvalidArgument: there is no such space.
    """
    if type(space) is not str:  # a forged message may have anything
        settings.of_space(space)
    return _worker(space)


@cache
def _worker(space: str) -> Worker:
    return Worker(space)


@signals.worker_init.connect
@signals.beat_init.connect
def _check_stores(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Refuse to start with a URL that cannot be used, or with stores that do not fit.

    Their layout may be of another version, or their reaction types may contradict the settings.
    Celery logs what a receiver of its signals raises, and goes on.
    """
    for check in (_check_redis, _check_database):
        try:
            check()
        except (InvalidSettings, LayoutMismatch, TypesMismatch) as error:
            sys.exit(f"reactions: {error}")
        except ReactionsError as error:  # the first drain checks types again, before it writes
            log.warning("layout and reaction types not checked: %s", error)


def _check_redis() -> None:
    with connect(settings) as client:
        redis_layout.check_layout(client)


def _check_database() -> None:
    database = Database(settings, name="reactions-start")
    try:
        for of_space in settings.each_space():
            _check_tables(database, of_space)
    finally:
        database.close()


def _check_tables(database: Database, of_space: Settings) -> None:
    own = database.of_space(of_space)
    try:
        postgres_layout.check_layout(own)
        vocabulary(of_space, TypeRegistry(own).all())
    except (LayoutMismatch, TypesMismatch) as error:
        if of_space is settings:
            raise
        sys.exit(f"reactions: in the space {of_space.space}: {error}")


@signals.worker_process_init.connect
def _after_fork(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Forget the objects of the parent: two processes must not share a connection."""
    _worker.cache_clear()
    _connections.cache_clear()
    gc.freeze()  # modules live for ever: a full collection would walk over all of them


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _log_json(logger: logging.Logger, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    if settings.log_json:
        as_json(logger)


@signals.worker_ready.connect
def _check_eviction(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Log at level CRITICAL when Redis may evict the outbox."""
    try:
        policies = eviction_policies(worker().client, settings)
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
