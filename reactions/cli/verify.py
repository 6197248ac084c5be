"""``reactions verify``: a comparison of the stores, with repair on request."""

from __future__ import annotations

from dataclasses import asdict

import click

from reactions.cli.console import as_json, bars, err, finish, print_report
from reactions.cli.options import post_id
from reactions.cli.stores import open_stores


@click.command()
@click.option("--repair", is_flag=True, help="Repair every difference.")
@click.option("--post", "posts", type=post_id, multiple=True, help="Only this post; repeatable.")
@as_json
def verify(repair: bool, posts: tuple[int, ...], as_json: bool) -> None:
    """Compare rows, counts table, Redis and pending changes.

    Only reads, unless --repair is given. A post that is merely missing from the cache is reported,
    but is no difference. Exit code 1 if a difference is left, or if a post was being drained at
    every try, so that it could not be compared.
    """
    from reactions.maintenance.verify import Verifier

    with open_stores() as stores, bars() as progress:
        found = Verifier(*stores, repair=repair).verify(
            lambda compared, total: progress("verifying", compared, total), list(posts) or None
        )
    result = asdict(found) | {"found": dict(found.found)}
    for example in result.pop("examples"):
        err.print(example, style="red")
    print_report(result, found.holds)
    finish(result, as_json, found.holds)
