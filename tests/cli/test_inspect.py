"""``reactions inspect``: tier, counts, pending changes and keys of a post."""

from __future__ import annotations

from reactions.core.constants import MAX_ID
from reactions.redis.keys import default_keys as keys
from tests.cli.conftest import NOBODYS, VIRAL, Run, figures
from tests.support.engine import Engine


def test_inspect_shows_both_stores(filled: Engine, run: Run) -> None:
    filled.reactions.react(20, VIRAL, "wow")
    found = figures(run("inspect", str(VIRAL), "--json"))
    assert (found["tier"], found["noted_tier"]) == ("viral", "viral")
    assert found["counts_redis"]["love"] == found["counts_database"]["love"] == 15
    assert (found["counts_redis"]["wow"], found["counts_database"].get("wow")) == (1, None)
    assert (found["pending"], found["claimed"]) == (1, 0)
    assert 0 <= found["lag_s"] < 60
    assert found["cached"] == "sample of 16 users"
    names = {key["name"] for key in found["keys"]}
    assert names >= {keys.post_pending(VIRAL), keys.post_recent(VIRAL), keys.post_uniques(VIRAL)}
    assert found["bytes"] == sum(key["bytes"] for key in found["keys"]) > 1_000
    lives = {key["name"]: key["ttl_s"] for key in found["keys"]}
    assert lives[keys.post_pending(VIRAL)] is None
    assert 70_000 < lives[keys.post_recent(VIRAL)] <= 86_400


def test_inspect_shows_a_post_that_nobody_reacted_to(run: Run) -> None:
    assert "regular" in run("inspect", str(NOBODYS)).stdout


def test_an_id_keeps_its_digits(run: Run) -> None:
    """Neither separators on the terminal, nor a number in JSON, which JavaScript rounds."""
    result = run("inspect", str(MAX_ID), "--json")
    assert figures(result)["post_id"] == str(MAX_ID)
    assert result.stdout.splitlines()[0].split() == ["post", "id", str(MAX_ID)]
