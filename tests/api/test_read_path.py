"""The read path: made at the first read, by each process, and again when names of types change."""

from __future__ import annotations

import os

from reactions.api.client import Reactions
from tests.support.engine import Engine


def test_only_the_first_read_makes_it(engine: Engine) -> None:
    client = engine.reactions
    client.react(1, 1042, "like")
    assert client._reads._own() is None
    client.counts(9)
    made = client._reads.reads()
    client.history(1)
    assert client._reads.reads() is made


def test_a_forked_child_makes_its_own_and_closes_only_that(engine: Engine) -> None:
    client = engine.reactions
    client.counts(9)
    pool = client._reads.reads().database.engine.pool
    child = os.fork()
    if child == 0:
        try:
            client.counts(10)
            own = client._reads.reads().database.engine.pool
            client.close()
            os._exit(0 if own is not pool else 1)
        except BaseException:  # noqa: BLE001 - a child must never return into pytest
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    client.counts(11)
    assert client._reads.reads().database.engine.pool is pool


def test_closing_closes_the_connections_to_the_database(engine: Engine) -> None:
    engine.reactions.counts(9)
    database = engine.reactions._reads.reads().database
    engine.reactions.close()
    assert database.engine.pool.status().count("Connections in pool: 0") == 1


def test_new_names_keep_the_connections(engine: Engine) -> None:
    client: Reactions = engine.reactions
    client.counts(9)
    before = client._reads.reads()
    client._known._tell(client._known.vocabulary())
    after = client._reads.reads()
    assert after.database is before.database
    assert after.feeds is not before.feeds
