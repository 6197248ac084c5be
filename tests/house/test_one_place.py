"""What one module does for all others, as CONTRIBUTING.md says. ``tests/hostile`` looks at keys."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "reactions"

ENVIRONMENT = {
    "cli/demo.py": "sets a variable of prometheus_client",
    "core/space_settings.py": "is the part of the settings that reads variables of spaces",
    "core/instruments.py": "reads a variable of prometheus_client",
    "demo/services.py": "passes the environment on",
    "ops/doctor/environment.py": "lists names, to find those that are no setting",
}
"""Uses of ``os.environ``. pydantic reads it for ``core/settings.py``."""

UNAVAILABLE = {
    "aio/threads.py": "a wait for a thread",
    "postgres/database.py": "errors of PostgreSQL",
    "redis/connection.py": "errors of Redis",
    "redis/server_role.py": "the server answered, and is not the one to ask",
    "api/cold_reads.py": "a wait for another thread",
    "api/stored_reads.py": "the pause after an error",
    "drain/persister.py": "a shard that a claim left out",
}
"""Where ``ReactionsUnavailable`` is made."""


def users_of(pattern: str) -> set[str]:
    return {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    }


def test_only_the_settings_come_from_the_environment() -> None:
    assert users_of(r"\bos\.(environ|getenv)\b|from os import") == ENVIRONMENT.keys()


def test_the_errors_of_a_store_are_translated_in_one_place() -> None:
    assert users_of(r"^(?!class ).*\bReactionsUnavailable\(") == UNAVAILABLE.keys()
