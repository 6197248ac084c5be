"""Metrics that Prometheus scrapes from the stores: duties, posts, outbox, memory, queues.

Each scrape reads the stores. They hold the totals of all workers, so a fork, a restart or a deleted
record loses nothing, and one exporter is enough for any number of processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from redis import Redis

from reactions.core.celery_app import make_publisher
from reactions.core.errors import ReactionsError, short
from reactions.core.model import PostTier
from reactions.core.rabbitmq import count_messages
from reactions.core.settings import Settings
from reactions.maintenance.compare import Kind
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.duty_runs import DutyRuns, Total
from reactions.postgres.posts import Posts
from reactions.postgres.server_role import ServerRole, server_role
from reactions.redis.connection import FAILURES, Client, translate
from reactions.redis.connection_pool import condemn
from reactions.redis.memory_usage import MemoryUsage, nodes
from reactions.redis.outbox_state import OutboxState

log = logging.getLogger(__name__)

COMPARING = ("reconcile-viral", "reconcile-hot", "reconcile-regular", "audit")
"""Duties whose series start at 0: `increase()` misses a series that begins at 1."""

LAG_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the lag histogram, in seconds."""


class _Space:
    """What the metrics of one space are read from."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        own = database.of_space(settings)
        self.name = settings.space
        self.outbox_state = OutboxState(client, settings)
        self.duties = DutyRuns(own)
        self.dead_letters = DeadLetters(own)
        self.posts = Posts(own)


class StoresCollector(Collector):
    """Collects the metrics of both stores and of the broker, with those of every space.

    A scrape takes eight round trips for each node of Redis, seven queries to PostgreSQL, and one
    connection to the broker; for each further space, three round trips and five queries more.
    """

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._spaces = [_Space(client, database, own) for own in settings.each_space()]
        self._database = database
        self._memory = MemoryUsage(client)
        self._client = client
        self._app = make_publisher(settings)
        self.failure: ReactionsError | None = None
        """The error of a store that failed in the last scrape; None if both stores answered."""

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering this collector does not scrape the stores."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all families; for a store that fails, those that it answered before the failure.

        While one store is away, an operator needs the metrics of the other one most.
        """
        stores: dict[str, tuple[Callable[[], Iterator[Metric]], ...]] = {
            "redis": (
                self._outbox_families,
                self._lag_families,
                self._node_families,
                self._memory_families,
            ),
            "postgresql": (
                self._role_families,
                self._duty_families,
                self._post_families,
                self._dead_letter_families,
            ),
        }
        up = _gauge(
            "reactions_store_up", "1 if the store answered every read of this scrape.", "store"
        )
        self.failure = None
        for store, parts in stores.items():
            failed = 0
            for part in parts:
                try:
                    yield from part()
                except ReactionsError as error:
                    log.warning("%s is not scraped: %s", store, short(str(error), 300))
                    failed += 1
                    self.failure = error
                    if store == "postgresql" or isinstance(self._client, Redis):
                        break  # the other parts would wait for the same server
            up.add_metric([store], int(not failed))
        yield from self._queue_families()
        yield up

    def _role_families(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "reactions_postgresql_primary",
            "1 if PostgreSQL takes writes, 0 if it is a standby or read-only.",
            value=float(server_role(self._database) is ServerRole.PRIMARY),
        )

    def _duty_families(self) -> Iterator[Metric]:
        succeeded = _gauge(
            "reactions_duty_last_success_timestamp_seconds",
            "Time of the last successful run of a duty.",
            *("duty", "space"),
        )
        ended = _counter(
            "reactions_duty_runs", "Runs of a duty, by outcome.", "duty", "outcome", "space"
        )
        seconds = _counter(
            "reactions_duty_seconds", "Time that successful runs took.", "duty", "space"
        )
        looked_at = _counter(
            "reactions_duty_looked_at",
            "Posts, rows or shards that a duty examined.",
            *("duty", "space"),
        )
        found = _counter(
            "reactions_duty_found",
            "Differences that a duty found, by kind.",
            *("duty", "kind", "space"),
        )
        repaired = _counter(
            "reactions_duty_repaired", "Differences that a duty repaired.", "duty", "space"
        )
        for space in self._spaces:
            for duty, total in _totals(space.duties).items():
                if total.succeeded_at is not None:
                    succeeded.add_metric([duty, space.name], total.succeeded_at.timestamp())
                ended.add_metric([duty, "ok", space.name], total.runs)
                ended.add_metric([duty, "failed", space.name], total.failures)
                seconds.add_metric([duty, space.name], total.seconds)
                looked_at.add_metric([duty, space.name], total.looked_at)
                repaired.add_metric([duty, space.name], total.repaired)
                kinds = dict.fromkeys(map(str, Kind), 0) if duty in COMPARING else {}
                for kind, number in (kinds | total.kinds).items():
                    found.add_metric([duty, kind, space.name], number)
        yield from (succeeded, ended, seconds, looked_at, found, repaired)

    def _post_families(self) -> Iterator[Metric]:
        posts = _gauge("reactions_posts", "Posts by tier.", "tier", "space")
        for space in self._spaces:
            found = space.posts.count_by_tier()
            for tier in PostTier:
                posts.add_metric([tier.name.lower(), space.name], found.get(tier, 0))
        yield posts

    def _dead_letter_families(self) -> Iterator[Metric]:
        refused = _gauge("reactions_dead_letters", "Changes that PostgreSQL refused.", "space")
        for space in self._spaces:
            refused.add_metric([space.name], space.dead_letters.count())
        yield refused

    def _memory_families(self) -> Iterator[Metric]:
        shards = _gauge(
            "reactions_shard_memory_bytes",
            "Memory that a shard takes in Redis, estimated from a sample of its keys.",
            "shard",
        )
        for shard, size in enumerate(self._memory.by_shard()):
            shards.add_metric([str(shard)], size)
        yield shards

    def _node_families(self) -> Iterator[Metric]:
        """What each node says of itself; those that answer come before the failure of others."""
        used = _gauge("reactions_redis_used_bytes", "Memory that a Redis node uses.", "node")
        primary = _gauge(
            "reactions_redis_primary", "1 if a Redis node is a primary, 0 if a replica.", "node"
        )
        limit = _gauge(
            "reactions_redis_limit_bytes",
            "The maxmemory of a Redis node; if it has none, the memory of its machine.",
            "node",
        )
        failure: Exception | None = None
        for name, node in nodes(self._client):
            try:
                role, info = node.info("replication")["role"], node.info("memory")
            except FAILURES as error:
                failure = error
                continue
            primary.add_metric([name], float(role == "master"))
            if role != "master":  # the next scrape asks the server that the address names then
                condemn(node.connection_pool)
            used.add_metric([name], info["used_memory"])
            limit.add_metric([name], info["maxmemory"] or info.get("total_system_memory", 0))
        yield from (used, limit, primary)
        if failure is not None:
            raise translate(failure) from failure

    def _queue_families(self) -> Iterator[Metric]:
        """Queue lengths; no samples if the broker does not answer, so that the scrape goes on."""
        waiting = _gauge("reactions_queue_messages", "Messages waiting in a queue.", "queue")
        # Each transport has errors of its own.
        with suppress(Exception), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            for queue in self._app.conf.task_queues:
                waiting.add_metric([queue.name], count_messages(connection, queue))
        yield waiting

    def _outbox_families(self) -> Iterator[Metric]:
        dirty = _gauge(
            "reactions_dirty_posts",
            "Posts with changes that are not durable yet.",
            "shard",
            "space",
        )
        oldest = _gauge(
            "reactions_oldest_change_seconds",
            "Age of the oldest change that is not durable.",
            *("shard", "space"),
        )
        for space in self._spaces:
            for state in space.outbox_state.reachable():
                dirty.add_metric([str(state.shard), space.name], state.dirty_posts)
                oldest.add_metric([str(state.shard), space.name], state.oldest_age_s)
        yield from (dirty, oldest)

    def _lag_families(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "reactions_lag_seconds",
            "Time from react() to the commit in PostgreSQL.",
            labels=["space"],
        )
        for space in self._spaces:
            lags = space.outbox_state.lags()
            buckets = [
                (str(float(bound)), sum(n for us, n in lags.items() if us <= bound * 1e6))
                for bound in LAG_BOUNDS_S
            ]
            # The outbox keeps no sum; the exposition formats allow a histogram without one.
            family.add_metric(
                [space.name], buckets=[*buckets, ("+Inf", sum(lags.values()))], sum_value=None
            )
        yield family


def _totals(duties: DutyRuns) -> dict[str, Total]:
    """Return the totals of each duty; those that compare are there before their first run."""
    return {duty: Total(duty, 0, 0, None, 0, 0, 0.0) for duty in COMPARING} | {
        total.duty: total for total in duties.totals()
    }


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=labels)


def _counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, about, labels=labels)
