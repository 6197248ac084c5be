"""Comparison of both stores with what was acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from sqlalchemy import Connection, text

from benchmarks.scenarios.viral.writers import NEVER, POST, Plan
from benchmarks.support.ids import spread_id
from benchmarks.support.output import Show
from reactions.api.client import Reactions
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.settings import Settings
from reactions.maintenance.verify import Verifier
from reactions.postgres.database import Database
from reactions.redis import buckets
from reactions.redis.keys import default_keys as keys


def compare(
    settings: Settings,
    plan: Plan,
    client: Redis,
    final: Any,  # noqa: ANN401 - shared memory has no public type
    show: Show,
) -> dict[str, Any]:
    """Compare the stores with each other, and the rows with what was acknowledged.

    Args:
        final: the acknowledged type code of each user number, or NEVER.
    """
    database = Database(settings, name="reactions-bench", timeout_s=300)
    with database.transaction() as connection:
        rows = _rows(connection, plan, final, show)
        newest = _newest(connection)
        table = _counts_table(connection)
    with Reactions(settings) as reader:
        shown = _shown(settings, reader, rows, newest)
    verified = Verifier(client, database, settings).verify()
    database.close()
    mark: Any = client.hget(keys.post_reactions(POST), str(buckets.MARK))
    total: Any = client.get(keys.post_total_reactions(POST))
    return {
        "lost": rows.lost,
        "wrong": rows.wrong,
        "strange": rows.strange,
        "sample_is_cached": int(mark or 0) < 0,
        **shown,
        "counts_table_exact": {code: n for code, n in table.items() if n} == rows.tally,
        "total": int(total or 0),
        "total_exact": int(total or 0) == sum(rows.live.values()),
        "verified": verified.holds,
        "differences": verified.examples,
        "dead_letters": verified.dead_letters,
        "pending": verified.pending,
    }


@dataclass(slots=True)
class _Rows:
    """The rows of the post beside what was acknowledged.

    Attributes:
        ever: rows, those of removed reactions included.
        tally: type code -> rows; code 0 is a removed reaction.
        lost: acknowledged users without a row.
        wrong: rows with another code than the acknowledged one.
        strange: rows of users that do not exist.
    """

    ever: int = 0
    tally: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    wrong: int = 0
    strange: int = 0

    @property
    def live(self) -> dict[int, int]:
        return {code: count for code, count in self.tally.items() if code}


def _rows(connection: Connection, plan: Plan, final: Any, show: Show) -> _Rows:  # noqa: ANN401
    numbers = {spread_id(user, plan.bits): user for user in range(1, plan.users + 1)}
    found, seen = _Rows(), bytearray(plan.users + 1)
    rows = connection.execution_options(yield_per=50_000).execute(
        text("SELECT user_id, reaction FROM reactions WHERE post_id = :post"), {"post": POST}
    )
    for user_id, code in rows:
        found.ever += 1
        found.tally[code] = found.tally.get(code, 0) + 1
        user = numbers.get(user_id)
        if user is None:
            found.strange += 1
            continue
        seen[user] = 1
        found.wrong += final[user] != code
        if found.ever % 100_000 == 0:
            show("comparing", found.ever, plan.users)
    users = range(1, plan.users + 1)
    found.lost = sum(1 for user in users if final[user] != NEVER and not seen[user])
    return found


def _newest(connection: Connection) -> list[tuple[int, int]]:
    """(user id, type code) of the newest reactions, as many as the sample has."""
    newest = connection.execute(
        text(
            "SELECT user_id, reaction FROM reactions WHERE post_id = :post AND reaction <> 0 "
            "ORDER BY version DESC LIMIT :most"
        ),
        {"post": POST, "most": SAMPLE_SIZE},
    )
    return [(user, code) for user, code in newest]


def _counts_table(connection: Connection) -> dict[int, int]:
    counted = connection.execute(
        text("SELECT reaction, count FROM reaction_counts WHERE post_id = :post"), {"post": POST}
    )
    return {int(code): int(count) for code, count in counted}


def _shown(
    settings: Settings, reader: Reactions, rows: _Rows, newest: list[tuple[int, int]]
) -> dict[str, Any]:
    """What the library answers about the post, beside the rows."""
    names = settings.reaction_types
    sample = [(each.user_id, names[each.reaction]) for each in reader.recent(POST, SAMPLE_SIZE)]
    counts = {names[name]: count for name, count in reader.counts(POST).items()}
    uniques = reader.uniques(POST)
    return {
        "sample_size": len(sample),
        "sample_is_newest_in_order": sample == newest,
        "counts_exact": counts == dict.fromkeys(counts, 0) | rows.live,
        "uniques": uniques,
        "ever": rows.ever,
        "uniques_error_percent": round(100 * (uniques - rows.ever) / max(1, rows.ever), 3),
    }
