"""A process that reacts on command. ``checkout.Child`` starts it with any version in its path.

It reads one order a line from standard input, in JSON, and answers each with one line:

    {"posts": [1000, 5000], "users": [1, 1000000], "seconds": 5.0, "rate": 250.0, "seed": 7}

``posts`` is the first post and how many there are; the n-th gets n times fewer reactions than the
first. ``users`` is the same for users, who take turns if there is only one post. A ``rate`` of 0
means as fast as possible; ``calls`` instead of ``seconds`` bounds the number of calls.

It must run with versions that have another layout, so it uses only public names of ``reactions``;
``postgres`` as its argument makes it use PostgreSQL alone, which only this version can.
"""

from __future__ import annotations

import json
import random
import sys
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from typing import Any

from reactions import Reactions, Settings

React = Callable[[int, int, int], object]
"""Makes the n-th type the user's reaction on the post: (user, post, n)."""


def connect(contender: str) -> tuple[React, Callable[[], None]]:
    settings = Settings()
    if contender == "postgres":
        from benchmarks.compare.contenders.tables import Session

        session = Session(settings)
        codes = list(settings.reaction_types.values())
        return lambda user, post, n: session.react(user, post, codes[n]), session.close
    client = Reactions(settings)
    names = list(settings.reaction_types)
    return lambda user, post, n: client.react(user, post, names[n]), client.close


def calls(order: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """(user, post, n) without end."""
    (first_post, posts), (first_user, users) = order["posts"], order["users"]
    chance = random.Random(order.get("seed", 0))
    if posts == 1:
        for number in count():
            yield first_user + number % users, first_post, number // users % 6
    weights = list(accumulate(1 / rank for rank in range(1, posts + 1)))
    while True:
        post = first_post + bisect(weights, chance.random() * weights[-1])
        yield first_user + int(chance.random() * users), post, int(chance.random() * 6)


def play(react: React, order: dict[str, Any]) -> dict[str, Any]:
    rate, clock = order.get("rate", 0), time.monotonic
    seconds, most = order.get("seconds", float("inf")), order.get("calls", 1 << 60)
    times: list[float] = []
    each = calls(order)
    used, began = time.process_time(), clock()
    due = began + random.random() / rate if rate else began
    while len(times) < most:
        if rate:
            time.sleep(max(0.0, due - clock()))
            due += 1 / rate
        user, post, n = next(each)
        start = clock()
        if start > began + seconds:
            break
        react(user, post, n)
        times.append((clock() - start) * 1e6)
    return {
        "calls": len(times),
        "seconds": clock() - began,
        "cpu_s": time.process_time() - used,
        "times_us": [round(each, 1) for each in times],
    }


def main() -> None:
    react, close = connect(sys.argv[1])
    answer("ready")
    for line in sys.stdin:
        answer(play(react, json.loads(line)))
    close()


def answer(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
