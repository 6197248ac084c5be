"""The reference of the settings matches the settings."""

from __future__ import annotations

from pathlib import Path

from reactions.core.settings import Settings
from tests.docs import configuration


def test_the_reference_is_up_to_date(project: Path) -> None:
    written = (project / "docs/configuration.md").read_text()
    assert written == "\n".join(configuration.lines()) + "\n", (
        "run: python -m tests.docs.configuration > docs/configuration.md"
    )


def test_every_setting_has_a_row_and_a_description() -> None:
    rows = [
        line for text in configuration.lines() for line in text.splitlines() if line[:3] == "| `"
    ]
    assert sorted(row.split("`")[1] for row in rows) == sorted(
        f"REACTIONS_{name.upper()}" for name in Settings.model_fields
    )
    assert all(len(row.split(" | ")) == 4 for row in rows)
    assert all(field.description for field in Settings.model_fields.values())
