"""Figures on the terminal have a unit, and words instead of the names of the JSON."""

from __future__ import annotations

from typing import Any

import pytest

from reactions.cli.figures import readable, with_ids
from reactions.core.constants import MAX_ID


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("react_p50_us", 980.4, ("react p50", "0.98 ms")),
        ("react_p99_us", 15_119.2, ("react p99", "15.1 ms")),
        ("react_max_us", 999_400.0, ("react max", "999 ms")),
        ("lag_p99_ms", 1_913.2, ("lag p99", "1.9 s")),
        ("catch_up_s", 0.047, ("catch up", "47.0 ms")),
        ("outage_s", 0.0, ("outage", "0.0 s")),
        ("touched_s_ago", 600.0, ("touched", "10 min ago")),
        ("lag_s", None, ("lag", "-")),
        ("accepted_per_s", 1_565.9, ("accepted", "1,566/s")),
        ("growth_per_s", 0.254, ("growth", "0.25/s")),
        ("react_p50_over_script", 1.317, ("react p50", "1.32 times the script")),
        ("bytes", 39_210, ("bytes", "39.2 kB")),
        ("bytes", 210, ("bytes", "210 bytes")),
        ("tasks_per_1000", 13.6, ("tasks per 1000", "13.60")),
        ("events", 20_000, ("events", "20,000")),
        ("statuses", {"created": 14_794}, ("statuses", "created 14,794")),
        ("noted_tier", None, ("noted tier", "-")),
        ("posts", 7, ("posts", "7")),
        ("post_id", 1042, ("post id", "1042")),
        ("reached", 1042, ("reached", "1042")),
    ],
)
def test_a_figure_reads_well(name: str, value: Any, shown: tuple[str, str]) -> None:
    assert readable(name, value) == shown


def test_ids_of_the_json_are_strings_wherever_they_stand() -> None:
    """A reader in JavaScript would round them."""
    rows = [{"id": 7, "user_id": MAX_ID, "reactions": 2**60}]
    assert with_ids({"post_id": MAX_ID, "rows": rows, "reached": 0, "posts": 3}) == {
        "post_id": str(MAX_ID),
        "rows": [{"id": "7", "user_id": str(MAX_ID), "reactions": 2**60}],
        "reached": "0",
        "posts": 3,
    }
