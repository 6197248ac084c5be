"""A server whose port was taken starts on another one; a stack keeps its ports and its password."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from reactions.demo.addresses import TRIES, Addresses, is_free, start_on_free_port
from reactions.demo.embedded import Valkey
from reactions.demo.process import PortTaken, free_port
from reactions.demo.services import Flower, PageServer, WebService
from tests.support import http
from tests.support.engine import Engine


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.mark.slow
def test_valkey_moves_away_from_a_taken_port_and_keeps_the_new_one(
    tmp_path: Path, taken: int
) -> None:
    server = Valkey(tmp_path)
    server.port = taken  # taken after it was found to be free
    try:
        server.start()
        port = server.port
        assert port != taken
        server.stop()
        server.start()
        assert server.port == port
    finally:
        server.kill()


@pytest.mark.slow
def test_valkey_does_not_mistake_another_valkey_for_itself(tmp_path: Path, valkey: Valkey) -> None:
    server = Valkey(tmp_path, "mine")
    server.port = valkey.port
    try:
        server.start()
        with Redis(port=server.port) as client:
            assert client.info("server")["process_id"] == server.pid
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flower", "page"])
def test_web_services_move_away_from_a_taken_port(
    tmp_path: Path, taken: int, kind: str, engine: Engine
) -> None:
    flower = Flower(tmp_path, taken, "s3cret")
    service: WebService = (
        flower if kind == "flower" else PageServer(tmp_path, taken, tmp_path, flower)
    )
    settings = engine.settings.model_copy(update={"broker_url": engine.settings.redis_url})
    try:
        service.serve(settings)
        assert service.port != taken
        assert service.answers()
        if kind == "page":  # links to Flower, and does not know its password
            room = http.get(f"http://127.0.0.1:{service.port}/room").json()
            assert room["flower"] == f"http://127.0.0.1:{taken}/"
    finally:
        service.kill()


def test_it_gives_up_when_every_port_is_taken() -> None:
    tried: list[int] = []
    port = 1

    def start() -> None:
        tried.append(port)
        raise PortTaken("taken")

    def move() -> None:
        nonlocal port
        port += 1

    with pytest.raises(PortTaken):
        start_on_free_port(start, move)
    assert tried == list(range(1, TRIES + 1))


def test_ports_and_password_are_those_of_the_last_time(tmp_path: Path) -> None:
    first = Addresses(tmp_path)
    ports = {"valkey": free_port(), "page": free_port()}
    assert first.keep(ports) == []
    second = Addresses(tmp_path)
    assert second.password == first.password
    assert {name: second.port(name) for name in ports} == ports
    assert stat.S_IMODE((tmp_path / "addresses.json").stat().st_mode) == 0o600


def test_a_port_that_was_taken_meanwhile_is_replaced_and_named(tmp_path: Path, taken: int) -> None:
    assert not is_free(taken)
    Addresses(tmp_path).keep({"page": taken})
    again = Addresses(tmp_path)
    port = again.port("page")
    assert port != taken
    assert again.keep({"page": port}) == [f"port {taken} was taken: page listens on {port}"]


@pytest.mark.parametrize("text", ["", "[]", "no json", '{"page": "x", "password": 1}'])
def test_a_broken_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "addresses.json").write_text(text)
    assert Addresses(tmp_path).port("page") > 0
    assert Addresses(tmp_path).password
