"""The name of the schema, through the setting that uses it."""

from __future__ import annotations

import pytest

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize("name", ["reactions", "public", "_x9", "order", "x" * 63])
def test_a_name_that_is_an_identifier(name: str) -> None:
    settings = Settings(database_schema=name)
    assert settings.database_schema == name
    assert settings.environment()["REACTIONS_DATABASE_SCHEMA"] == name


@pytest.mark.parametrize(
    "name", ["", "Shop", "9x", "my-likes", 'x"; DROP TABLE x; --', "x y", "x" * 64, "pg_x", "ä"]
)
def test_other_names_are_refused_with_the_setting_and_the_bound(name: str) -> None:
    with pytest.raises(InvalidSettings, match=r"database_schema: .*at most 63 bytes"):
        Settings(database_schema=name)


def test_a_schema_of_postgresql_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"database_schema: .*information_schema"):
        Settings(database_schema="information_schema")
