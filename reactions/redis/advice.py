"""What an operator does about a Redis that does not serve: one remedy for each cause."""

from __future__ import annotations

import re

from reactions.core.errors import chain

MEMORY_FULL_ADVICE = (
    "its memory is full: drains free memory, so check that workers and PostgreSQL keep up,"
    " or raise maxmemory"
)
"""What an operator does when Redis rejects writes because it has reached maxmemory."""

REPLICA_ADVICE = (
    "{url} leads to a replica, which refuses writes; let it name the primary,"
    " or a name that follows the primary"
)

SENTINEL_ADVICE = (
    "{url} leads to a Sentinel, or to a server without Redis's own commands; let it name the"
    " Sentinels and the service, as in redis+sentinel://HOST:26379/SERVICE/0, or the primary"
)

CLUSTER_ADVICE = "it is a node of a cluster: set redis_cluster (REACTIONS_REDIS_CLUSTER=true)"

BROKER_CLUSTER_ADVICE = "{url} leads to a node of a cluster; Celery needs a single server"

_CAUSES: tuple[tuple[str, str], ...] = (
    ("CERTIFICATE_VERIFY_FAILED", "ssl_ca_certs must name the server's CA, and the host must match"
     " its certificate"),
    ("handshake operation timed out|WRONG_VERSION_NUMBER|wrong version number|record layer failure",
     "the server does not answer in TLS; if it does not use TLS, {url} must begin with redis://"),
    ("reset by peer|closed by server", "if the server requires TLS, {url} must begin with"
     " rediss://"),
    ("NOAUTH|HELLO must be called|Authentication required",
     "the server wants a password: give {url} one, as in redis://USER:PASSWORD@HOST:PORT/0"),
    ("WRONGPASS|invalid username-password|invalid password",
     "the server refuses the user or the password of {url}; characters such as @ : / % must be"
     " percent-encoded"),
    ("NOPERM|no permissions|No permissions|can't run this command",
     "the user of {url} may not do this; deploy/redis-users.acl lists what each user needs"),
    ("unknown command", SENTINEL_ADVICE),
    ("Cluster mode is not enabled|cluster support disabled", "{url} leads to a single server:"
     " unset redis_cluster (REACTIONS_REDIS_CLUSTER)"),
    ("DB index is out of range", "{url} must end with the number of a database that the server"
     " has; a cluster has only /0"),
    ("Hash slot not served|CLUSTERDOWN|cluster is down", "nodes of the cluster are missing, or"
     " slots without a node: see CLUSTER INFO"),
    ("non local key|TRYAGAIN|slot is being moved|TTL exhausted", "a slot is on its way to another"
     " node of the cluster: wait until the move is done; docs/runbook.md says how to move slots"
     " without such errors"),
    ("LOADING|loading the dataset", "the server has just started and reads its data; wait, INFO"
     " persistence says for how long"),
    ("MASTERDOWN|Link with MASTER", REPLICA_ADVICE + "; this one has lost its primary, too"),
    ("READONLY|read only replica|UNBLOCKED", REPLICA_ADVICE),
    ("NOREPLICAS|Not enough good replicas", "too few replicas follow the primary: start them, or"
     " lower min-replicas-to-write"),
    ("MISCONF", "the server cannot write to its disk: free space, and see its log"),
    ("max number of clients", "it has too many connections: raise maxclients, or lower the number"
     " of processes"),
    ("Connection refused", "nobody listens there: start the server, or correct {url}"),
    ("Name or service not known|No address associated|Temporary failure in name|Error -[235] ",
     "the host of {url} has no address: correct it, or the name server"),
)  # fmt: skip


def advice(error: BaseException, url: str = "redis_url") -> str:
    """Return the remedy for an error, "" if there is none.

    Args:
        error: an error of redis-py or kombu; what led to it is looked at, too.
        url: the name of the setting with the address.
    """
    words = "\n".join(reversed([str(each) for each in chain(error)]))
    for pattern, remedy in _CAUSES:
        if re.search(pattern, words):
            return remedy.format(url=url)
    return ""
