"""All kinds of faults."""

from __future__ import annotations

from functools import partial

from chaos import traps
from chaos.faults.broker import broker_demoted, broker_stopped, delivered_again, queue_lost
from chaos.faults.cluster import failover_planned, primary_killed, primary_paused, slot_moved
from chaos.faults.network import cut, forgotten
from chaos.faults.postgres import (
    backends_terminated,
    connections_refused,
    deadlocked,
    postgres_demoted,
    postgres_killed,
    table_locked,
)
from chaos.faults.processes import (
    any_worker,
    any_writer,
    child_killed,
    killed,
    one_or_both_beats,
    trapped,
    worker_frozen,
)
from chaos.faults.promotion import primary_lost, standby_killed, switched_over
from chaos.faults.rabbitmq import (
    rabbitmq_frozen,
    rabbitmq_killed,
    rabbitmq_node_killed,
    sent_twice,
)
from chaos.faults.redis import (
    caches_deleted,
    clock_stepped,
    memory_full,
    scripts_flushed,
    store_demoted,
    store_killed,
    store_paused,
)
from chaos.faults.sentinel import sentinel_killed, watched_failover, watched_primary_killed
from chaos.nemesis import Kind
from chaos.nodes import FAKETIME

KINDS: list[Kind] = [
    Kind("worker child killed", "worker", child_killed),
    Kind("worker killed", "worker", partial(killed, any_worker)),
    Kind("worker stopped beyond its lease", "worker", worker_frozen),
    *(
        Kind(f"worker killed {place}", "trap", partial(trapped, place, traps.KILL))
        for place in traps.PLACES
    ),
    *(
        Kind(f"worker stopped {place}", "trap", partial(trapped, place, traps.STOP))
        for place in traps.PLACES
    ),
    *(
        Kind(
            f"error of the driver: {error}",
            "trap",
            partial(trapped, traps.BEFORE_STATEMENT, error),
        )
        for error in traps.ERRORS
    ),
    Kind("beat killed", "beat", partial(killed, one_or_both_beats)),
    Kind("writer killed", "writer", partial(killed, any_writer)),
    Kind("broker stopped", "broker", broker_stopped),
    Kind("broker becomes a replica", "broker", broker_demoted),
    Kind("broker restarted, its queue lost", "broker", queue_lost),
    Kind("tasks delivered twice and late", "broker", delivered_again),
    Kind("backends terminated", "postgres", backends_terminated),
    Kind("PostgreSQL killed", "postgres", postgres_killed),
    Kind("PostgreSQL refuses connections", "postgres", connections_refused),
    Kind("PostgreSQL becomes read-only", "postgres", postgres_demoted),
    Kind("statements time out", "postgres", table_locked),
    Kind("deadlock", "postgres", deadlocked),
    Kind("Redis killed", "redis", store_killed),
    Kind("Redis becomes a replica", "redis", store_demoted),
    Kind("SCRIPT FLUSH", "redis", scripts_flushed),
    Kind("cache keys deleted", "redis", caches_deleted),
    Kind("Redis out of memory", "redis", memory_full),
    Kind("Redis stopped for seconds", "redis", store_paused),
    *([Kind("clock of Redis stepped", "redis", clock_stepped)] if FAKETIME else []),
    Kind("workers cut off from Redis", "network", partial(cut, "store")),
    Kind("workers cut off from PostgreSQL", "network", partial(cut, "postgres")),
    Kind("workers cut off from the broker", "network", partial(cut, "broker")),
    Kind("connections dropped in silence", "network", forgotten),
]
"""Those of the topology ``single``."""

_OF_ONE_SERVER = {store_killed, store_demoted, memory_full, store_paused, clock_stepped}

_OF_ANY: list[Kind] = [
    kind
    for kind in KINDS
    if kind.deed not in _OF_ONE_SERVER and kind.name != "workers cut off from Redis"
]

CLUSTER: list[Kind] = [
    *_OF_ANY,
    Kind("primary killed", "redis", primary_killed),
    Kind("primary stopped for seconds", "redis", primary_paused),
    Kind("planned failover", "redis", failover_planned),
    Kind("slot moved", "redis", slot_moved),
]

SENTINEL: list[Kind] = [
    *_OF_ANY,
    Kind("primary killed", "redis", watched_primary_killed),
    Kind("planned failover", "redis", watched_failover),
    Kind("Sentinel killed", "redis", sentinel_killed),
]

_OF_REDIS_BROKER = {broker_demoted, delivered_again}

RABBITMQ: list[Kind] = [
    *(kind for kind in KINDS if kind.deed not in _OF_REDIS_BROKER),
    Kind("RabbitMQ killed", "broker", rabbitmq_killed),
    Kind("RabbitMQ stopped for seconds", "broker", rabbitmq_frozen),
    Kind("drains sent twice", "broker", sent_twice),
]

POSTGRES: list[Kind] = [
    *(kind for kind in KINDS if kind.name != "workers cut off from PostgreSQL"),
    Kind("PostgreSQL killed, its standby promoted", "postgres", primary_lost),
    Kind("PostgreSQL switched over", "postgres", switched_over),
    Kind("standby of PostgreSQL killed", "postgres", standby_killed),
]

RABBITMQ_CLUSTER: list[Kind] = [
    *(kind for kind in RABBITMQ if kind.name != "workers cut off from the broker"),
    Kind("node of RabbitMQ killed", "broker", rabbitmq_node_killed),
]

KINDS_OF = {
    "single": KINDS,
    "cluster": CLUSTER,
    "sentinel": SENTINEL,
    "rabbitmq": RABBITMQ,
    "rabbitmq-cluster": RABBITMQ_CLUSTER,
    "postgres": POSTGRES,
}
"""Name of a topology -> its kinds of faults."""
