"""The doctor: finds nothing on a healthy stack, and each thing that is broken, with its remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import create_engine, text

from reactions.cli.main import main
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.stack import Stack
from reactions.ops.doctor import Finding, State, examine
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis import keys
from reactions.redis.server_options import VALKEY_OPTIONS
from tests.support.databases import execute_admin
from tests.support.engine import DEAD_BROKER, Engine
from tests.support.guarded import running_guarded
from tests.support.servers import running_postgres, running_redis
from tests.support.waiting import wait_until


def look(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings)}


@contextmanager
def server(folder: Path, options: Mapping[str, str]) -> Iterator[Valkey]:
    running = Valkey(folder, options={**VALKEY_OPTIONS, **options})
    running.start()
    try:
        yield running
    finally:
        running.stop()


def on(settings: Settings, **urls: str) -> Settings:
    return settings.model_copy(update={name: SecretStr(url) for name, url in urls.items()})


def test_a_healthy_stack_has_nothing_to_mend(stack: Stack) -> None:
    wait_until(lambda: look(stack.settings)["duties"].state is State.OK, 60, "a sweep is recorded")
    result = CliRunner().invoke(main, ["doctor", "--json"], env=stack.settings.environment())
    said = json.loads(result.stdout.splitlines()[-1])
    assert [f for f in said["findings"] if f["state"] != "ok"] == []
    assert (result.exit_code, said["healthy"]) == (0, True)
    assert {f["check"] for f in said["findings"]} == {
        "environment",
        "retry schedule",
        *(f"redis {check}" for check in ("version", "eviction", "persistence", "memory")),
        *(f"broker {check}" for check in ("version", "eviction", "persistence", "memory")),
        "redis listpacks",
        "oldest pending",
        "postgresql version",
        "migrations",
        "reaction types",
        "dead letters",
        "duties",
        "clocks",
        "beat",
        "queue persistence",
        "queue maintenance",
    }
    shown = CliRunner().invoke(main, ["doctor"], env=stack.settings.environment()).stdout
    assert "0 failures, 0 warnings in 21 checks" in shown


def test_servers_that_are_away_are_findings(settings: Settings) -> None:
    nowhere = on(
        settings, redis_url=DEAD_BROKER, database_url="postgresql+psycopg2://127.0.0.1:1/x"
    )
    result = CliRunner().invoke(main, ["doctor", "--json"], env=nowhere.environment())
    assert result.exit_code == 1
    said = json.loads(result.stdout.splitlines()[-1])
    silent = [f for f in said["findings"] if f["found"].startswith("does not answer")]
    assert [f["check"] for f in silent] == ["redis", "postgresql", "broker"]
    assert all(f["state"] == "failure" and "REACTIONS_" in f["remedy"] for f in silent)


def test_a_stopped_postgresql_hides_nothing_else(settings: Settings) -> None:
    with running_postgres(18) as postgres:
        away = on(settings, database_url=postgres.url.replace("://", "+psycopg2://", 1))
        postgres.stop()
        found = look(away)
        postgres.start()
    assert found["postgresql"].state is State.FAILURE
    assert found["redis persistence"].state is State.OK


def test_a_server_that_may_lose_reactions(settings: Settings, tmp_path: Path) -> None:
    options = {
        "maxmemory-policy": "allkeys-lru",
        "appendonly": "no",
        "hash-max-listpack-entries": "128",
    }
    with server(tmp_path, options) as valkey, Redis(port=valkey.port) as client:
        bad = on(settings, redis_url=valkey.url, broker_url=valkey.url)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.03))
        found = look(bad)
        assert found["redis eviction"].state is State.FAILURE
        assert "CONFIG SET maxmemory-policy volatile-lru" in found["redis eviction"].remedy
        assert found["broker eviction"].state is State.FAILURE
        assert found["redis persistence"] == Finding(
            "redis persistence",
            State.FAILURE,
            "none: a restart loses everything",
            found["redis persistence"].remedy,
        )
        assert found["redis listpacks"].state is State.WARNING
        assert found["redis memory"].state is State.FAILURE
        client.config_set("save", "3600 1")
        assert look(bad)["redis persistence"].state is State.WARNING
        # What it says is to be done helps.
        client.config_set("maxmemory-policy", "volatile-lru")
        client.config_set("maxmemory", "100mb")
        client.config_set("appendonly", "yes")
        client.config_set("hash-max-listpack-entries", "512")
        client.config_set("appendfsync", "no")
        mended = look(bad)
        assert mended["redis persistence"].state is State.WARNING
        client.config_set("appendfsync", "everysec")
        wait_until(lambda: look(bad)["redis persistence"].state is State.OK)
        for check in ("eviction", "memory", "listpacks"):
            assert look(bad)[f"redis {check}"].state is State.OK


def test_nobody_at_work(settings: Settings, valkey: Valkey) -> None:
    found = look(on(settings, broker_url=f"redis://127.0.0.1:{valkey.port}/1"))
    assert found["beat"].state is State.FAILURE
    for queue in ("persistence", "maintenance"):
        assert found[f"queue {queue}"].state is State.FAILURE
        assert f"-Q {queue}" in found[f"queue {queue}"].remedy
    assert found["duties"].state is State.WARNING


def test_a_database_that_is_not_migrated(settings: Settings, postgres: Postgres) -> None:
    execute_admin(postgres.url, "CREATE DATABASE bare")
    try:
        bare = Settings(database_url=postgres.url.replace("/postgres?", "/bare?")).database_url
        found = look(settings.model_copy(update={"database_url": bare}))
        assert found["migrations"].state is State.FAILURE
        assert found["migrations"].remedy == "run: reactions migrate"
        assert found["dead letters"].found.startswith("not known")
    finally:
        execute_admin(postgres.url, "DROP DATABASE bare WITH (FORCE)")


def test_reaction_types_that_the_database_does_not_know(settings: Settings) -> None:
    more = {**settings.reaction_types, "cool": 7}
    found = look(settings.model_copy(update={"reaction_types": more}))["reaction types"]
    assert (found.state, found.remedy) == (State.FAILURE, "run: reactions migrate")
    other = {"like": 2, "love": 1}
    found = look(settings.model_copy(update={"reaction_types": other}))["reaction types"]
    assert found.state is State.FAILURE
    assert "like, love" in found.found


def test_what_waits_and_what_was_refused(engine: Engine) -> None:
    engine.reactions.react(1, 1042, "like")
    assert look(engine.settings)["oldest pending"].state is State.OK
    for age_s, state in ((60, State.WARNING), (600, State.FAILURE)):
        since = engine.outbox.now_us() - age_s * 1e6
        engine.client.zadd(keys.outbox_dirty(42), {"1042": since})
        assert look(engine.settings)["oldest pending"].state is state
    engine.ledger.add_dead_letter("1042", "70", "2:8", "it was full")
    letters = look(engine.settings)["dead letters"]
    assert letters.state is State.WARNING
    assert "reactions deadletters" in letters.remedy


def test_duties_that_ended_long_ago(engine: Engine) -> None:
    with DutyRuns(engine.database).run("sweep"):
        pass
    assert look(engine.settings)["duties"].state is State.OK
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE duties SET succeeded_at = now() - interval '1 hour'"))
    assert "beat" in look(engine.settings)["duties"].remedy


def test_clocks_that_differ(engine: Engine) -> None:
    """A role whose word for the time is another one stands in for a wrong clock."""
    url = engine.settings.database_url.get_secret_value()
    admin = create_engine(url)
    with admin.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
                " $$ SELECT pg_catalog.clock_timestamp() + interval '7 s' $$"
            )
        )
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET search_path = public, pg_catalog"))
    admin.dispose()
    found = look(engine.settings)["clocks"]
    assert re.search(r"postgresql \+(6\.9|7\.0)", found.found)
    assert (found.state, "NTP" in found.remedy) == (State.FAILURE, True)


def test_a_retry_schedule_that_the_broker_would_repeat(settings: Settings) -> None:
    found = look(settings.model_copy(update={"retry_cap_s": 850.0}))["retry schedule"]
    assert found.state is State.FAILURE
    assert "visibility_timeout" in found.found


def test_a_variable_that_is_no_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its value is not shown: it may be a URL with a password."""
    monkeypatch.setenv("reactions_batch_rows", "7")  # settings are read in any case
    monkeypatch.setenv("REACTIONS_WEB_AUTHENTICATOR", "shop.auth:user_of")
    monkeypatch.setenv("REACTIONS_REDIS_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("REACTIONS_REDIS_PORT_6379_TCP_ADDR", "10.0.0.7")
    assert look(settings)["environment"].state is State.OK
    monkeypatch.setenv("REACTIONS_BATCH_ROW", "7")
    monkeypatch.setenv("REACTIONS_PORT", "s3cret")
    found = look(settings)["environment"]
    assert found.state is State.WARNING
    assert "REACTIONS_BATCH_ROW, REACTIONS_PORT" in found.found
    assert "REACTIONS_BATCH_ROWS for REACTIONS_BATCH_ROW;" in found.remedy
    assert "s3cret" not in f"{found}"


def test_a_missing_right_is_not_known(settings: Settings, tmp_path: Path) -> None:
    """A worker of ``deploy/redis-users.acl`` may ask INFO, not CONFIG."""
    with running_guarded(tmp_path, "valkey", ("reactions-worker",)) as valkey:
        found = look(on(settings, redis_url=valkey.url_of("reactions-worker")))
    assert found["redis eviction"].state is State.OK
    assert found["oldest pending"].state is State.OK
    for check in ("redis listpacks", "redis persistence"):
        assert found[check].found.startswith("not known")
        assert "deploy/redis-users.acl" in found[check].remedy


@pytest.mark.parametrize("kind", ["redis", "cluster"])
def test_every_kind_of_server(settings: Settings, tmp_path: Path, kind: str) -> None:
    with running_redis(tmp_path, kind) as valkey:
        found = look(
            on(settings, redis_url=valkey.url).model_copy(
                update={"redis_cluster": kind == "cluster"}
            )
        )
    name = f"redis 127.0.0.1:{valkey.port}" if kind == "cluster" else "redis"
    for check in ("version", "eviction", "persistence", "memory", "listpacks"):
        assert found[f"{name} {check}"].state is State.OK, asdict(found[f"{name} {check}"])
