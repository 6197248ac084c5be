"""Makes the client of a cluster. One node that answers is enough to begin."""

from __future__ import annotations

from redis import RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from reactions.core.urls import divide
from reactions.redis.connection_pool import Pool

TRIES = 5
"""How often redis-py asks another node, where any node may answer: some of them may be down."""


def connect_cluster(url: str, timeout_s: float) -> RedisCluster:
    """Connect to one of the nodes, and ask it for the others.

    Args:
        url: it may name several nodes, as in ``redis://user:password@h1:7000,h2:7000/0``.
        timeout_s: seconds to wait for a node to connect and to answer.

    Raises:
        RedisError: none of the nodes answers.
    """
    first, others = divide(url)
    nodes = [ClusterNode(host, port) for host, port in others]  # type: ignore[no-untyped-call]
    return RedisCluster.from_url(
        first,
        startup_nodes=nodes,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # redis-py keeps state in it, so each client needs its own
        retry=Retry(NoBackoff(), TRIES, supported_errors=(RedisConnectionError,)),
        require_full_coverage=False,  # the shards whose node is missing fail, and no others
        connection_pool_class=Pool,
    )
