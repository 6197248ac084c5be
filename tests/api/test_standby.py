"""A client or a worker whose database_url leads to a standby that is behind its primary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from reactions.core.errors import ReactionsUnavailable
from reactions.postgres.database import StandbyRefused
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.keys import default_keys as keys
from tests.postgres.standby import paused_replay
from tests.support.engine import Engine, make_engine
from tests.support.reading import POST, USER, evict, react

pytestmark = pytest.mark.slow


@dataclass
class Pair:
    """Two engines on one Redis.

    Attributes:
        at_primary: the whole system.
        at_standby: one whose database_url leads to the standby, which replays nothing.
    """

    at_primary: Engine
    at_standby: Engine


@pytest.fixture
def pair(engine: Engine, standby_url: str) -> Iterator[Pair]:
    """PostgreSQL has five reactions on a post, and the standby three; Redis caches nothing."""
    react(engine, POST, range(1, 4))
    engine.drain()
    settings = engine.settings
    with paused_replay(standby_url, settings.database_url.get_secret_value()):
        react(engine, POST, (4, USER))
        engine.drain()
        evict(engine)
        changed = {"database_url": SecretStr(standby_url)}
        other = make_engine(settings.model_copy(update=changed))
        yield Pair(engine, other)
        other.close()


def test_it_reads_and_poisons_no_cache(pair: Pair) -> None:
    """Before, both saw three reactions until the TTL of the counts, a day, was over."""
    for _ in range(2):
        (found,) = pair.at_standby.reactions.summaries([POST], USER)
        assert (found.total, found.reaction) == (3, None)
    (found,) = pair.at_primary.reactions.summaries([POST], USER)
    assert (found.total, found.reaction) == (5, "like")
    (found,) = pair.at_standby.reactions.summaries([POST], USER)  # from the cache by now
    assert (found.total, found.reaction) == (5, "like")


def test_it_reads_what_is_pending(pair: Pair) -> None:
    pair.at_standby.reactions.react(USER, POST, "love")
    (found,) = pair.at_standby.reactions.summaries([POST], USER)
    assert (found.total, found.reaction, found.counts["love"]) == (4, "love", 1)


def test_its_worker_loads_nothing(pair: Pair) -> None:
    worker = pair.at_standby
    with pytest.raises(StandbyRefused, match="let database_url name the primary"):
        worker.loader.load([POST])
    with pytest.raises(StandbyRefused):
        worker.user_loader.load([USER])
    assert pair.at_primary.reactions.counts(POST)["like"] == 5
    assert not worker.client.exists(keys.user_reactions(USER))
    with pytest.raises(ReactionsUnavailable):
        TypeRegistry(worker.database).publish(lambda _: pytest.fail("an older registry is copied"))
