"""An error that tells of a server's role ends the connection, and its idle siblings."""

from __future__ import annotations

import threading

import pytest
from redis import Redis

from reactions.core.errors import ReactionsUnavailable
from reactions.redis.connection import Client, connect, execute
from reactions.redis.scripts import writes
from tests.support.engine import Engine


def identity(client: Client) -> int:
    return int(execute(client, ("CLIENT", "ID")))


def test_a_primary_that_became_a_replica_is_left(engine: Engine) -> None:
    client = connect(engine.settings)
    call = writes.record(7, 1042, 1, 10)
    call.run(client)
    before = identity(client)
    others: list[int] = []
    go_on, met = threading.Event(), threading.Event()

    def sibling() -> None:
        others.append(identity(client))
        met.set()
        go_on.wait(20)
        others.append(identity(client))

    thread = threading.Thread(target=sibling)
    thread.start()
    assert met.wait(20)
    with Redis.from_url(engine.settings.redis_url.get_secret_value()) as operator:
        operator.replicaof("127.0.0.1", "1")  # nobody is there; it refuses writes at once
        try:
            with pytest.raises(ReactionsUnavailable, match="refuses to serve"):
                writes.record(7, 1042, 2, 10).run(client)  # a change, which a replica refuses
        finally:
            operator.replicaof("NO", "ONE")
    assert identity(client) != before
    go_on.set()
    thread.join(20)
    assert others[0] != others[1]  # an idle connection of another thread is left, too
    call.run(client)
    client.close()
