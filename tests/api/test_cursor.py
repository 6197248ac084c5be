"""``Cursors``: a cursor returns its position, and any other value is refused."""

from __future__ import annotations

import string
import zlib
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from reactions.api.cursor import MAX_CURSOR, Cursors
from reactions.core.constants import MAX_CODE, MAX_ID
from reactions.core.errors import InvalidArgument
from reactions.core.settings import Settings

SECRET = "a secret of 16 characters or more"  # noqa: S105 - used nowhere
ABOUT = "reactors 1042 1"
CURSORS = Cursors(Settings(cursor_secret=SECRET))
URL = "postgresql://someone@localhost/somewhere"

ALPHABET = string.ascii_letters + string.digits + "-_.=+/ \n\0é"


def refuse(
    cursor: object, about: str = ABOUT, numbers: int = 1, cursors: Cursors = CURSORS
) -> InvalidArgument:
    with pytest.raises(InvalidArgument, match=r"^cursor must be a cursor that this") as error:
        cursors.read(about, numbers, cursor)
    assert error.value.argument == "cursor"
    assert len(str(error.value)) < 200
    return error.value


@given(st.text(max_size=20), st.lists(st.integers(-MAX_ID, MAX_ID), max_size=3))
def test_a_cursor_returns_its_position(about: str, position: list[int]) -> None:
    cursor = CURSORS.write(about, *position)
    assume(len(cursor) <= MAX_CURSOR)  # all cursors of the service are, but not all of these
    assert CURSORS.read(about, len(position), cursor) == tuple(position)


@pytest.mark.parametrize(
    ("about", "position"),
    [
        (f"reactors {MAX_ID} {MAX_CODE}", [MAX_ID]),
        (f"history {MAX_ID}", [MAX_ID, MAX_ID]),
    ],
)
def test_the_longest_cursors_are_far_below_the_limit(about: str, position: list[int]) -> None:
    cursor = CURSORS.write(about, *position)
    assert len(cursor) < 120
    assert CURSORS.read(about, len(position), cursor) == tuple(position)


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    for version in range(1_700_000_000_000_000, 1_700_000_000_000_200):
        cursor = CURSORS.write(ABOUT, version)
        assert set(cursor) <= set(string.ascii_letters + string.digits + "-_.")


def test_every_change_of_a_character_is_refused() -> None:
    accepted = []
    for version in (1_700_000_000_000_001, 1_700_000_000_000_002, MAX_ID):
        cursor = CURSORS.write(ABOUT, version)
        for at in range(len(cursor)):
            for other in ALPHABET:
                changed = cursor[:at] + other + cursor[at + 1 :]
                if changed != cursor and _accepted(changed):
                    accepted.append((cursor, at, other))
    assert accepted == []


def test_every_character_too_many_or_too_few_is_refused() -> None:
    cursor = CURSORS.write(ABOUT, 1_700_000_000_000_001)
    shorter = [cursor[:at] + cursor[at + 1 :] for at in range(len(cursor))]
    longer = [
        cursor[:at] + other + cursor[at:] for at in range(len(cursor) + 1) for other in ALPHABET
    ]
    assert [changed for changed in shorter + longer if _accepted(changed)] == []


def test_padding_is_refused() -> None:
    cursor = CURSORS.write(ABOUT, 5)
    changed = [
        one
        for padding in ("=", "==", "====", "!!!!", "\n\n\n\n", "    ", ".")
        for one in (cursor + padding, padding + cursor, cursor.replace(".", padding + "."))
        if one != cursor
    ]
    assert [one for one in changed if _accepted(one)] == []


def test_a_part_of_a_cursor_is_refused() -> None:
    cursor = CURSORS.write(ABOUT, 1_700_000_000_000_001)
    for end in range(len(cursor)):
        refuse(cursor[:end])
        refuse(cursor[end + 1 :])


def test_the_halves_of_two_cursors_are_refused() -> None:
    first, second = (CURSORS.write(ABOUT, version).split(".") for version in (1_000, 2_000))
    refuse(f"{first[0]}.{second[1]}")
    refuse(f"{second[0]}.{first[1]}")


@pytest.mark.parametrize(
    "other",
    ["reactors 1042 2", "reactors 1042 0", "reactors 1043 1", "history 1042", "", "reactors 1042"],
)
def test_a_cursor_of_another_list_is_refused(other: str) -> None:
    refuse(CURSORS.write(other, 5))
    refuse(CURSORS.write(ABOUT, 5), about=other)


@pytest.mark.parametrize("position", [[], [1, 2], [1, 2, 3]])
def test_a_cursor_of_another_kind_of_list_is_refused(position: list[int]) -> None:
    refuse(CURSORS.write(ABOUT, *position))


@pytest.mark.parametrize(
    "settings",
    [
        Settings(cursor_secret=SECRET + "!"),
        Settings(database_url=URL),
        Settings(database_url=f"postgresql://x/{SECRET}"),
    ],
)
def test_a_cursor_of_another_service_is_refused(settings: Settings) -> None:
    other = Cursors(settings)
    refuse(other.write(ABOUT, 5))
    refuse(CURSORS.write(ABOUT, 5), cursors=other)


@pytest.mark.parametrize(
    "settings", [Settings(cursor_secret=SECRET), Settings(database_url=URL)], ids=["secret", "url"]
)
def test_processes_of_one_service_accept_the_same_cursors(settings: Settings) -> None:
    again = Settings(
        **{name: getattr(settings, name) for name in ("cursor_secret", "database_url")}
    )
    assert Cursors(again).read(ABOUT, 1, Cursors(settings).write(ABOUT, 5)) == (5,)


def test_a_secret_is_used_in_place_of_the_url() -> None:
    both = Cursors(Settings(cursor_secret=SECRET, database_url=URL))
    assert both.read(ABOUT, 1, CURSORS.write(ABOUT, 5)) == (5,)


def test_something_else_signed_with_the_same_secret_is_refused() -> None:
    """For example, a session cookie of the same web service."""
    refuse(URLSafeSerializer(SECRET).dumps([ABOUT, 5]))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "..",
        "a",
        "a.b",
        "x" * 10_000_000,
        "." * MAX_CURSOR,
        "\0",
        "é" * 50,
        "\udcff",
        "\ud800.\ud800",
        "🙂.🙂",
        "null",
        "[]",
        b"bytes",
        bytearray(b"x"),
        5,
        5.5,
        True,
        [],
        ["reactors 1042 1", 5],
        {},
        object(),
        10**5000,
    ],
    ids=lambda bad: repr(bad)[:20] if type(bad) is not int else "int",
)
def test_other_values_are_refused(bad: Any) -> None:
    refuse(bad)


def test_bytes_and_subclasses_of_text_are_refused() -> None:
    class Text(str):
        __slots__ = ()

    cursor = CURSORS.write(ABOUT, 5)
    refuse(cursor.encode())
    refuse(Text(cursor))


def test_a_cursor_over_the_limit_is_refused_unread() -> None:
    cursor = CURSORS.write("reactors " + "".join(map(str, range(200))), 5)
    assert len(cursor) > MAX_CURSOR
    refuse(cursor, about="reactors " + "".join(map(str, range(200))))


def test_a_compressed_cursor_is_refused() -> None:
    """The format allows compression. This cursor is not signed."""
    bomb = urlsafe_b64encode(zlib.compress(b'"' + b" " * 100_000 + b'"')).rstrip(b"=").decode()
    refuse(f".{bomb}.{CURSORS.write(ABOUT, 5).split('.')[1]}"[:MAX_CURSOR])


@given(st.text())
def test_any_text_is_refused_cleanly(text: str) -> None:
    refuse(text)


SURROGATES = st.text(st.characters(categories=["Cs", "L", "P"]), min_size=1)


@given(SURROGATES)  # JSON can contain them
def test_any_text_with_surrogates_is_refused_cleanly(text: str) -> None:
    refuse(text)


def _accepted(cursor: str) -> bool:
    """Return whether the cursor was accepted. Only InvalidArgument means no."""
    try:
        CURSORS.read(ABOUT, 1, cursor)
    except InvalidArgument as error:
        assert error.argument == "cursor"  # noqa: PT017 - accepting it is the other answer
        return False
    return True
