"""``reactions verify``: a comparison of the stores, with repair on request."""

from __future__ import annotations

from dataclasses import asdict

import click

from reactions.cli.console import as_json, bars, err, finish, print_report, say
from reactions.cli.figures import duration
from reactions.cli.options import of_space, post_id
from reactions.cli.stores import Stores, open_stores


@click.command()
@click.option("--repair", is_flag=True, help="Repair every difference.")
@click.option("--post", "posts", type=post_id, multiple=True, help="Only this post; repeatable.")
@as_json
@of_space
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
        waiting = _waiting(stores) if found.pending else None
    result = asdict(found) | {"found": dict(found.found)}
    for example in result.pop("examples"):
        err.print(example, style="red")
    print_report(result, found.holds)
    if waiting is not None:
        say(waiting)
    finish(result, as_json, found.holds)


def _waiting(stores: Stores) -> str | None:
    """What to do about pending changes, if no worker drains them."""
    from reactions.core.celery_app import make_app
    from reactions.ops.doctor.celery import check_workers
    from reactions.ops.doctor.findings import State
    from reactions.redis.outbox_state import OutboxState

    dirty = [s for s in OutboxState(stores.client, stores.settings).states() if s.dirty_posts]
    if not dirty or any(state.leased for state in dirty):
        return None  # they are durable by now, or a drain is at work
    oldest = duration(max(state.oldest_age_s for state in dirty))
    for finding in check_workers(make_app(stores.settings)):
        if finding.check in ("queue persistence", "workers") and finding.state is not State.OK:
            return (
                f"changes are pending, the oldest for {oldest}, and nobody drains them: "
                f"{finding.found}; {finding.remedy}"
            )
    return None
