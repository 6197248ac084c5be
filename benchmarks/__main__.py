"""``python -m benchmarks NAME [options]``: one command for every benchmark."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "suite": ("benchmarks.compare.suite", "This system beside what a user would build instead."),
    "forty": ("benchmarks.scenarios.forty", "Forty million rows on one post."),
    "growth": ("benchmarks.scenarios.growth", "What grows with a post and with the table."),
    "memory": ("benchmarks.scenarios.memory.command", "Bytes in Redis, beside a plain hash."),
    "viral": (
        "benchmarks.scenarios.viral.command",
        "One post goes viral: latencies, and is anything lost?",
    ),
    "virality": (
        "benchmarks.scenarios.virality.command",
        "How early a rising post is noticed, by a trace.",
    ),
    "reads": (
        "benchmarks.scenarios.reads.command",
        "How often reads reach PostgreSQL, and their times.",
    ),
    "feeds": (
        "benchmarks.scenarios.feeds.command",
        "What one warm feed costs, beside PostgreSQL alone.",
    ),
    "calls": (
        "benchmarks.scenarios.calls.command",
        "What one react() costs, beside bare calls and older versions.",
    ),
    "aio": (
        "benchmarks.scenarios.aio",
        "The asynchronous client by concurrent callers, beside threads and redis-py's own.",
    ),
    "cluster": (
        "benchmarks.scenarios.cluster",
        "Calls on a Redis Cluster of three nodes, beside one server.",
    ),
    "failovers": (
        "benchmarks.scenarios.failovers",
        "What failovers of a Redis Cluster lose, and how long they take.",
    ),
    "brokers": (
        "benchmarks.scenarios.brokers",
        "What a message costs with Redis and with RabbitMQ as broker.",
    ),
    "partitions": (
        "benchmarks.scenarios.partitions",
        "What a primary of a Redis Cluster loses that is cut off from the other nodes.",
    ),
    "promotions": (
        "benchmarks.scenarios.promotions",
        "What the promotion of a standby of PostgreSQL loses.",
    ),
    "bytes": ("benchmarks.scenarios.row_bytes", "How much disk a reaction takes."),
    "rates": (
        "benchmarks.scenarios.rates.command",
        "What a reaction costs at 10, 100 and 1,000 a second.",
    ),
    "costs": (
        "benchmarks.scenarios.costs.command",
        "What one reaction and one feed cost, for `reactions capacity`.",
    ),
    "predictions": (
        "benchmarks.scenarios.costs.predictions",
        "What the model of capacity predicts, beside what one and three nodes use.",
    ),
    "web": ("benchmarks.scenarios.web", "The HTTP service beside the library's own calls."),
    "overload": (
        "benchmarks.scenarios.overload.command",
        "More reactions than the workers can drain.",
    ),
    "durability": (
        "benchmarks.scenarios.durability.command",
        "What a Redis that dies may lose, and fsync.",
    ),
    "duties": ("benchmarks.scenarios.duties", "Checks, repairs and audits; a rebuild of Redis."),
    "backfill": ("benchmarks.scenarios.backfill", "Rows a second of `reactions backfill`."),
}
"""Name -> the module whose ``main`` is the command, and one line for the list."""


class Benchmarks(click.Group):
    """A group that imports a benchmark only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Benchmarks"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    cls=Benchmarks,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="NAME [OPTIONS]...",
)
def main() -> None:
    """Run one benchmark. `NAME --help` lists its options."""


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
