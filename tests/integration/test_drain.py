"""The drain on real stores: exact counts, idempotence, poison rows, large posts, lost leases."""

from __future__ import annotations

from tests.conftest import Engine


def test_counts_and_rows_agree_after_a_drain(engine: Engine) -> None:
    for user in range(1, 51):
        engine.reactions.react(user, 1042, "like")
    engine.reactions.react(1, 1042, "love")
    engine.reactions.unreact(2, 1042)
    engine.drain()
    assert engine.ledger.counts([1042])[1042] == {1: 48, 2: 1}
    assert engine.reactions.counts(1042)["like"] == 48
    assert engine.verify().holds
