"""``ReplicaReads``: lists of a standby are those of the primary, however far it is behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from reactions import Reactions
from reactions.api import replica_reads
from reactions.api.replica_reads import ReplicaReads
from reactions.core.model import Reactor
from reactions.core.settings import Settings
from reactions.maintenance.loss_detection import LossDetection
from reactions.ops.doctor.findings import State
from reactions.ops.doctor.replica import check_replica
from reactions.redis.keys import default_keys as keys
from tests.postgres.standby import asked, paused_replay, wait_for_replay
from tests.support.engine import Engine, make_engine
from tests.support.reading import POST, SHARD, USER, lists_of, react
from tests.support.servers import running_postgres

pytestmark = pytest.mark.slow

LISTS: dict[str, Callable[[Reactions], object]] = {
    "reactors": lambda client: client.reactors(POST).items,
    "recent": lambda client: client.recent(POST),
    "history": lambda client: client.history(USER).items,
    "uniques": lambda client: client.uniques(POST),
}


def plain(settings: Settings) -> str:
    return settings.database_url.get_secret_value()


@contextmanager
def replica_of(engine: Engine, standby_url: str) -> Iterator[Engine]:
    made = make_engine(engine.settings.model_copy(update={"replica_url": SecretStr(standby_url)}))
    yield made
    made.close()


@pytest.fixture
def replicated(engine: Engine, standby_url: str) -> Iterator[Engine]:
    """An engine that reads lists on a standby; every shard has the note that a read needs."""
    LossDetection(engine.client, engine.database, engine.settings).run()
    with replica_of(engine, standby_url) as made:
        yield made


def catch_up(engine: Engine, standby_url: str) -> None:
    with asked(plain(engine.settings)) as primary:
        wait_for_replay(standby_url, primary("SELECT pg_current_wal_insert_lsn()"))


def reads_of(engine: Engine) -> ReplicaReads:
    return lists_of(engine.reactions)._reads


def everything(client: Reactions) -> dict[str, object]:
    return {name: read(client) for name, read in LISTS.items()}


def test_the_standby_answers_when_it_has_everything(
    replicated: Engine, standby_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    react(replicated, POST, (1, 2, USER))
    replicated.drain()
    catch_up(replicated, standby_url)
    expected = everything(replicated.reactions)
    assert expected["reactors"] == tuple(Reactor(user, "like") for user in (USER, 2, 1))
    assert (expected["uniques"], len(expected["history"])) == (3, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(lists_of(replicated.reactions)._stored, "run", pytest.fail)
    assert everything(replicated.reactions) == expected


def test_users_read_their_own_writes_from_a_standby_that_is_behind(
    replicated: Engine, standby_url: str
) -> None:
    """Without the fence, what was drained and not replayed was in neither store."""
    client = replicated.reactions
    react(replicated, POST, (1, 2))
    replicated.drain()
    with paused_replay(standby_url, plain(replicated.settings)):
        client.react(USER, POST, "love")
        assert client.reactors(POST).items[0] == Reactor(USER, "love")  # pending
        replicated.drain()
        for _ in range(3):
            assert client.reactors(POST).items[0] == Reactor(USER, "love")
            assert client.recent(POST)[0] == Reactor(USER, "love")
            assert client.uniques(POST) == 3
            assert [reacted.reaction for reacted in client.history(USER).items] == ["love"]
    assert not reads_of(replicated)._failed


def test_a_standby_that_is_away_costs_one_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    react(engine, POST, (1, 2))
    engine.drain()
    monkeypatch.setattr(replica_reads, "REST_S", 600.0)
    LossDetection(engine.client, engine.database, engine.settings).run()
    with replica_of(engine, "postgresql+psycopg2://127.0.0.1:1/x") as away:
        found = reads_of(away)
        assert len(away.reactions.reactors(POST).items) == 2
        assert found._failed
        assert found.replica is not None
        monkeypatch.setattr(found.replica, "read", pytest.fail)
        assert len(away.reactions.reactors(POST).items) == 2


def test_a_copy_of_another_server_answers_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The numbers of its transactions mean nothing here."""
    react(engine, POST, (1, 2))
    engine.drain()
    with running_postgres(18) as other, replica_of(engine, other.url) as wrong:
        assert len(wrong.reactions.reactors(POST).items) == 2
        assert "a copy of another server" in caplog.text
        (finding,) = check_replica(wrong.database, wrong.settings)
        assert (finding.check, finding.state) == ("postgresql replica", State.FAILURE)


def test_a_note_that_is_missing_sends_reads_to_the_primary(
    replicated: Engine, standby_url: str
) -> None:
    with paused_replay(standby_url, plain(replicated.settings)):
        react(replicated, POST, (USER,))
        replicated.drain()
        replicated.client.delete(keys.outbox_committed(SHARD))
        assert everything(replicated.reactions)["uniques"] == 1
        assert len(replicated.reactions.history(USER).items) == 1
