"""``Outage``: one server is stopped for the middle third of a replay."""

from __future__ import annotations

from typing import cast

from reactions.demo.outage import Outage, Target
from reactions.demo.stack import Stack


class Server:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def stop(self) -> None:
        self.calls.append("stop")

    def start(self) -> None:
        self.calls.append("start")


class Servers:
    def __init__(self) -> None:
        self.broker, self.postgres = Server(), Server()


def play(servers: Servers, target: Target | None) -> Outage:
    outage = Outage(cast(Stack, servers), target, 300)
    for accepted in range(0, 301, 10):
        outage.at(accepted)
        stopped = servers.broker.calls == ["stop"]
        assert stopped == (target == "broker" and 100 <= accepted < 200)
    return outage


def test_the_broker_is_stopped_for_the_middle_third() -> None:
    servers = Servers()
    outage = play(servers, "broker")
    assert servers.broker.calls == ["stop", "start"]
    assert servers.postgres.calls == []
    assert outage.seconds > 0


def test_without_a_target_nothing_stops() -> None:
    servers = Servers()
    assert play(servers, None).seconds == 0
    assert servers.broker.calls == servers.postgres.calls == []
