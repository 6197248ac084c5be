"""``reactions metrics``: what the stores hold, also while one of them is away."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from reactions.postgres.duty_runs import DutyRuns
from tests.cli.conftest import POST, Run
from tests.support.engine import Engine


def test_metrics_are_what_the_stores_have(filled: Engine, run: Run) -> None:
    with DutyRuns(filled.database).run("audit") as audit:
        assert audit is not None
        audit.found["ledger"], audit.repaired, audit.looked_at = 2, 2, 50
    filled.dead_letters.add(str(POST), "70", "2:8", "it was full")
    filled.reactions.react(30, POST, "like")
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
