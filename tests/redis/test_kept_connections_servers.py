"""kept_connections.py with each way to reach a server: names, passwords, TLS, RESP2 and RESP3."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis import Redis
from redis.exceptions import ResponseError

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection import connect, execute, execute_many
from reactions.redis.connection_pool import condemn
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import writes
from reactions.redis.server_options import VALKEY_OPTIONS
from reactions.redis.summary_cache import SummaryCache
from tests.redis.kept import NAME, connections, identity, open_client
from tests.support.guarded import running_guarded
from tests.support.waiting import patience

pytestmark = pytest.mark.slow


@pytest.fixture
def admin(valkey: Valkey) -> Iterator[Redis]:
    with Redis(port=valkey.port) as client:
        client.flushall()
        yield client


def replaced(client: Redis) -> None:
    """Make the next call of this thread use a new connection."""
    condemn(client.connection_pool)


def test_a_connection_keeps_its_name_when_it_is_replaced(valkey: Valkey) -> None:
    with open_client(valkey.url) as client:
        for _ in range(2):
            assert execute(client, ("CLIENT", "GETNAME")) == NAME.encode()
            replaced(client)


def test_a_user_and_a_database(valkey: Valkey, admin: Redis) -> None:
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">s3cret", "~*", "+@all")  # type: ignore[no-untyped-call]
    url = f"redis://reader:s3cret@127.0.0.1:{valkey.port}/3"
    try:
        with open_client(url) as client:
            for _ in range(2):
                assert execute(client, ("ACL", "WHOAMI")) == b"reader"
                execute(client, ("SET", "kept:database", "3"))
                replaced(client)
        assert not admin.exists("kept:database")
    finally:
        admin.execute_command("ACL", "DELUSER", "reader")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols(valkey: Valkey, admin: Redis, protocol: int) -> None:
    settings = Settings(redis_url=valkey.url)
    with open_client(valkey.url, f"protocol={protocol}") as client:
        mine: Any = admin.client_list(client_id=[identity(client)])
        assert mine[0]["resp"] == str(protocol)
        replies = execute_many(client, [("SET", "kept:1", "x"), ("INCR", "kept:1"), ("ECHO", "y")])
        assert replies[0] in (b"OK", True)
        assert isinstance(replies[1], ResponseError)
        assert replies[2] == b"y"
        assert writes.record(keys, 7, 1042, 1, 10_000_000).run(client)[0] == 4
        admin.set(keys.post_summary(1042), "0,1,5;7:0:1")
        found = SummaryCache(client, settings).read([1042, 1043], 7)
        assert found.summaries[1042].reaction == "like"
        assert found.user_loaded is False


def test_what_a_server_pushes_is_no_reply(valkey: Valkey, admin: Redis) -> None:
    """RESP3 has messages that nobody asked for."""
    with open_client(valkey.url, "protocol=3") as client:
        execute(client, ("CLIENT", "TRACKING", "ON", "BCAST"))
        for number in range(5):
            admin.set("kept:pushed", str(number))
            found = execute_many(client, [("GET", "kept:pushed"), ("ECHO", "next")])
            assert found == [str(number).encode(), b"next"]


def test_tls(tmp_path: Path) -> None:
    """Debian's Redis, because the Valkey of the wheel lacks TLS."""
    user = "reactions-worker"
    with (
        running_guarded(tmp_path, "redis", (user,), tls=trustme.CA()) as server,
        connect(Settings(redis_url=server.url_of(user))) as client,
    ):
        for _ in range(2):
            for number in range(3):
                assert execute(client, ("SET", "post:{1}:1:viral", str(number)))
                assert (
                    execute_many(client, [("GET", "post:{1}:1:viral")] * 2) == [b"%d" % number] * 2
                )
            replaced(client)


def test_a_server_that_was_restarted_costs_one_retry(tmp_path: Path) -> None:
    server = Valkey(tmp_path, "restarted", options=VALKEY_OPTIONS)
    server.start()
    try:
        with open_client(server.url) as client, Redis(port=server.port) as admin:
            identity(client)
            for _ in range(2):
                server.stop()
                server.start()
                assert execute(client, ("ECHO", "here")) == b"here"
                assert connections(admin) == {identity(client)}
    finally:
        server.stop()


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from tests.redis.kept import connections, identity, open_client
from reactions.redis.connection import execute
from tests.support.waiting import patience
from redis import Redis

url = sys.argv[1]
with open_client(url) as client, Redis.from_url(url) as admin:
    def calls(_):
        found = set()
        for _ in range(5):
            found.add(identity(client))
            gevent.sleep(0.01)
        return found

    def wave():
        jobs = [gevent.spawn(calls, number) for number in range(20)]
        gevent.joinall(jobs, raise_error=True)
        return [job.value for job in jobs]

    first = wave()
    assert all(len(each) == 1 for each in first), first
    assert len(set.union(*first)) == 20, first
    assert connections(admin) == set.union(*first)
    second = wave()
    assert set.union(*second) == set.union(*first), "the first ones gave theirs back"

    waiting = gevent.spawn(execute, client, ("BLPOP", "kept:gevent", str(patience(0.4))))
    gevent.sleep(0.05)
    assert execute(client, ("ECHO", "others go on")) == b"others go on"
    assert not waiting.ready()
    assert waiting.get() is None
print("done")
"""


def test_gevent_patched_before_the_import(valkey: Valkey, project: Path) -> None:
    """Each greenlet keeps a connection, and waits without stopping the others."""
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS, valkey.url],
        capture_output=True,
        text=True,
        timeout=patience(60),
        cwd=project,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "done\n"
