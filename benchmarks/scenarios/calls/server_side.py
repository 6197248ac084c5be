"""The server's part of a call: processor time of the script, beside older scripts and a PING."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.scenarios.calls.capture import Captured
from benchmarks.scenarios.calls.client_side import USERS, Plain
from benchmarks.support import processor
from benchmarks.support.output import Show
from benchmarks.support.statistics import spread
from reactions.redis.wire import Argument

BLOCK = 250
"""Calls between two looks at the server's processor time; every one is a user's first."""

READ_EVERY = 20
"""Calls between two reads of the post, each of which makes its summary anew."""

CODES = range(1, 7)

Block = Callable[[], int]
"""Makes some calls, and returns their number."""


def reset(client: Redis, captured: Captured, *, warm: bool) -> None:
    """Take away what the calls have left; ``warm``: everything of the post is cached.

    ``react.lua`` of all versions knows a complete hash by its mark: the number of its buckets in
    the field 0.
    """
    # Without its clock and its wake-up, a shard would ask for another wake-up.
    client.delete(*(k for k in captured.keys if not k.endswith((b":clock", b":wake"))))
    if warm:
        reactions, counts = captured.key("reactions"), captured.key("reaction_counts")
        assert reactions is not None and counts is not None  # noqa: S101, PT018 - both always were
        client.hset(reactions, "0", 1)
        client.hset(counts, mapping={str(code): 100 for code in CODES})


class Server:
    """Measures the processor time of one server, call by call of one kind."""

    def __init__(self, client: Redis, plain: Plain, pid: int) -> None:
        self._client = client
        self._plain = plain
        self._pid = pid
        self.used = 0.0

    def script(self, captured: Captured, *, warm: bool, read: bool = False) -> Block:
        """Calls of a script by users who have no reaction; ``read``: on a post that is read."""
        summary = captured.key("summary") or b""
        flat = ",".join(f"{code},100" for code in CODES)

        def block() -> int:
            reset(self._client, captured, warm=warm)
            call = self._plain.call
            before = processor.used_s(self._pid)
            for number in range(BLOCK):
                if read and number % READ_EVERY == 0:
                    call(("SET", summary, f"0,{flat}"))
                call(captured.words(1 + number % USERS, 1 + number % 6))
            self.used = processor.used_s(self._pid) - before
            return BLOCK

        return block

    def command(self, *words: Argument) -> Block:
        def block() -> int:
            before = processor.used_s(self._pid)
            for _ in range(BLOCK):
                self._plain.call(words)
            self.used = processor.used_s(self._pid) - before
            return BLOCK

        return block

    def measure(
        self, blocks: dict[str, Block], seconds: float, rounds: int, show: Show
    ) -> dict[str, list[float]]:
        """µs of processor a call, one value a round, all kinds in turns."""
        found: dict[str, list[float]] = {name: [] for name in blocks}
        names = list(blocks)
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                found[name].append(self._turn(blocks[name], seconds))
            show("the server's part", number + 1, rounds)
        return found

    def _turn(self, block: Block, seconds: float) -> float:
        used, calls, until = 0.0, 0, time.monotonic() + seconds
        while not calls or time.monotonic() < until:
            calls += block()
            used += self.used
        return used * 1e6 / calls


def figures(found: dict[str, list[float]], one: str) -> dict[str, Any]:
    """The median of each kind, and the ratio of ``one`` to it, round by round."""
    return {
        name: {
            "server_us": round(median(values), 1),
            "ours_to_it": spread([a / b for a, b in zip(found[one], values, strict=True)]),
        }
        for name, values in found.items()
    }
