"""The tables of docs/architecture.md are those of the code: duties, differences, rooms, tests."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery.schedules import crontab

from reactions import tasks
from reactions.core.settings import Settings
from reactions.maintenance.compare import Kind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
NIGHTLY = "every 2 min from 3 to 4 o'clock (UTC)"


def rows(head: str) -> list[list[str]]:
    """The cells of a table, which has this first cell in its head."""
    (found,) = re.findall(rf"^\| {head} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [line.strip("| ").split(" | ") for line in found.splitlines()]


def in_words(schedule: Any) -> str:
    if isinstance(schedule, timedelta):
        seconds = schedule.total_seconds()
        return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
    assert isinstance(schedule, crontab)
    once = len(schedule.hour) == len(schedule.minute) == 1
    if not once:
        assert (schedule.hour, schedule.minute) == ({3}, set(range(0, 60, 2)))
    return "daily" if once else NIGHTLY


def test_the_duties_are_those_that_beat_sends() -> None:
    sent = {}
    for entry in tasks.app.conf.beat_schedule.values():
        name = f"`{entry['task'].removeprefix('reactions.')}`"
        sent[" ".join([name, *entry.get("args", [])])] = in_words(entry["schedule"])
    default = Settings.model_fields["sweep_interval_s"].default
    sent["`sweep`"] = in_words(timedelta(seconds=default))  # other tests may have set it
    assert {row[0]: row[1] for row in rows("duty")} == sent
    assert tasks.app.conf.timezone == "UTC"


def test_the_differences_are_those_that_a_check_names() -> None:
    named = [kind for row in rows("difference") for kind in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(map(str, Kind))


def test_the_rooms_are_those_of_the_package() -> None:
    package = ROOT / "reactions"
    there = {f"`{each.name}/`" for each in package.iterdir() if (each / "__init__.py").exists()}
    assert {row[0] for row in rows("room")} == there | {"`lua/`"}


def test_each_promise_names_tests_that_exist() -> None:
    sources = {path.name: path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    functions = "\n".join(sources.values())
    for promise, _, named in rows("promise"):
        for name in re.findall(r"`(test_\w+…?(?:\.py)?)`", named):
            known = name in sources or f"def {name.removesuffix('…')}" in functions
            assert known, f"{promise}: {name}"
