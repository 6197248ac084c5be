"""The audit in slices: exact while drains and erasures change rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from reactions.maintenance.checker import SLICE
from reactions.postgres.row_counts import RowCounts
from tests.support.engine import Engine, make_engine

POST = 1042


@pytest.fixture
def viral_at_ten(engine: Engine) -> Iterator[Engine]:
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    yield made
    made.close()


def test_an_audit_over_many_slices_is_exact_under_live_drains(viral_at_ten: Engine) -> None:
    engine = viral_at_ten
    audits, client = RowCounts(engine.database), engine.reactions
    client.react_many((user, 5042, "like") for user in range(1, 400))
    engine.drain()
    with engine.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE reaction_counts SET count = count + 3 WHERE post_id = 5042")
        )
    slices = 0
    while not (found := audits.slice(5042, 50, repair=True)).finished:
        slices += 1
        client.react_many(  # after and before the position: new, changed and removed
            (user, 5042, ("love", None, "wow")[(user + slices) % 3]) for user in range(1, 600, 7)
        )
        engine.drain()
    assert slices >= 7
    assert {rows - counted for rows, counted in found.differences.values()} == {-3}
    engine.cache_install.drop(5042)  # as the audit does
    assert engine.verify().holds
    assert audits.unfinished() == []
    assert SLICE > 50


@pytest.mark.parametrize("erase", ["delete_post", "forget_user"])
def test_an_audit_stays_exact_during_erasures(engine: Engine, erase: str) -> None:
    engine.reactions.react_many((user, POST, "like") for user in range(1, 7))
    engine.drain()
    audits = RowCounts(engine.database)
    assert not audits.slice(POST, 5, repair=True).finished
    if erase == "delete_post":
        engine.reactions.delete_post(POST)
    else:
        engine.reactions.forget_user(2)
    while any(engine.erasure_requests.unfinished()):
        engine.eraser.erase()
        engine.drain()
    found = audits.slice(POST, 5, repair=True)
    assert found.finished
    assert found.differences == {}
    assert engine.verify().holds
