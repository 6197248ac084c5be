"""The operators' commands: what they print, change, and say by their exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from reactions.cli.main import main
from reactions.ops.inspection import Inspector
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis import keys
from tests.support.engine import Engine, make_engine
from tests.support.reading import react

POST, VIRAL, NOBODYS = 1042, 1143, 99
Run = Callable[..., Result]


@pytest.fixture
def small(engine: Engine) -> Iterator[Engine]:
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    react(made, POST, range(1, 7))
    react(made, VIRAL, range(1, 16), "love")
    made.drain()
    made.loader.load([POST, VIRAL])
    yield made
    made.close()


@pytest.fixture
def run(small: Engine) -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), env=small.settings.environment())

    return invoke


def figures(result: Result) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


def test_verify_says_drift_and_repairs_it(small: Engine, run: Run) -> None:
    assert run("verify").exit_code == 0
    small.client.hincrby(keys.post_reaction_counts(POST), "1", 3)
    small.client.delete(keys.post_viral(VIRAL))
    result = run("verify", "--json")
    assert result.exit_code == 1
    assert figures(result)["found"] == {"counts": 1, "unflagged": 1}
    assert "post 1042: type 1 is 6 with pending, Redis has 9" in result.stderr
    assert run("verify", "--post", str(VIRAL)).exit_code == 0  # a flag is only missing
    result = run("verify", "--repair", "--json")
    assert result.exit_code == 0
    assert figures(result)["repaired"] == 2
    assert run("verify", "--post", str(POST), "--post", str(VIRAL)).exit_code == 0
    assert small.verify().found == {}


def test_inspect_shows_both_stores(small: Engine, run: Run) -> None:
    small.reactions.react(20, VIRAL, "wow")
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


def test_inspect_knows_every_kind_of_post(small: Engine, run: Run) -> None:
    inspector = Inspector(small.client, small.database, small.settings)
    assert inspector.inspect(POST).cached == "hash of 6 users"
    assert inspector.inspect(POST).checked_s_ago is None
    nobodys = inspector.inspect(NOBODYS)
    assert (nobodys.tier, nobodys.noted_tier, nobodys.keys) == ("regular", None, [])
    assert (nobodys.lag_s, nobodys.touched_s_ago) == (None, None)
    small.reactions.delete_post(POST)
    assert inspector.inspect(POST).tier == "deleted"
    assert "regular" in run("inspect", str(NOBODYS)).stdout


@pytest.mark.parametrize("post", ["0", "-1", "x", str(2**63)])
def test_an_id_that_is_none_is_refused(run: Run, post: str) -> None:
    for command in (["inspect", "--", post], ["rebuild", f"--post={post}"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "Invalid value" in result.stderr


def test_rebuild_loads_what_was_active_or_what_it_is_told(small: Engine, run: Run) -> None:
    small.client.flushall()
    result = run("rebuild", "--post", str(VIRAL), "--json")
    assert result.exit_code == 0
    assert figures(result) == {"looked_at": 1, "cached": 1}
    assert [s.sampled for s in small.post_snapshots.snapshots([POST, VIRAL])] == [False, True]
    assert figures(run("rebuild", "--json")) == {"looked_at": 2, "cached": 1}
    assert small.post_snapshots.snapshots([POST])[0].complete
    assert small.verify().found == {}


def test_deadletters_are_listed_and_replayed(small: Engine, run: Run) -> None:
    assert "no dead letters" in run("deadletters").stdout
    small.dead_letters.add(str(POST), "70", "2:8", "it was full")
    small.dead_letters.add(str(POST), "71", "broken", "not a type:version entry")
    result = run("deadletters", "--json")
    assert result.exit_code == 0
    assert "it was full" in result.stdout
    first, second = figures(result)["letters"]
    assert (first["user"], second["value"]) == ("70", "broken")
    result = run("deadletters", "--replay", "--json")
    assert result.exit_code == 1
    assert figures(result)["recorded"] == 1
    assert run("deadletters", "--replay", "--id", str(second["id"])).exit_code == 1
    assert small.reactions.reaction_of(70, POST) == "love"


def test_duties_say_when_they_last_succeeded(small: Engine, run: Run) -> None:
    assert "is beat running" in run("duties").stdout
    with DutyRuns(small.database).run("audit") as audit:
        assert audit is not None
        audit.found["ledger"] = 2
        audit.detail.append("post 7: 3 rows")
    with pytest.raises(RuntimeError), DutyRuns(small.database).run("cleanup"):
        raise RuntimeError("no")
    result = run("duties", "--json")
    assert re.search(r"audit +\d\.\d s ago", result.stdout)
    assert re.search(r"cleanup +never +0 +1", result.stdout)
    audited, tidied = figures(result)["duties"]
    assert (audited["runs"], audited["kinds"]) == (1, {"ledger": 2})
    assert (tidied["failures"], tidied["succeeded_at"]) == (1, None)


def test_rising_lists_posts_on_their_way(small: Engine, run: Run) -> None:
    assert "no post is rising" in run("rising").stdout
    with small.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET tier = 3 WHERE post_id IN (1042, 1143)"))
    now = int(small.clock.now_us())
    small.client.set(keys.post_rate(POST), f"1e-8|{now}|6", px=60_000)
    result = run("rising", "--json")
    first, second = figures(result)["rising"]
    assert (first["post_id"], first["reactions"]) == (POST, 6)
    assert first["threshold_in_s"] == pytest.approx(400, rel=0.2)
    assert (second["post_id"], second["threshold_in_s"]) == (VIRAL, None)
    assert re.search(r"1042 +6 +0\.01 +7 min", result.stdout)


def test_metrics_are_what_the_stores_have(small: Engine, run: Run) -> None:
    with DutyRuns(small.database).run("audit") as audit:
        assert audit is not None
        audit.found["ledger"], audit.repaired, audit.looked_at = 2, 2, 50
    small.dead_letters.add(str(POST), "70", "2:8", "it was full")
    small.reactions.react(30, POST, "like")
    result = run("metrics", "--once")
    assert result.exit_code == 0
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(result.stdout):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    assert found["reactions_duty_runs_total", "duty=audit,outcome=ok"] == 1
    assert found["reactions_duty_found_total", "duty=audit,kind=ledger"] == 2
    assert found["reactions_duty_repaired_total", "duty=audit"] == 2
    assert found["reactions_duty_looked_at_total", "duty=audit"] == 50
    assert found["reactions_duty_last_success_timestamp_seconds", "duty=audit"] > 1.7e9
    assert found["reactions_dead_letters", ""] == 1
    assert found["reactions_dirty_posts", "shard=42"] == 1
    assert found["reactions_dirty_posts", "shard=41"] == 0
    assert 0 <= found["reactions_oldest_change_seconds", "shard=42"] < 60
    assert found["reactions_lag_seconds_bucket", "le=+Inf"] == 21
    assert found["reactions_lag_seconds_bucket", "le=300.0"] == 21


def test_without_its_stores_a_command_says_which_one(small: Engine) -> None:
    nowhere = {**small.settings.environment(), "REACTIONS_REDIS_URL": "redis://127.0.0.1:1/0"}
    for command in (["inspect", "1"], ["rebuild"], ["rising"], ["metrics", "--once"]):
        result = CliRunner().invoke(main, command, env=nowhere)
        assert result.exit_code != 0
        assert "Redis" in result.stderr or "Redis" in str(result.exception)
