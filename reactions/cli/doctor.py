"""``reactions doctor``: checks of servers, workers and settings."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.text import Text

from reactions.cli.console import as_json, finish, out, table_of
from reactions.core.settings import Settings


@click.command()
@click.option(
    "--only",
    type=click.Choice(["beat"]),
    help="Check that some beat is at work, and nothing else. A health check of beat.",
)
@as_json
def doctor(only: str | None, as_json: bool) -> None:
    """Check servers, workers and settings; print remedies.

    Changes nothing. Exit code 1 if a check fails; warnings do not count.
    """
    from reactions.cli.interrupts import interruptible
    from reactions.ops.doctor import State, check_beat, examine

    colours = {State.OK: "green", State.WARNING: "yellow", State.FAILURE: "bold red"}
    settings = Settings.from_env()
    with interruptible():
        findings = list(check_beat(settings)) if only == "beat" else examine(settings)
    table = table_of("check", "", "found")
    for finding in findings:
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n-> {finding.remedy}", "italic")
        table.add_row(finding.check, Text(finding.state, colours[finding.state]), found)
    out.print(table)
    failures = [finding for finding in findings if finding.state is State.FAILURE]
    warnings = [finding for finding in findings if finding.state is State.WARNING]
    out.print(f"{len(failures)} failures, {len(warnings)} warnings in {len(findings)} checks")
    rows = [asdict(finding) for finding in findings]
    finish({"healthy": not failures, "findings": rows}, as_json, not failures)
