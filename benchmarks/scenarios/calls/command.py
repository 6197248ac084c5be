"""``python -m benchmarks calls``: what one ``react()`` costs the client and the server.

Nothing drains: the posts are warm, and every turn begins with nothing pending.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from redis import Redis

from benchmarks.scenarios.calls import client_side, server_side
from benchmarks.scenarios.calls.capture import Captured, capture, load
from benchmarks.scenarios.calls.client_side import Plain, Turn
from benchmarks.scenarios.calls.server_side import Block, Server
from benchmarks.support import machine, output, servers
from benchmarks.support.checkout import HERE, Checkout, Child
from benchmarks.support.output import Show
from reactions.cli.console import bars
from reactions.redis.server_options import BROKER_OPTIONS

POSTS = (4_142, 4_243)
"""A post for each version, in different shards."""

BARE, SOCKET = "EVALSHA by redis-py", "plain socket, hiredis"
EMPTY = "an empty script, same keys"
PING = "PING"


def run(seconds: float, rounds: int, against: Path | None, kind: str, show: Show) -> dict[str, Any]:
    """Both parts; each version reacts on a post of its own."""
    versions = [HERE, *([Checkout(against.resolve(), "older version")] if against else ())]
    with servers.temporary_folder("calls") as where, ExitStack() as stack:
        server = stack.enter_context(servers.running_redis(where, kind))
        broker = stack.enter_context(servers.running_redis(where, "broker", BROKER_OPTIONS))
        settings = servers.settings_with(redis_url=server.url, broker_url=broker.url)
        client = stack.enter_context(Redis(port=server.port))
        plain = Plain(server.port)
        stack.callback(plain.close)
        children = [stack.enter_context(Child(v, settings, "reactions")) for v in versions]
        captured = {}
        for version, child, post in zip(versions, children, POSTS, strict=False):
            once = {"posts": [post, 1], "users": [1, 1], "calls": 1}
            captured[version.name] = capture(client, server.port, lambda c=child, o=once: c.ask(o))  # type: ignore[misc]
        for script in captured.values():
            load(client, script.source)

        def prepare() -> None:
            for script in captured.values():
                server_side.reset(client, script, warm=True)

        ours = captured[HERE.name]
        ways: dict[str, Turn] = {
            f"react(), {version.name}": client_side.by_child(child, post)
            for version, child, post in zip(versions, children, POSTS, strict=False)
        }
        ways[BARE] = client_side.by_redis_py(client, ours)
        ways[SOCKET] = client_side.by(plain.call, ours)
        found = client_side.measure(ways, prepare, seconds, rounds, show)
        others = [name for name in ways if name != f"react(), {HERE.name}"]
        measured = Server(client, plain, server.pid)
        kinds = blocks(measured, captured, client)
        return {
            "server": machine.redis_version(client),
            "client": {name: runs.figures() for name, runs in found.items()},
            "client_ratios": client_side.ratios(found, f"react(), {HERE.name}", others),
            "server_us": server_side.figures(
                measured.measure(kinds, seconds, rounds, show), f"react.lua, {HERE.name}"
            ),
        }


def blocks(server: Server, captured: dict[str, Captured], client: Redis) -> dict[str, Block]:
    """Every version on a warm post and on one that nobody has cached; then what is least."""
    found: dict[str, Block] = {}
    for name, script in captured.items():
        found[f"react.lua, {name}"] = server.script(script, warm=True)
        if script.key("summary") is not None:
            found[f"react.lua, {name}, post is read"] = server.script(script, warm=True, read=True)
    for name, script in captured.items():
        found[f"react.lua, {name}, not cached"] = server.script(script, warm=False)
    ours = captured[HERE.name]
    source = b"return {0, 0, 0, 0}"
    empty = Captured(source, ours.keys, ours.post, ours.rest, load(client, source))
    found[EMPTY] = server.script(empty, warm=False)
    found[PING] = server.command("PING")
    return found


def print_tables(figures: dict[str, Any], markdown: bool) -> None:
    """The client's part, then the server's."""
    ratios = figures["client_ratios"]
    rows = []
    for name, found in figures["client"].items():
        ratio = ratios.get(name)
        spread = ratio and f"{ratio['client']['min']}-{ratio['client']['max']}"
        to_it = [ratio["client"]["median"], spread, ratio["p50"]] if ratio else [None] * 3
        rows.append([name, found["client_us"], found["p50"], *to_it])
    output.print_table(
        "One call: client's processor and p50 in µs; ratios of react() to each",
        ["way", "client", "p50", "ratio", "least-most", "of p50"],
        rows,
        markdown,
    )
    output.print_table(
        "On the server: processor µs of one call; ratios of react.lua to each",
        ["what", "server", "ratio", "least-most"],
        [
            [name, found["server_us"], to["median"], f"{to['min']}-{to['max']}"]
            for name, found in figures["server_us"].items()
            for to in [found["ours_to_it"]]
        ],
        markdown,
    )


@click.command(context_settings=output.HELP)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 60),
    default=0.3,
    show_default=True,
    help="Duration of one turn.",
)
@click.option("--rounds", type=click.IntRange(1, 1_000), default=15, show_default=True)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkout of another version, to measure in the same minute.",
)
@click.option(
    "--server", "kind", type=click.Choice(["valkey", "redis"]), default="valkey", show_default=True
)
@output.as_markdown
@output.as_json
def main(
    seconds: float,
    rounds: int,
    against: Path | None,
    kind: str,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure what one react() costs the client and the server."""
    output.quiet_logs()
    with bars(36) as show:
        figures = run(seconds, rounds, against, kind, show)
    print_tables(figures, as_markdown)
    output.finish({"machine": machine.summary(), **figures}, as_json)
