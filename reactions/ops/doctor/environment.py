"""Environment variables of this process: a misspelt setting would be ignored without a message."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches

from reactions.core.errors import short
from reactions.core.settings import Settings
from reactions.core.space_settings import VARIABLE
from reactions.ops.doctor.findings import Finding, Findings, State

PREFIX = "REACTIONS_"

SIMILARITY = 0.9
"""How similar a setting must be to a misspelt name to be suggested, from 0 to 1."""


def check_environment() -> Findings:
    """Report REACTIONS_ variables that are no settings. Names only: a value may be a secret."""
    settings = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    unknown = _unknown_variables(settings)
    if not unknown:
        yield Finding("environment", State.OK, "every REACTIONS_ variable is a setting")
        return
    suggestions = [
        f"set {setting} instead of {name}; "
        for name in unknown
        for setting in get_close_matches(name, settings, 1, SIMILARITY)
    ]
    remedy = f"{''.join(suggestions)}docs/configuration.md lists every setting"
    found = f"unknown variables, which are ignored: {', '.join(unknown)}"
    yield Finding("environment", State.WARNING, short(found, 300), short(remedy, 300))


def _unknown_variables(settings: Iterable[str]) -> list[str]:
    ours = {name.upper() for name in os.environ if name.upper().startswith(PREFIX)}
    # For a service named reactions-redis, Kubernetes sets REACTIONS_REDIS_SERVICE_HOST, _PORT, ...
    services = [n.removesuffix("SERVICE_HOST") for n in ours if n.endswith("_SERVICE_HOST")]
    kubernetes = [f"{service}{end}" for service in services for end in ("SERVICE_", "PORT")]
    known = (VARIABLE, *kubernetes)  # the settings refuse a misspelt variable of a space
    return sorted(name for name in ours.difference(settings) if not name.startswith(known))
