"""``reactions clock``: shards whose versions are in the future, and their repair."""

from __future__ import annotations

from dataclasses import asdict

import click

from reactions.cli.console import as_json, bars, finish, out, print_report, table_of
from reactions.cli.options import of_space
from reactions.cli.stores import open_stores


@click.command()
@click.option("--repair", is_flag=True, help="Set them back. Stop workers and beat before.")
@click.option("--force", is_flag=True, help="Repair also while connections of workers are open.")
@as_json
@of_space
def clock(repair: bool, force: bool, as_json: bool) -> None:
    """Show shards whose versions are in the future, or repair them.

    They are in the future after the clock of Redis was ahead and was set back. --repair moves what
    these shards recorded meanwhile to now, in the same order, so that times and lists are right.
    Users read and react meanwhile. If it is interrupted, run it again.

    Exit code 1 if a shard is ahead and --repair was not given.
    """
    from reactions.maintenance.clock_repair import ClockRepair

    with open_stores() as stores, bars() as progress:
        duty = ClockRepair(*stores)
        ahead = {shard: by / 1e6 for shard, by in duty.ahead_us().items()}
        if repair:
            done = duty.repair(lambda rows: progress("rows moved", rows, None), force=force)
            print_report(asdict(done), None)
            finish(asdict(done), as_json, True)
            return
    table = table_of("shard", "ahead of the clock")
    for shard, by in sorted(ahead.items(), key=lambda item: -item[1]):
        table.add_row(str(shard), f"{by:,.0f} s")
    out.print(table if ahead else "no shard is ahead of the clock of Redis")
    finish({"ahead_s": {str(shard): by for shard, by in ahead.items()}}, as_json, not ahead)
