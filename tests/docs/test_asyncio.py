"""The Python of docs/asyncio.md runs on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactions.core.settings import Settings
from tests.docs.fenced import blocks


def test_the_snippet_runs(
    project: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("redis_url", "database_url", "broker_url"):
        url = getattr(settings, name).get_secret_value()
        monkeypatch.setenv(f"REACTIONS_{name.upper()}", url)
    monkeypatch.setenv("REACTIONS_REDIS_TIMEOUT_S", str(settings.redis_timeout_s))
    monkeypatch.setenv("REACTIONS_READ_TIMEOUT_S", str(settings.read_timeout_s))
    (snippet,) = blocks(project / "docs" / "asyncio.md", "python")
    exec(snippet, {"__name__": "snippet"})  # noqa: S102 - code of the documentation
    shown = capsys.readouterr().out
    assert "'love': 1" in shown
    assert shown.endswith("None\n")
