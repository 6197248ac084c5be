"""``reactions types``: the registry of reaction types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from reactions.cli.console import Commands, as_json, err, finish, out, table_of
from reactions.cli.options import of_space
from reactions.cli.stores import open_stores
from reactions.core.constants import MAX_CODE

if TYPE_CHECKING:
    from reactions.postgres.type_registry import TypeRegistry


@contextmanager
def _registry() -> Iterator[TypeRegistry]:
    """Open the registry. At the end, copy it to Redis, where processes read it."""
    from reactions.postgres.type_registry import TypeRegistry
    from reactions.redis.keys import keys_of
    from reactions.redis.type_copy import write_types

    with open_stores(check_types=False) as stores:
        registry = TypeRegistry(stores.database)
        yield registry
        registry.publish(
            lambda found: write_types(stores.client, keys_of(stores.settings.space), found)
        )


_label = click.option("--label", help="What people read; the name.")
_emoji = click.option("--emoji", help="What people see, such as an emoji.")


@click.group(cls=Commands)
def types() -> None:
    """List, add, rename, retire or describe reaction types.

    PostgreSQL holds the registry, and Redis a copy. Web processes notice a change within a few
    seconds. Changing it needs the rights of the owner of the tables. Each
    command is safe while others run, and safe to run again.
    """


@types.command("list")
@as_json
@of_space
def list_(as_json: bool) -> None:
    """Show all types with their codes, and copy the registry to Redis."""
    with _registry() as registry:
        found = registry.all()
    columns = "code", "name", "label", "emoji", "state", "former names"
    table = table_of(*columns, breaks=["name", "label"])
    for known in found:
        state = "retired" if known.retired else "in use"
        former = ", ".join(known.former) or "-"
        shown = known.shown_label, known.emoji or "-"
        table.add_row(str(known.code), known.name, *shown, state, former)
    out.print(table, markup=False)
    finish({"types": [asdict(known) for known in found]}, as_json, True)


@types.command()
@click.argument("name")
@click.option("--code", type=click.IntRange(1, MAX_CODE), help="Its code; the next free one.")
@_label
@_emoji
@of_space
def add(name: str, code: int | None, label: str | None, emoji: str | None) -> None:
    """Add a type, such as party or an emoji."""
    with _registry() as registry:
        known = registry.add(name, code)
        registry.describe(name, label, emoji)
    err.print(f"{known.name} has code {known.code}", markup=False)


@types.command()
@click.argument("old")
@click.argument("new")
@of_space
def rename(old: str, new: str) -> None:
    """Give a type another name; its reactions stay.

    Processes that are configured with the old name work on, and show the old name. Callers may use
    either name.
    """
    with _registry() as registry:
        known = registry.rename(old, new)
    err.print(f"code {known.code} is called {known.name}", markup=False)


@types.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let everybody give it again.")
@of_space
def retire(name: str, undo: bool) -> None:
    """Stop a type from being given.

    It can still be read and taken away.
    """
    with _registry() as registry:
        known = registry.retire(name, not undo)
    state = "retired" if known.retired else "in use"
    err.print(f"{known.name} is {state}", markup=False)


@types.command()
@click.argument("name")
@_label
@_emoji
@of_space
def describe(name: str, label: str | None, emoji: str | None) -> None:
    """Set the label or the emoji that people see; '' takes it away.

    GET /v1/types has both for the pages that show the type.
    """
    if label is None and emoji is None:
        raise click.UsageError("say what to change: --label TEXT, --emoji TEXT, or both")
    with _registry() as registry:
        known = registry.describe(name, label, emoji)
    err.print(f"{known.name} is shown as {known.emoji} {known.shown_label}", markup=False)
