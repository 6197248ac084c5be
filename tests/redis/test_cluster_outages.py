"""While a node of a cluster is gone: other nodes serve, and what is missing is said."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
from redis import RedisCluster

from benchmarks.support.cluster import is_complete
from reactions import (
    BatchInterrupted,
    PostDeleted,
    Reactions,
    ReactionsUnavailable,
    ReadInterrupted,
    Status,
)
from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.drain.batch import DrainFailed
from reactions.drain.persister import Persister
from reactions.maintenance.epochs import Epochs
from reactions.maintenance.loss_detection import LossDetection
from reactions.ops.metrics import StoresCollector
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.server_role import check_primary
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.types import write_default_types
from tests.support.waiting import bounded, patience, wait_until

pytestmark = pytest.mark.slow

TIMEOUT_S = 0.5

FEED = range(1, 61)


@pytest.fixture
def spread(cluster: list[Valkey], database_url: str) -> Iterator[Engine]:
    settings = Settings(
        redis_url=f"redis://{','.join(f'127.0.0.1:{node.port}' for node in cluster)}/0",
        redis_cluster=True,
        database_url=database_url,
        broker_url=DEAD_BROKER,
        redis_timeout_s=patience(TIMEOUT_S),
        lease_s=patience(1),
    )
    engine = make_engine(settings)
    write_default_types(engine.client)
    yield engine
    engine.close()


def on_node(engine: Engine, node: Valkey, key: Callable[[int], str]) -> list[int]:
    """The ids of FEED whose key is on a node."""
    client = engine.client
    assert isinstance(client, RedisCluster)
    return [i for i in FEED if client.get_node_from_key(key(i)).port == node.port]  # type: ignore[no-untyped-call]


def reader(engine: Engine, node: Valkey) -> int:
    """A user whose cached reactions are not on this node."""
    theirs = on_node(engine, node, keys.user_reactions)
    return next(user for user in FEED if user not in theirs)


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_a_feed_has_the_posts_of_the_other_nodes(
    spread: Engine, cluster: list[Valkey], way: str
) -> None:
    user, gone = reader(spread, cluster[0]), cluster[0]
    spread.reactions.react_many((user, post, "like") for post in FEED)
    spread.drain()
    spread.reactions.react_many((user, post, "love") for post in FEED)
    lost = on_node(spread, gone, keys.post_summary)
    gone.signal(signal.SIGKILL if way == "killed" else signal.SIGSTOP)
    for _ in range(2):
        with bounded(4 * TIMEOUT_S), pytest.raises(ReadInterrupted) as error:
            spread.reactions.summaries(FEED, user)
        assert error.value.store == "redis"
        assert [p for p, s in zip(FEED, error.value.summaries, strict=True) if s is None] == lost
        assert {s.reaction for s in error.value.summaries if s} == {"love"}
    with pytest.raises(ReactionsUnavailable):
        spread.reactions.summaries(lost, user)
    with pytest.raises(BatchInterrupted) as refused:
        spread.reactions.react_many((user, post, "wow") for post in FEED)
    assert [p for p, o in zip(FEED, refused.value.outcomes, strict=True) if o is None] == lost
    gone.signal(signal.SIGCONT)


def test_a_user_whose_node_is_gone_is_read_from_postgresql(
    spread: Engine, cluster: list[Valkey]
) -> None:
    gone = cluster[0]
    user = on_node(spread, gone, keys.user_reactions)[0]
    lost = on_node(spread, gone, keys.post_summary)
    spread.reactions.react_many((user, post, "like") for post in FEED)
    spread.drain()
    there = [post for post in FEED if post not in lost]
    gone.kill()
    assert {s.reaction for s in spread.reactions.summaries(there, user)} == {"like"}
    spread.reactions.react(user, there[0], "wow")
    assert spread.reactions.summaries(there, user)[0].reaction == "wow"
    assert spread.reactions.reaction_of(user, there[1]) == "like"


def test_duties_go_on_for_the_other_nodes(spread: Engine, cluster: list[Valkey]) -> None:
    user, gone = reader(spread, cluster[0]), cluster[0]
    lost = on_node(spread, gone, keys.post_summary)
    there = [post for post in FEED if post not in lost]
    detection = LossDetection(spread.client, spread.database, spread.settings)
    detection.run()
    spread.reactions.react_many((user, post, "like") for post in FEED)
    spread.drain()
    spread.reactions.react_many((user, post, "love") for post in FEED)
    spread.reactions.delete_post(there[0])
    gone.kill()
    shards = {post % 100 for post in there[1:]}  # a deleted post has nothing pending
    wait_until(lambda: shards <= {*spread.outbox_state.overdue(0.001)}, what="shards to be overdue")
    assert not {post % 100 for post in lost} & {*spread.outbox_state.overdue(0.001)}
    assert spread.eraser.erase().posts == 1
    with pytest.raises(PostDeleted):
        spread.reactions.react(user, there[0], "like")
    read = Epochs(spread.client, spread.database, spread.settings).in_redis()
    assert 0 < len(read) < SHARDS
    assert detection.run() is None
    assert {*spread.outbox_state.woken(100)} <= {*read}
    spread.persister.drain(sorted(shards))
    assert not {*spread.outbox_state.overdue(0)} & shards


def test_processes_start_and_report_while_a_node_is_gone(
    spread: Engine, cluster: list[Valkey]
) -> None:
    spread.reactions.react_many((1, post, "like") for post in FEED)
    lost = on_node(spread, cluster[0], keys.post_summary)
    cluster[0].kill()
    settings = spread.settings
    with Reactions(settings) as fresh:  # it reads a copy of the reaction types
        there = [post for post in FEED if post not in lost]
        assert fresh.react(2, there[0], "love").status is Status.ACCEPTED
    with connect(settings) as client:
        check_primary(client)
        families = {m.name: m for m in StoresCollector(client, spread.database, settings).collect()}
    up = {sample.labels["store"]: sample.value for sample in families["reactions_store_up"].samples}
    assert up == {"redis": 0, "postgresql": 1}
    shards = {int(sample.labels["shard"]) for sample in families["reactions_dirty_posts"].samples}
    assert shards == {*range(100)} - {
        shard for shard in range(100) if _port_of(spread, shard) == cluster[0].port
    }
    assert len(families["reactions_redis_used_bytes"].samples) == 2


def test_what_is_drained_becomes_durable_though_a_user_s_node_is_gone(
    spread: Engine, cluster: list[Valkey]
) -> None:
    gone = cluster[0]
    theirs = on_node(spread, gone, keys.user_reactions)
    there = [post for post in FEED if post not in on_node(spread, gone, keys.post_summary)]
    with_theirs, without = there[::2], there[1::2]
    spread.reactions.react_many((theirs[0], post, "like") for post in with_theirs)
    other = reader(spread, gone)
    spread.reactions.react_many((other, post, "like") for post in there)
    gone.kill()
    small = Persister(
        spread.client, spread.database, spread.settings.model_copy(update={"batch_rows": 5})
    )
    with pytest.raises(DrainFailed, match="node of some users") as error:
        small.drain({post % 100 for post in there})
    assert {*error.value.tokens} == {post % 100 for post in with_theirs}
    counts = spread.queries.counts({*there})
    assert {post: sum(counts[post].values()) for post in there} == {
        **dict.fromkeys(with_theirs, 2),
        **dict.fromkeys(without, 1),
    }
    dirty = {state.shard for state in spread.outbox_state.reachable() if state.dirty_posts}
    assert dirty == {post % 100 for post in with_theirs}
    assert {s.reaction for s in spread.reactions.summaries(there, other)} == {"like"}
    gone.start()
    wait_until(lambda: is_complete(gone), what="the node to be back")
    spread.persister.drain(error.value.tokens, error.value.tokens)
    assert spread.verify().holds
    assert spread.reactions.reaction_of(theirs[0], with_theirs[0]) == "like"


def _port_of(engine: Engine, shard: int) -> int:
    client = engine.client
    assert isinstance(client, RedisCluster)
    return int(client.get_node_from_key(keys.outbox_dirty(shard)).port)  # type: ignore[no-untyped-call]
