"""``reactions rising``: the posts that will soon be viral."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime

import click

from reactions.cli.console import as_json, finish, out, table_of
from reactions.cli.figures import duration
from reactions.cli.options import of_space
from reactions.cli.stores import open_stores


@click.command()
@as_json
@of_space
def rising(as_json: bool) -> None:
    """List the rising posts, those that will soon be viral.

    For each post, prints how long it will take to the threshold if it keeps growing at this rate.
    """
    from reactions.maintenance.virality import RisingPosts

    with open_stores() as stores:
        found = RisingPosts(*stores).list()
    table = table_of("post", "reactions", "per second", "viral in", "listed since")
    for post in found:
        when = "-" if math.isinf(post.threshold_in_s) else duration(post.threshold_in_s)
        since = datetime.fromtimestamp(post.since_us / 1e6, UTC).isoformat(" ", "seconds")
        table.add_row(str(post.post_id), f"{post.reactions:,}", f"{post.per_s:,.2f}", when, since)
    out.print(table if found else "no post is rising")
    rows = [asdict(post) for post in found]
    for row in rows:
        if math.isinf(row["threshold_in_s"]):
            row["threshold_in_s"] = None  # JSON has no infinity
    finish({"rising": rows}, as_json, True)
