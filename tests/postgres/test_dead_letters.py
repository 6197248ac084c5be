"""Dead letters: changes that PostgreSQL refused are added, counted and listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters

POST = 1042


@pytest.fixture
def letters(database_url: str) -> Iterator[DeadLetters]:
    database = Database(Settings(database_url=database_url))
    yield DeadLetters(database)
    database.close()


def test_a_dead_letter_of_any_length_is_kept(letters: DeadLetters) -> None:
    letters.add("1042", "7" * 20_000, "x" * 20_000, "too long")
    assert letters.count() == 1


def test_a_dead_letter_is_kept_once_however_often_it_is_added(letters: DeadLetters) -> None:
    for _ in range(3):
        letters.add("1042", "7", "99:5", "no such type")
    assert letters.count() == 1


def test_letters_are_listed_by_id_and_number(letters: DeadLetters) -> None:
    for user in range(1, 6):
        letters.add(str(POST), str(user), "1:5", "because")
    found = letters.list(10)
    assert [letter.user for letter in found] == ["1", "2", "3", "4", "5"]
    assert letters.list(2) == found[:2]
    assert letters.list(10, [found[3].id, found[1].id]) == [found[1], found[3]]
    assert found[0].row() == Row(POST, 1, 1, 5)
