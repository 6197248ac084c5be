"""``reactions.ops.doctor.sentinel``: Sentinels that are down, disagree, or could not fail over."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactions.core.settings import Settings
from reactions.ops.doctor import sentinel
from reactions.ops.doctor.findings import Finding, State
from reactions.ops.doctor.sentinel import check_sentinels
from reactions.redis.connection import connect
from tests.support.sentinel import SERVICE, Watched, running_sentinels
from tests.support.waiting import patience, wait_until


def examined(url: str) -> dict[str, Finding]:
    with connect(Settings(redis_url=url)) as client:
        return {each.check: each for each in check_sentinels("redis", url, client)}


def states(watched: Watched) -> dict[str, State]:
    return {check: finding.state for check, finding in examined(watched.url).items()}


def test_one_server_has_no_sentinels(redis_url: str) -> None:
    assert examined(redis_url) == {}


@pytest.mark.slow
def test_each_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what changes little to what ends every Sentinel."""
    monkeypatch.setattr(sentinel, "ANSWER_S", patience(2))
    healthy = {
        "redis sentinels": State.OK,
        "redis sentinels agree": State.OK,
        "redis sentinels quorum": State.OK,
        "redis sentinels replicas": State.OK,
        "redis min replicas": State.WARNING,
    }
    with running_sentinels(tmp_path) as watched:
        wait_until(lambda: states(watched) == healthy, what="each sees the others")
        for server in watched.servers:
            with server.client() as client:
                client.config_set("min-replicas-to-write", 1)
        assert states(watched)["redis min replicas"] is State.OK
        found = examined(watched.url.replace(f"/{SERVICE}/", "/nobody/"))
        assert found["redis sentinels agree"].found == "none of them knows the service"
        with watched.sentinels[2].client() as wrong:
            wrong.execute_command("SENTINEL", "REMOVE", SERVICE)
            wrong.execute_command("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", 1, 2)
        found = examined(watched.url)
        assert found["redis sentinels agree"].state is State.FAILURE
        told = found["redis sentinels agree"].found
        assert f"{watched.sentinels[2].port} names 127.0.0.1:1" in told
        watched.sentinels[2].kill()
        assert states(watched)["redis sentinels"] is State.WARNING
        watched.servers[1].kill()
        wait_until(
            lambda: states(watched)["redis sentinels replicas"] is State.FAILURE,
            what="they notice that the replica is down",
        )
        watched.sentinels[1].kill()
        wait_until(
            lambda: states(watched)["redis sentinels quorum"] is State.FAILURE,
            what="the last one notices that it is alone",
        )
        assert states(watched)["redis sentinels"] is State.FAILURE
        watched.sentinels[0].kill()
        (found_alone,) = [each for each in examined(watched.url).values() if "sent" in each.check]
        assert found_alone.found.startswith("3 of 3 do not answer")
