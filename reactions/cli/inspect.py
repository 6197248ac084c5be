"""``reactions inspect``: everything that both stores hold about one post."""

from __future__ import annotations

from dataclasses import asdict

import click

from reactions.cli.console import as_json, finish, out, print_report, table_of
from reactions.cli.figures import duration, size
from reactions.cli.options import of_space, post_id
from reactions.cli.stores import open_stores


@click.command()
@click.argument("post", type=post_id)
@as_json
@of_space
def inspect(post: int, as_json: bool) -> None:
    """Show what Redis and PostgreSQL hold about POST.

    Prints its tier, counts, pending changes and their age, and each key with its TTL and size.
    """
    from reactions.ops.inspection import Inspector

    with open_stores() as stores:
        found = Inspector(*stores).inspect(post)
    result = asdict(found) | {"bytes": found.bytes}
    print_report({name: value for name, value in result.items() if name != "keys"}, None)
    table = table_of("key", "TTL", "size")
    for key in found.keys:
        ttl = "none" if key.ttl_s is None else duration(key.ttl_s)
        table.add_row(key.name, ttl, size(key.bytes))
    out.print(table)
    finish(result, as_json, True)
