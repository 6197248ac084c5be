"""The whole system works with its users and roles, with and without TLS, and leaks no password."""

from __future__ import annotations

import re
import traceback
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reactions.api.client import Reactions
from reactions.core.celery_app import make_app, make_publisher
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.demo.process import Process, free_port
from reactions.demo.services import Flower
from reactions.postgres.database import Database
from reactions.redis.connection import connect, translated
from tests.security.system import System, run, running_system
from tests.security.test_redis_users import BEFORE_LOGIN, BROKER, granted, refused, unused
from tests.support.guarded import PASSWORD, PIECES

pytestmark = pytest.mark.slow

WRONG = "wrong" + PASSWORD
ENCODED = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


def leaks(seen: str) -> set[str]:
    """Return the pieces of the password in this text, also inside base64."""
    encoded = [found.rstrip("=") for found in ENCODED.findall(seen)]
    whole = [found[: len(found) // 4 * 4] for found in encoded]
    texts = [seen, *(b64decode(found).decode(errors="replace") for found in whole)]
    return {piece for piece in PIECES for text in texts if piece in text}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A system that ran from the first reaction to the end of its processes."""
    with running_system(tmp_path_factory.mktemp("system"), tls=request.param) as running:
        with running.broker.admin() as broker, running.store.admin() as store:
            broker.config_resetstat()
            for server in (broker, store):
                server.acl_log_reset()
            run(running)
        yield running


def test_it_worked(system: System) -> None:
    assert '"messages": 0' in system.seen["Flower queues"]
    assert "Traceback" not in system.seen["log of worker"] + system.seen["log of beat"]
    assert system.command("reactions", "verify").returncode == 0
    reader = system.urls("reactions-worker", "reader")
    shown = system.command("reactions", "metrics", "--once", "--only=stores", **reader)
    assert 'reactions_queue_messages{queue="persistence"}' in shown.stdout
    assert "reaction types not checked" in system.seen["log of beat"]  # it has no database
    for server in (system.store, system.broker):
        with server.admin() as admin:
            assert [entry["object"] for entry in admin.acl_log()] == []


def test_the_broker_user_has_exactly_the_rights_that_it_uses(system: System) -> None:
    with system.broker.admin() as admin:
        seen = admin.info("commandstats")
    used = {name.removeprefix("cmdstat_") for name, found in seen.items() if found["calls"]}
    mine = {"config|resetstat", "acl|log", "scan", "type", "hgetall", "lrange", "hlen", "info"}
    may = granted(system.broker, BROKER)
    elsewhere = {"cluster|slots", "command"}  # of beat, whose lock may be on a cluster
    assert unused(may, used) <= elsewhere | ({"select"} if system.database == 0 else set())
    assert refused(may, used - BEFORE_LOGIN - mine) == set()


def test_no_password_shows(system: System) -> None:
    """Workers, logs, queues and the process list show none."""
    assert "DEBUG" in system.seen["log of worker"]
    assert "://reactions-broker:**@" in system.seen["log of worker"]
    assert "redbeat_redis_url" in system.seen["inspect conf"]
    assert "redbeat" in system.seen["broker"]
    assert "reactions.tasks" in system.seen["arguments of processes"]
    assert {where: leaks(seen) for where, seen in system.seen.items() if leaks(seen)} == {}


def test_the_password_of_flower_is_not_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``reactions up`` and ``reactions demo`` pass it in the environment."""
    launched: list[tuple[list[str], Mapping[str, str]]] = []
    monkeypatch.setattr(Process, "launch", lambda _, command, env: launched.append((command, env)))
    flower = Flower(tmp_path, free_port(), "s3cret")
    flower.start(Settings())
    ((command, env),) = launched
    password = env["FLOWER_BASIC_AUTH"].removeprefix("reactions:")
    assert f":{password}@" in flower.url
    assert password not in " ".join(command)


def test_leaks_finds_passwords() -> None:
    assert leaks(f"x {PASSWORD}") == set(PIECES)
    assert leaks("eyJraW5kIjogImRyYWluIiwgInBhc3N3b3JkIjogIlpyMlJ0NSBYcTFKdzgifQ==") == {PIECES[0]}
    assert leaks("nothing") == set()


def chain(error: BaseException | None) -> str:
    """Return everything that a handler could print about an error and its causes."""
    shown = []
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        shown += traceback.format_exception(error)
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


def test_no_password_in_an_error_or_a_repr(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    urls = system.urls("reactions-web", "reader")
    right = urls["database_url"].partition("@")[2]
    urls |= {
        "redis_url": system.store.url_of("reactions-web", password=WRONG),
        "broker_url": system.broker.url_of(BROKER, password=WRONG),
        "database_url": system.roles.url_of("reader", WRONG).partition("@")[0] + "@" + right,
    }
    wrong = Settings(**urls)
    database, client = Database(wrong), connect(wrong)
    shown = []
    with Reactions(wrong) as web:
        tries = (
            lambda: web.react(1, 1, "like"),
            lambda: web.history(1),
            lambda: database.transaction().__enter__(),
            lambda: make_publisher(wrong).send_task("reactions.drain", kwargs={"shards": [1]}),
        )
        for attempt in tries:
            with pytest.raises(Exception, match=r"WRONGPASS|invalid|authentication") as caught:
                attempt()
            shown.append(chain(caught.value))
        things: list[object] = [wrong, web, database, database.engine, database.engine.url, client]
        app = make_app(wrong)
        things += [app, app.connection(), app.conf.table(censored=True)]
        shown += [f"{thing!r} {thing}" for thing in things]
    with pytest.raises(Exception, match=r"WRONGPASS|invalid"), translated():
        client.ping()
    shown.append(caplog.text)
    assert leaks("\n".join(shown)) == set()


@pytest.mark.parametrize("name", ["redis_url", "broker_url", "database_url"])
@pytest.mark.parametrize("written", [PASSWORD, PASSWORD[7:], "Xq1Jw8/@", "Xq1Jw8?", "Xq1Jw8#x"])
def test_a_password_that_is_not_quoted_is_refused(name: str, written: str) -> None:
    """Otherwise a part of the password would be the host, which errors show."""
    scheme = "postgresql" if name == "database_url" else "redis"
    with pytest.raises(InvalidSettings, match=r"urllib\.parse\.quote") as caught:
        Settings(**{name: f"{scheme}://someone:{written}@127.0.0.1:1/0"})
    assert name in str(caught.value)
    assert leaks(chain(caught.value)) == set()


@pytest.mark.parametrize("name", ["redis_url", "database_url"])
def test_no_password_in_what_a_failing_command_prints(system: System, name: str) -> None:
    url = system.urls("reactions-worker", "writer")[name]
    result = system.command("reactions", "verify", **{name: url.replace("@", "x@", 1)})
    assert result.returncode == 2
    assert re.search("WRONGPASS|invalid username|authentication failed", result.stderr)
    assert "Traceback" not in result.stderr
    assert leaks(result.stdout + result.stderr) == set()
