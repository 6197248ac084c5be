"""``Recorder``: posts with more changes than one batch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.drain.batch import Batch, Drained
from reactions.postgres.ledger import Recorded
from reactions.redis.keys import default_keys as keys
from tests.drain.support import POST, SHARD, react, step
from tests.support.engine import Engine, make_engine
from tests.support.servers import running_redis
from tests.support.waiting import patience


@pytest.mark.parametrize("batch_rows", [1, 7, 100])
def test_a_post_larger_than_a_batch_is_recorded_in_pieces(engine: Engine, batch_rows: int) -> None:
    react(engine, 600)  # beyond a listpack, so that HSCAN takes several steps
    done = step(engine, batch_rows).persister.drain([SHARD])
    assert done.rows >= 600
    assert engine.outbox_state.pending() == 0
    assert engine.queries.counts([POST])[POST] == {1: 600}
    assert engine.verify().holds


WRITTEN_BY = text("""
SELECT count(*) FROM reactions
WHERE user_id = ANY (:users) AND xmin::text::bigint <= :noted
  AND pg_xact_status(CAST(CAST(:noted AS text) AS xid8)) = 'committed'
""")


def test_a_trim_notes_the_transaction_that_has_what_it_drops(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby needs it to answer for what Redis no longer has, and may not wait for the end."""
    react(engine, 600)  # beyond a listpack
    small = step(engine, 50)
    outbox = small.persister._recorder._outbox
    trim, pieces = outbox.trim, 0

    def trimmed(claim: Any, post_id: int, fields: Any, transaction: int) -> bool:
        nonlocal pieces
        done = trim(claim, post_id, fields, transaction)
        noted: Any = engine.client.get(keys.outbox_committed(SHARD))
        asked = {"users": list(map(int, fields)), "noted": int(noted)}
        assert engine.database.execute_at_once(WRITTEN_BY, asked) == [(len(fields),)]
        pieces += 1
        return done

    monkeypatch.setattr(outbox, "trim", trimmed)
    small.persister.drain([SHARD])
    assert pieces > 1


@pytest.mark.parametrize("field", [b"\xff\xfe", b"007", b"nobody"])
def test_a_foreign_field_does_not_stop_the_drain_of_a_large_post(
    engine: Engine, field: bytes
) -> None:
    """The drain trims the field unchanged; otherwise the scan would find it again and again."""
    react(engine, 600)
    engine.client.hset(keys.post_pending(POST), field, "1:5")
    done = step(engine, 50).persister.drain([SHARD])
    assert (done.refused, engine.outbox_state.pending()) == (1, 0)
    assert engine.queries.counts([POST])[POST] == {1: 600}


def test_the_next_drain_continues_where_a_dead_drain_stopped(engine: Engine) -> None:
    react(engine, 2000)
    step(engine, 100)
    (claim,), _ = engine.outbox.claim({SHARD: ""})
    pieces = engine.outbox.scan(POST)
    for _ in range(3):
        fields, entries = next(pieces)
        engine.persister._recorder._record_entries(entries, Batch(), Drained())
        assert engine.outbox.trim(claim, POST, fields)
    left = engine.client.hlen(keys.post_claimed(POST))
    assert left < 2000
    engine.client.delete(keys.outbox_lease(SHARD))  # died; its lease lapsed
    done = engine.persister.drain([SHARD])
    assert done.rows == done.changed == left
    assert engine.verify().holds


def test_a_restart_of_redis_during_a_scan_loses_nothing(tmp_path: Path, settings: Settings) -> None:
    """A restarted server does not know the cursor of the scan, and may skip entries."""
    with running_redis(tmp_path, "valkey") as server:
        own = settings.model_copy(
            update={"redis_url": SecretStr(server.url), "batch_rows": 200, "lease_s": 60.0}
        )
        engine = make_engine(own)
        react(engine, 5000)
        record, calls = engine.persister._recorder._ledger.record, itertools.count()
        trim, trimmed = engine.persister._recorder._outbox.trim, threading.Semaphore(0)

        def trimming(*arguments: Any) -> bool:
            try:
                return trim(*arguments)
            finally:
                trimmed.release()

        def recording(rows: Sequence[Row]) -> Recorded:
            number = next(calls)
            if 0 < number <= 5:  # wait for the trim, so that the restart interrupts the scan
                assert trimmed.acquire(timeout=patience(20))
            if number == 5:
                server.stop()
                server.start()
            return record(rows)

        engine.persister._recorder._outbox.trim = trimming  # type: ignore[method-assign, assignment]
        engine.persister._recorder._ledger.record = recording  # type: ignore[method-assign]
        engine.drain()
        assert engine.queries.counts([POST])[POST] == {1: 5000}
        assert engine.verify().holds
        engine.close()
