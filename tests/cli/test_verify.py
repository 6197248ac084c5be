"""``reactions verify``: each kind of drift, and its repair."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.core.constants import shard_of
from reactions.maintenance import verify
from reactions.maintenance.verify import Verifier
from reactions.redis.keys import default_keys as keys
from tests.cli.conftest import POST, VIRAL, Run, figures
from tests.cli.running import last_line, reactions
from tests.support.engine import Engine
from tests.support.reading import react

DRIFTING = 777


def test_verify_names_drift_and_repairs_it(filled: Engine, run: Run) -> None:
    assert run("verify").exit_code == 0
    filled.client.hincrby(keys.post_reaction_counts(POST), "1", 3)
    filled.client.delete(keys.post_viral(VIRAL))
    result = run("verify", "--json")
    assert result.exit_code == 1
    assert figures(result)["found"] == {"counts": 1, "unflagged": 1}
    assert "post 1042: type 1 is 6 with pending, Redis has 9" in result.stderr
    assert run("verify", "--post", str(VIRAL)).exit_code == 0  # a missing flag is no drift
    result = run("verify", "--repair", "--json")
    assert result.exit_code == 0
    assert figures(result)["repaired"] == 2
    assert run("verify", "--post", str(POST), "--post", str(VIRAL)).exit_code == 0
    assert filled.verify().found == {}


def test_verify_says_that_nobody_drains_what_is_pending(filled: Engine, run: Run) -> None:
    assert "nobody drains" not in run("verify").stderr
    react(filled, POST, [70])
    result = run("verify", "--json")
    assert result.exit_code == 0
    assert figures(result)["pending"] == 1
    said = " ".join(result.stderr.split())
    assert "changes are pending, the oldest for" in said
    assert "nobody drains them" in said
    filled.outbox.claim({shard_of(POST): ""})
    assert "nobody drains" not in run("verify", "--post", str(VIRAL)).stderr  # a drain is at work


def test_the_progress_counts_towards_all_posts(
    filled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "CHUNK", 1)
    steps: list[tuple[int, int]] = []
    Verifier(filled.client, filled.database, filled.settings).verify(
        lambda posts, total: steps.append((posts, total))
    )
    assert steps[0] == (1, 2)
    assert steps[-1] == (2, 2)


def test_verify_finds_drift_of_each_kind(filled: Engine) -> None:
    """The test plants one drift, verify names it, the test takes it back, and so on."""
    client, counts = filled.client, keys.post_reaction_counts(DRIFTING)
    react(filled, DRIFTING, [5])
    filled.drain()

    client.hincrby(counts, "1", 5)
    _drifts(filled, "counts")
    client.hincrby(counts, "1", -5)

    with filled.database.engine.begin() as connection:
        connection.execute(text("UPDATE reaction_counts SET count = 9 WHERE post_id = 777"))
    _drifts(filled, "ledger")
    with filled.database.engine.begin() as connection:
        connection.execute(text("UPDATE reaction_counts SET count = 1 WHERE post_id = 777"))

    client.hset(keys.post_reactions(DRIFTING), mapping={"0": 1, "5": 3})
    _drifts(filled, "hash")
    client.delete(keys.post_reactions(DRIFTING))
    assert reactions("verify", **filled.settings.environment()).returncode == 0


def _drifts(filled: Engine, kind: str) -> None:
    result = reactions("verify", "--json", **filled.settings.environment())
    assert result.returncode == 1
    assert last_line(result)["found"][kind] == 1
    assert "post 777" in result.stderr
