"""How many partitions ``reactions`` has. The first migration chooses; a command changes it."""

from __future__ import annotations

from sqlalchemy import Connection, text

from reactions.core.constants import MAX_PARTITIONS
from reactions.core.errors import InvalidArgument

DEFAULT_PARTITIONS = 16
"""Hash partitions of ``reactions``. All rows of a post, even 40 million, are in one partition."""

_NAMES = text("""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = to_regclass(:table) ORDER BY relname
""")
_BROKEN = text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")


def check_partitions(number: object) -> int:
    """Return a number of partitions, or the number that a text has.

    Raises:
        InvalidArgument: it is not 1 to 256.
    """
    if str(number).isdecimal() and 1 <= int(str(number)) <= MAX_PARTITIONS:
        return int(str(number))
    raise InvalidArgument("partitions", f"1 to {MAX_PARTITIONS}", number)


def first_names(number: int) -> list[str]:
    """Return the names of the partitions that the first migration makes."""
    return [f"reactions_{part:02}" for part in range(number)]


def names_of(connection: Connection, table: str = "reactions") -> list[str]:
    """Return the names of the partitions of a table; none if it does not exist."""
    return list(connection.scalars(_NAMES, {"table": table}))


def index_of(index: str, partition: str) -> str:
    """Return the name of the part of an index that belongs to a partition."""
    return f"{index}_{partition.removeprefix('reactions_')}"


def is_broken(connection: Connection, index: str) -> bool:
    """Tell whether an interrupted build left an invalid index; its name may have a schema."""
    return bool(connection.scalar(_BROKEN, {"index": index}))
