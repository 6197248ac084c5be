"""Each benchmark of reads and calls runs, briefly, and reports what its tables need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.support.statement_log import count_statements
from tests.support.waiting import patience

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def patient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark takes the limits that a product has; a busy machine needs longer ones."""
    for name, seconds in (("READ", 1.0), ("DATABASE", 4.0), ("REDIS", 0.5)):
        monkeypatch.setenv(f"REACTIONS_{name}_TIMEOUT_S", str(min(60, patience(seconds))))


def run(*arguments: str) -> Any:
    """Run a benchmark; returns its JSON, which is the last line of its output."""
    result = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_feeds_are_measured_on_every_side() -> None:
    found = run(
        *("feeds", "--seconds", "0.02", "--rounds", "2"),
        *("--posts", "300", "--rows", "5", "--feeds", "10"),
    )
    warm = found["cases"]["20 posts"]
    assert set(warm["sides"]) == {
        "ours",
        "ours, cluster",
        "PostgreSQL alone",
        "PostgreSQL, wide",
        "PING",
    }
    assert warm["sides"]["PostgreSQL alone"]["redis"] == 0
    assert warm["sides"]["ours"]["redis"] > 0
    assert warm["to_postgres"]["together"]["median"] > 0
    dirty = found["cases"]["20 posts, 5 dirty"]["sides"]
    assert set(dirty) == {"ours", "ours, cluster", "PostgreSQL alone"}
    assert {"reaction_of", "counts", "1 post", "200 posts"} <= set(found["cases"])


@pytest.mark.parametrize("server", ["valkey", "redis"])
def test_calls_are_measured_beside_another_checkout(server: str) -> None:
    found = run(
        *("calls", "--seconds", "0.02", "--rounds", "2", "--server", server),
        *("--against", str(ROOT)),
    )
    assert set(found["client_ratios"]) == {
        "react(), older version",
        "EVALSHA by redis-py",
        "plain socket, hiredis",
    }
    server_us = found["server_us"]
    assert server_us["react.lua, older version"]["server_us"] > server_us["PING"]["server_us"] > 0


def test_a_cluster_is_measured_beside_one_server() -> None:
    found = run("cluster", "--calls", "2", "--rounds", "2")["calls"]
    assert set(found) == {"summaries(100)", "react_many(100)", "react()"}
    for call in found.values():
        assert set(call["sides"]) == {"one server", "three nodes"}
        assert call["ratio"]["median"] > 0


def test_rates_are_measured_beside_another_checkout() -> None:
    found = run(
        *("rates", "--seconds", "1", "--idle", "0.5", "--rate", "60", "--workers", "1"),
        *("--against", str(ROOT)),
    )["versions"]
    assert set(found) == {"this version", "older version", "PostgreSQL alone"}
    assert found["PostgreSQL alone"]["60/s"]["workers_ms"] == 0
    for name in ("this version", "older version"):
        assert found[name]["60/s"]["lag_p50_ms"] > 0
        assert found[name]["60/s"]["reactions"] >= 40


def test_a_mix_ends_with_exact_counts_and_says_what_reached_postgresql() -> None:
    found = run(
        *("suite", "--part", "compare", "--workload", "mix", "--rounds", "1", "--seconds", "0.5"),
        *("--only", "ours", "--only", "postgres-16", "--mix-rows", "1000", "--hot", "5"),
    )["contenders"]
    (mix,) = found.values()
    for name in ("ours", "postgres-16"):
        assert [each["exact"] for each in mix[name]["runs"]] == [True]
        assert mix[name]["operations"]["median"] > 0
    reached = mix["ours"]["runs"][0]["reached"]
    assert set(reached) <= {"cold post", "unknown user", "both"}


def test_statements_are_counted_without_begin_and_commit() -> None:
    lines = ["a|LOG:  statement: BEGIN", "a|LOG:  statement: SELECT 1", "b|LOG:  other"]
    lines += ["a|LOG:  statement: UPDATE x", "a|LOG:  statement: COMMIT"]
    assert count_statements(lines) == {"transactions": 1, "of_them_pings": 1, "statements": 2}


def test_the_asynchronous_client_is_measured_beside_threads_and_redis_py() -> None:
    rows = run("aio", "--calls", "40")["rows"]
    ways = {row["way"] for row in rows if row["call"] == "react" and row["callers"] == 16}
    assert len(ways) == 4
    assert {row["callers"] for row in rows} == {1, 16, 256, 2_000}
    assert all(row["cpu_us"] > 0 for row in rows)
