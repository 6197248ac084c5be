"""Compares the rows with what was acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from benchmarks.scenarios.rebuild.writer import Pair, Written
from benchmarks.support.statistics import quantiles
from reactions.postgres.database import Database, array


def judge(
    database: Database, written: Sequence[Written], lost_us: int, start_us: int
) -> dict[str, Any]:
    """Compare the rows with what was acknowledged.

    Args:
        lost_us: the loss of Redis; a smaller version was given before it.
        start_us: the start of the writer; a row with a larger version is one of its own.
    """
    before, after = _divide(written, lost_us)
    rows = _rows(database, {each.pair for each in written})
    ages = [
        (lost_us - version) / 1e3
        for pair, version in before.items()
        if pair not in rows or rows[pair][1] < version
    ]
    wrong = [
        each
        for pair, each in after.items()
        if rows.get(pair, (0, None))[0] != each.code
        or (each.version is not None and rows[pair][1] != each.version)
    ]
    given = {(each.pair, each.version) for each in written}
    return {
        "acknowledged_before": len(before),
        "lost_before": len(ages),
        "lost_ages_ms": quantiles(ages) if ages else None,
        "acknowledged_after": len(after),
        "wrong_after": len(wrong),
        "wrong_after_examples": [str((each, rows.get(each.pair))) for each in wrong[:5]],
        "invented": sum(row not in given for row in _since(database, start_us)),
    }


def _divide(
    written: Sequence[Written], lost_us: int
) -> tuple[dict[Pair, int], dict[Pair, Written]]:
    """The last version of each pair before the loss, and its last reaction after the loss."""
    before: dict[Pair, int] = {}
    after: dict[Pair, Written] = {}
    lost = False
    for each in written:
        lost = lost or (each.version is not None and each.version >= lost_us)
        if lost:
            after[each.pair] = each
        elif each.version is not None:
            before[each.pair] = each.version
    return before, after


def _rows(database: Database, pairs: set[Pair]) -> dict[Pair, tuple[int, int]]:
    """(post, user) -> (code, version)."""
    ordered = sorted(pairs)
    with database.transaction() as connection:
        found = connection.execute(
            text(
                "SELECT post_id, user_id, reaction, version FROM reactions JOIN"
                " unnest(CAST(:posts AS bigint[]), CAST(:users AS bigint[]))"
                " AS wanted (post_id, user_id) USING (post_id, user_id)"
            ),
            {
                "posts": array(post for post, _ in ordered),
                "users": array(user for _, user in ordered),
            },
        )
        return {(post, user): (code, version) for post, user, code, version in found}


def _since(database: Database, start_us: int) -> list[tuple[Pair, int]]:
    """The rows written since then, with their versions."""
    with database.transaction() as connection:
        found = connection.execute(
            text("SELECT post_id, user_id, version FROM reactions WHERE version >= :start"),
            {"start": start_us},
        )
        return [((post, user), version) for post, user, version in found]
