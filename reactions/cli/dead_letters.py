"""``reactions deadletters``: the changes that PostgreSQL refused."""

from __future__ import annotations

from dataclasses import asdict

import click

from reactions.cli.console import as_json, err, finish, out, table_of
from reactions.cli.options import of_space
from reactions.cli.stores import open_stores
from reactions.core.constants import MAX_ID


@click.command()
@click.option("--replay", is_flag=True, help="Try to record the listed changes again.")
@click.option(
    "--id",
    "ids",
    type=click.IntRange(1, MAX_ID),
    multiple=True,
    help="Only this dead letter; repeatable.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="List at most this many.",
)
@as_json
@of_space
def deadletters(replay: bool, ids: tuple[int, ...], limit: int, as_json: bool) -> None:
    """List the changes that PostgreSQL refused, or retry them.

    Exit code 1 if PostgreSQL refuses some of the replayed changes again.
    """
    from reactions.maintenance.dead_letters import DeadLetterReplay
    from reactions.postgres.dead_letters import DeadLetters

    with open_stores() as stores:
        found = DeadLetters(stores.database).list(limit, ids)
        done = DeadLetterReplay(*stores).replay(found) if replay else None
    table = table_of("id", "post", "user", "type:version", "refused at")
    for letter in found:
        refused_at = letter.created_at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(letter.id), letter.post, letter.user, letter.value, refused_at)
    out.print(table if found else "no dead letters")
    for letter in found:
        out.print(f"{letter.id}: {letter.reason}")
    result: dict[str, object] = {"letters": [asdict(letter) for letter in found]}
    if done:
        result |= asdict(done)
        out.print(f"{done.recorded} recorded, {len(done.refused)} refused")
        for line in done.refused:
            err.print(line, style="red")
    finish(result, as_json, not (done and done.refused))
