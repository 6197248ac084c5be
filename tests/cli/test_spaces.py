"""The commands with ``--space``, and those that see every space."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from redis import Redis
from sqlalchemy import text

from reactions.cli.main import main
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.migrate import at_head
from tests.cli.conftest import figures
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.prometheus_text import parse_metrics
from tests.support.waiting import patience, patient

ITEM = 1042


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=settings.environment())


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[str]:
    with own_database(postgres.url) as url:
        yield url


@pytest.fixture
def settings(redis_url: str, database: str) -> Settings:
    values = {"broker_url": DEAD_BROKER, "redis_timeout_s": patience(0.5), **patient()}
    spaces = {"comment": {"reaction_types": "up,down"}}
    return Settings(redis_url=redis_url, database_url=database, spaces=spaces, **values)


@pytest.fixture
def comments(settings: Settings) -> Iterator[Engine]:
    """Migrated by the command; the space was not there before the first test."""
    assert run(settings, "migrate").exit_code == 0
    engine = make_engine(settings.of_space("comment"))
    with engine.database.engine.begin() as connection:
        connection.execute(text("TRUNCATE reactions, reaction_counts, posts, dead_letters"))
    yield engine
    engine.close()


def test_migrate_adds_a_space_while_the_others_are_in_use(settings: Settings) -> None:
    posts = make_engine(settings)
    posts.reactions.react(7, ITEM, "love")
    posts.drain()
    assert run(settings, "migrate").exit_code == 0
    assert at_head(settings.of_space("comment"))
    assert posts.reactions.reaction_of(7, ITEM) == "love"
    assert run(settings, "migrate").exit_code == 0  # safe to run again
    posts.close()
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert client.exists("outbox:{0}:types", "outbox:comment:{0}:types") == 2


def test_commands_work_on_the_space_that_they_are_given(
    settings: Settings, comments: Engine
) -> None:
    comments.reactions.react_many([(user, ITEM, "up") for user in range(1, 4)])
    comments.drain()
    comments.reactions.react(9, ITEM, "down")
    shown = figures(run(settings, "inspect", str(ITEM), "--space", "comment", "--json"))
    assert shown["counts_database"]["up"] == 3
    assert shown["pending"] == 1
    assert figures(run(settings, "inspect", str(ITEM), "--json"))["pending"] == 0
    verified = figures(run(settings, "verify", "--space", "comment", "--json"))
    assert verified["posts"] >= 1
    assert verified["pending"] == 1
    assert figures(run(settings, "verify", "--json"))["pending"] == 0
    names = figures(run(settings, "types", "list", "--space", "comment", "--json"))["types"]
    assert [each["name"] for each in names] == ["up", "down"]
    for command in (["duties"], ["rising"], ["deadletters"], ["clock"]):
        assert run(settings, *command, "--space", "comment").exit_code == 0, command


def test_an_unknown_space_is_refused(settings: Settings) -> None:
    refused = run(settings, "verify", "--space", "message")
    assert refused.exit_code != 0
    assert "one of post, comment" in refused.stderr


def test_the_doctor_and_the_metrics_see_every_space(settings: Settings, comments: Engine) -> None:
    comments.reactions.react(9, ITEM, "down")
    doctor = run(settings, "doctor", "--json")
    checks = {found["check"]: found["state"] for found in figures(doctor)["findings"]}
    assert checks["migrations"] == checks["comment: migrations"] == "ok"
    assert checks["comment: reaction types"] == checks["comment: dead letters"] == "ok"
    assert checks["comment: oldest pending"] == "ok"
    metrics = parse_metrics(run(settings, "metrics", "--once").stdout)
    assert metrics["reactions_dirty_posts"]["shard=42,space=comment"] == 1
    assert metrics["reactions_dirty_posts"]["shard=42,space=post"] == 0
    assert metrics["reactions_posts"]["space=comment,tier=viral"] == 0
    assert set(metrics["reactions_dead_letters"]) == {"space=post", "space=comment"}
