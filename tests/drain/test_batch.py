"""What a drain reports."""

from __future__ import annotations

from reactions.core.errors import ReactionsUnavailable
from reactions.drain.batch import Batch, Drained, DrainFailed


def test_a_failed_drain_keeps_its_tokens_and_its_cause() -> None:
    tokens = {42: "token", 43: ""}
    failure = DrainFailed(tokens, ReactionsUnavailable("postgresql", "not reachable"))
    tokens.clear()
    assert failure.tokens == {42: "token", 43: ""}
    assert "not reachable" in str(failure)


def test_two_drains_share_no_state() -> None:
    first, batch = Drained(), Batch()
    first.leftover.append(42)
    batch.refused.add(1042)
    assert (Drained().leftover, Batch().refused) == ([], set())
