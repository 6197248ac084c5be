"""Helpers for the tests of the doctor."""

from __future__ import annotations

from pydantic import SecretStr

from reactions.core.settings import Settings
from reactions.ops.doctor import Finding, examine


def findings(settings: Settings) -> dict[str, Finding]:
    """Run the doctor; the result maps the name of a check to its finding."""
    return {finding.check: finding for finding in examine(settings)}


def with_urls(settings: Settings, **urls: str) -> Settings:
    """A copy of the settings with other addresses."""
    return settings.model_copy(update={name: SecretStr(url) for name, url in urls.items()})
