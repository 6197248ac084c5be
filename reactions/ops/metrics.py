"""What Prometheus scrapes of the duties and the outbox, read from the stores at each scrape.

The stores have the totals of all workers, so nothing is lost by a fork, a restart or a pruned
record, and one exporter serves any number of processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

from kombu.exceptions import OperationalError
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from reactions.core.celery_app import make_publisher
from reactions.core.errors import ReactionsError, short
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.maintenance.compare import Kind
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns, Total
from reactions.postgres.ledger import Ledger
from reactions.postgres.queries import Queries
from reactions.redis.connection import Client, translated
from reactions.redis.memory_usage import MemoryUsage, nodes
from reactions.redis.outbox import Outbox

log = logging.getLogger(__name__)

COMPARING = ("reconcile-viral", "reconcile-hot", "reconcile-regular", "audit")
"""Duties whose findings are shown also while there is none: an increase needs a zero before it."""

LAG_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class StoresCollector(Collector):
    """Seven round trips for each node of Redis, six queries and a look at the broker a scrape."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._outbox = Outbox(client, settings)
        self._duties = DutyRuns(database)
        self._ledger = Ledger(database)
        self._queries = Queries(database)
        self._memory = MemoryUsage(client)
        self._client = client
        self._app = make_publisher(settings)
        self.failure: ReactionsError | None = None
        """Of the last store that failed in the last scrape."""

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; of a store that fails, those that it answered before.

        What the other one knows is wanted most while one is away.
        """
        stores: dict[str, tuple[Callable[[], Iterator[Metric]], ...]] = {
            "redis": (self._of_outbox, self._of_memory),
            "postgresql": (self._of_duties, self._of_posts, self._of_letters),
        }
        up = GaugeMetricFamily(
            "reactions_store_up",
            "Whether a store answered all that this scrape asked of it.",
            labels=["store"],
        )
        self.failure = None
        for store, parts in stores.items():
            try:
                for part in parts:
                    yield from part()
            except ReactionsError as error:
                log.warning("%s is not scraped: %s", store, short(str(error), 300))
                up.add_metric([store], 0)
                self.failure = error
            else:
                up.add_metric([store], 1)
        yield from self._of_queues()
        yield up

    def _of_duties(self) -> Iterator[Metric]:
        labels = ["duty"]
        succeeded = GaugeMetricFamily(
            "reactions_duty_last_success_timestamp_seconds",
            "When a duty of Beat last ended well.",
            labels=labels,
        )
        ended = CounterMetricFamily(
            "reactions_duty_runs", "Runs of a duty, by how they ended.", labels=["duty", "outcome"]
        )
        seconds = CounterMetricFamily(
            "reactions_duty_seconds", "Time that runs which ended well took.", labels=labels
        )
        looked_at = CounterMetricFamily(
            "reactions_duty_looked_at", "Posts, rows or shards looked at.", labels=labels
        )
        found = CounterMetricFamily(
            "reactions_duty_found", "Differences found, by kind.", labels=["duty", "kind"]
        )
        repaired = CounterMetricFamily(
            "reactions_duty_repaired", "Differences repaired.", labels=labels
        )
        totals = {duty: Total(duty, 0, 0, None, 0, 0, 0.0) for duty in COMPARING}
        totals |= {total.duty: total for total in self._duties.totals()}
        for total in totals.values():
            name = [total.duty]
            if total.succeeded_at is not None:
                succeeded.add_metric(name, total.succeeded_at.timestamp())
            ended.add_metric([total.duty, "ok"], total.runs)
            ended.add_metric([total.duty, "failed"], total.failures)
            seconds.add_metric(name, total.seconds)
            looked_at.add_metric(name, total.looked_at)
            repaired.add_metric(name, total.repaired)
            kinds = dict.fromkeys(map(str, Kind), 0) if total.duty in COMPARING else {}
            for kind, number in (kinds | total.kinds).items():
                found.add_metric([total.duty, kind], number)
        yield from (succeeded, ended, seconds, looked_at, found, repaired)

    def _of_posts(self) -> Iterator[Metric]:
        posts = GaugeMetricFamily("reactions_posts", "Posts by tier.", labels=["tier"])
        found = self._queries.tiers()
        for tier in PostTier:
            posts.add_metric([tier.name.lower()], found.get(tier, 0))
        yield posts

    def _of_letters(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "reactions_dead_letters",
            "Changes that PostgreSQL refused.",
            value=self._ledger.count_dead_letters(),
        )

    def _of_memory(self) -> Iterator[Metric]:
        shards = GaugeMetricFamily(
            "reactions_shard_memory_bytes",
            "Memory of Redis that a shard takes, estimated from a sample of its keys.",
            labels=["shard"],
        )
        for shard, size in enumerate(self._memory.by_shard()):
            shards.add_metric([str(shard)], size)
        used = GaugeMetricFamily(
            "reactions_redis_used_bytes", "Memory that a node of Redis uses.", labels=["node"]
        )
        limit = GaugeMetricFamily(
            "reactions_redis_limit_bytes",
            "Its maxmemory; where there is none, the memory of its machine.",
            labels=["node"],
        )
        with translated():
            for name, node in nodes(self._client):
                info = node.info("memory")
                used.add_metric([name], info["used_memory"])
                limit.add_metric([name], info["maxmemory"] or info.get("total_system_memory", 0))
        yield from (shards, used, limit)

    def _of_queues(self) -> Iterator[Metric]:
        """What waits in the broker; nothing where it does not answer, so that the rest is seen."""
        waiting = GaugeMetricFamily(
            "reactions_queue_messages", "Messages that wait in a queue.", labels=["queue"]
        )
        with suppress(OperationalError), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            for queue in self._app.conf.task_queues:
                declared = queue(connection.default_channel).queue_declare()
                waiting.add_metric([queue.name], declared.message_count)
        yield waiting

    def _of_outbox(self) -> Iterator[Metric]:
        dirty = GaugeMetricFamily(
            "reactions_dirty_posts", "Posts with changes not durable yet.", labels=["shard"]
        )
        oldest = GaugeMetricFamily(
            "reactions_oldest_change_seconds",
            "Age of the oldest change that is not durable.",
            labels=["shard"],
        )
        for state in self._outbox.states():
            dirty.add_metric([str(state.shard)], state.dirty_posts)
            oldest.add_metric([str(state.shard)], state.oldest_age_s)
        yield from (dirty, oldest)
        lags = self._outbox.lags()
        within = [
            (str(float(bound)), sum(n for us, n in lags.items() if us <= bound * 1e6))
            for bound in LAG_BOUNDS_S
        ]
        # No sum is kept, so there is none; the formats allow for that.
        yield HistogramMetricFamily(
            "reactions_lag_seconds",
            "From react() to the commit in PostgreSQL.",
            buckets=[*within, ("+Inf", sum(lags.values()))],
            sum_value=None,
        )
