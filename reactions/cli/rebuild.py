"""``reactions rebuild``: load posts into the cache again."""

from __future__ import annotations

import time

import click

from reactions.cli.console import as_json, bars, finish, print_report
from reactions.cli.options import of_space, post_id
from reactions.cli.stores import open_stores


@click.command()
@click.option("--post", "posts", type=post_id, multiple=True, help="Only this post; repeatable.")
@as_json
@of_space
def rebuild(posts: tuple[int, ...], as_json: bool) -> None:
    """Load recently active posts into the cache again.

    Loads the posts that were active in the last day and are missing from the cache, the most
    recent first; with --post, the given posts. After a loss of Redis, workers and beat do this by
    themselves. Safe at any time: reads and writes go on, and a load never overwrites a newer
    change.
    """
    from reactions.maintenance.rebuild import Rebuild

    looked_at = cached = 0
    with open_stores() as stores, bars() as progress:
        duty = Rebuild(*stores)
        if posts:
            looked_at, cached = len(posts), duty.load(posts)
        else:
            duty.request()
            while duty.unfinished():
                run = duty.run(budget_s=1.0)
                if run is None:  # a worker is rebuilding: wait for its result
                    time.sleep(0.5)
                else:
                    looked_at, cached = looked_at + run.looked_at, cached + run.repaired
                progress("rebuilding", looked_at, None)
    result = {"looked_at": looked_at, "cached": cached}
    print_report(result, None)
    finish(result, as_json, True)
