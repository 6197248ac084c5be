"""What ``reactions doctor`` can check with the rights of docs/security.md, and as ``admin``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.security.system import System, running_system, working
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NOT_KNOWN = {
    *("redis persistence", "redis listpacks"),
    *(f"broker {check}" for check in ("version", "role", "eviction", "persistence", "memory")),
}
"""These checks need CONFIG on the data server, and INFO on the broker."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with a running worker and Beat."""
    with running_system(tmp_path_factory.mktemp("doctor"), tls=False) as running, working(running):
        wait_until(lambda: "duties" not in amiss(running), 60, "a sweep is recorded")
        yield running


def amiss(system: System, **urls: str) -> dict[str, str]:
    """Return check -> finding of every check that is not ok; none of them may fail."""
    reader = system.roles.url_of("reader")
    result = system.command("reactions", "doctor", "--json", database_url=reader, **urls)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout.splitlines()[-1])["findings"]
    return {each["check"]: each["found"] for each in found if each["state"] != "ok"}


def test_the_doctor_needs_no_more_than_a_worker_and_a_reader(system: System) -> None:
    with system.store.admin() as store, system.broker.admin() as broker:
        for server in (store, broker):
            server.acl_log_reset()
        found = amiss(system)
        assert set(found) == NOT_KNOWN
        assert all("not known" in said and "permissions" in said for said in found.values())
        assert {entry["object"] for entry in store.acl_log()} == {"config|get"}
        assert {entry["object"] for entry in broker.acl_log()} == {"info"}


def test_admin_sees_the_rest(system: System) -> None:
    redis_url = system.store.url_of("admin")
    broker_url = system.broker.url_of("admin", system.database)
    assert amiss(system, redis_url=redis_url, broker_url=broker_url) == {}
