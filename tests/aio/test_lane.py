"""``Lane``: one packet a turn, one connection, own answers and own errors, and bounds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from reactions.aio import lane as lanes
from reactions.aio.line import Line
from reactions.redis.wire import pack
from tests.aio.driving import ask, in_loop, lane_to, until
from tests.redis.fake_server import HANG_UP, Answer, listening, saying

SILENT_S = 0.2


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each packet had."""
    seen: list[int] = []
    send = Line.send

    async def counting(line: Line, calls: Any) -> None:
        seen.append(len(calls))
        await send(line, calls)

    monkeypatch.setattr(Line, "send", counting)
    return seen


def test_calls_of_one_turn_leave_in_one_packet_on_one_connection(
    redis_url: str, packets: list[int]
) -> None:
    async def main() -> None:
        with Redis.from_url(redis_url) as client:
            before = {each["id"] for each in client.client_list()}  # some are of earlier tests
            async with lane_to(redis_url) as lane:
                await ask(lane, "SET", "number", "0")
                packets.clear()
                found = await asyncio.gather(*(ask(lane, "INCR", "number") for _ in range(100)))
                assert found == [[number] for number in range(1, 101)]
                assert packets == [100]
                assert len({each["id"] for each in client.client_list()} - before) == 1

    in_loop(main)


def test_a_large_number_of_calls_is_divided_into_packets(
    redis_url: str, packets: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "PACKET_BYTES", 1_000)

    async def main() -> None:
        async with lane_to(redis_url) as lane:
            await asyncio.gather(*(ask(lane, "ECHO", "x" * 100) for _ in range(100)))

    in_loop(main)
    assert len(packets) > 5
    assert sum(packets) == 100


def test_an_error_reply_is_the_answer_to_its_own_call(redis_url: str) -> None:
    async def main() -> None:
        async with lane_to(redis_url) as lane:
            await ask(lane, "SET", "text", "x")
            wrong, right = ask(lane, "INCR", "text"), ask(lane, "GET", "text")
            assert isinstance((await wrong)[0], ResponseError)
            assert await right == [b"x"]

    in_loop(main)


def test_a_cancelled_call_takes_no_reply_of_another(redis_url: str) -> None:
    async def main() -> None:
        async with lane_to(redis_url) as lane:
            await ask(lane, "PING")
            calls = [ask(lane, "ECHO", str(number)) for number in range(10)]
            calls[3].cancel()  # before it was sent
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            calls[5].cancel()  # after that
            left = [call for call in calls if not call.cancelled()]
            found = [(await call)[0] for call in left]
            assert found == [str(n).encode() for n in range(10) if n not in (3, 5)]

    in_loop(main)


def counting_down(first: int) -> tuple[Answer, list[bytes]]:
    """Answer so many commands of the first packet, and hang up in the middle of the next reply."""
    seen: list[bytes] = []
    greet = saying(b"")

    def answer(request: bytes) -> bytes:
        if b"ECHO" not in request:
            return greet(request)
        if seen:
            return HANG_UP
        seen.append(request)
        return b"$1\r\n0\r\n" * first + b"$1\r"

    return answer, seen


def echo(request: bytes) -> bytes:
    greet = saying(b"")
    if b"ECHO" not in request:
        return greet(request)
    words = [part.split(b"\r\n")[0] for part in request.split(b"ECHO\r\n$1\r\n")[1:]]
    return b"".join(b"$1\r\n%s\r\n" % word for word in words)


def test_a_server_that_dies_in_the_middle_of_a_packet() -> None:
    """Calls that were answered keep their answers; the others are sent once more, in order."""
    dying, seen = counting_down(3)

    async def main(port: int) -> Any:
        async with lane_to(f"redis://127.0.0.1:{port}/0") as lane:
            calls = [ask(lane, "ECHO", str(number)) for number in range(8)]
            await until(calls[2].done, "three answers")
            assert not calls[3].done()
            calls[4].cancel()  # nobody wants it, so it is not sent again
            late = ask(lane, "ECHO", "9")  # this packet makes the server hang up
            return [*await asyncio.gather(*calls[:4], *calls[5:]), *await late]

    with listening(dying, echo) as port:
        found = in_loop(lambda: main(port))
    assert len(seen) == 1
    assert found == [[b"0"], [b"0"], [b"0"], [b"3"], [b"5"], [b"6"], [b"7"], b"9"]


def test_a_server_that_dies_each_time_fails_each_call_once() -> None:
    asked: list[bytes] = []
    greet = saying(b"")

    def answer(request: bytes) -> bytes:
        if b"ECHO" not in request:
            return greet(request)
        asked.append(request)
        return HANG_UP

    async def main(port: int) -> Any:
        async with lane_to(f"redis://127.0.0.1:{port}/0") as lane:
            calls = [ask(lane, "ECHO", str(number)) for number in range(5)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with listening(answer) as port:
        found = in_loop(lambda: main(port))
    assert all(isinstance(error, RedisConnectionError) for error in found)
    assert len({id(error) for error in found}) == 5  # each caller has an error of its own
    assert len(asked) == 2


def test_a_silent_server_fails_every_call_and_keeps_nothing() -> None:
    async def main(port: int) -> None:
        async with lane_to(f"redis://127.0.0.1:{port}/0", SILENT_S) as lane:
            calls = [ask(lane, "ECHO", "x") for _ in range(50)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(error, RedisTimeoutError) for error in found)
            assert lane._number() == lane._bytes == 0

    with listening(saying(b"")) as port:
        in_loop(lambda: main(port))


def test_a_connection_that_fell_silent_is_replaced() -> None:
    """As a firewall does: the connection was open before, and nobody answers over it any more."""

    async def main(port: int) -> None:
        async with lane_to(f"redis://127.0.0.1:{port}/0", SILENT_S) as lane:
            assert await ask(lane, "ECHO", "1") == [b"1"]
            assert await ask(lane, "ECHO", "2") == [b"2"]

    with listening(saying(b"$1\r\n1\r\n", b""), echo) as port:
        in_loop(lambda: main(port))


def test_no_server() -> None:
    async def main() -> Any:
        async with lane_to("redis://127.0.0.1:1/0") as lane:
            calls = [ask(lane, "PING") for _ in range(3)]
            return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(error) for error in in_loop(main)] == [RedisConnectionError] * 3


def test_what_waits_is_bounded(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_CALLS", 10)
    monkeypatch.setattr(lanes, "MAX_BYTES", 5_000)

    async def main() -> None:
        async with lane_to(redis_url) as lane:
            calls = [ask(lane, "PING") for _ in range(10)]
            with pytest.raises(RedisTimeoutError, match="10 calls of this process wait"):
                ask(lane, "PING")
            await asyncio.gather(*calls)
            assert (await ask(lane, "ECHO", "x" * 50_000))[0]  # one large call may always pass
            large = [ask(lane, "ECHO", "x" * 2_000) for _ in range(2)]
            with pytest.raises(RedisTimeoutError, match="2 calls"):
                ask(lane, "ECHO", "x" * 2_000)
            await asyncio.gather(*large)
            assert lane._bytes == 0

    in_loop(main)


def test_a_reply_that_tells_of_a_role_condemns_the_connection() -> None:
    """The next call goes over a new connection; a call that is under way keeps the old one."""
    demoted = saying(b"-READONLY You can't write against a read only replica.\r\n")

    async def main(port: int) -> None:
        async with lane_to(f"redis://127.0.0.1:{port}/0") as lane:
            assert isinstance((await ask(lane, "ECHO", "1"))[0], RedisError)
            assert await ask(lane, "ECHO", "2") == [b"2"]

    with listening(demoted, echo) as port:
        in_loop(lambda: main(port))


def test_a_connection_that_was_idle_for_long_is_replaced(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with lane_to(redis_url) as lane:
            first = await ask(lane, "CLIENT", "ID")
            assert await ask(lane, "CLIENT", "ID") == first
            monkeypatch.setattr("reactions.aio.line.MAX_IDLE_S", -1.0)
            assert await ask(lane, "CLIENT", "ID") != first

    in_loop(main)


def test_closing_fails_what_is_under_way(redis_url: str) -> None:
    async def main() -> None:
        async with lane_to(redis_url) as lane:
            await ask(lane, "PING")
            call = lane.submit(pack(("BLPOP", "nothing", "0")), 1)
            await asyncio.sleep(0.01)
        with pytest.raises(RedisConnectionError, match="closed"):
            await call

    in_loop(main)
