"""Opaque cursors: where a page ended, signed, so that only what was given out comes back."""

from __future__ import annotations

import hashlib

from itsdangerous import BadData, URLSafeSerializer

from reactions.core.errors import InvalidArgument
from reactions.core.settings import Settings

LONGEST = 200
"""Characters of a cursor; ours are below 120."""


class Cursors:
    """Makes and reads cursors. One of another list, or of another kind of list, is refused."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.cursor_secret or settings.database_url
        key = hashlib.sha256(b"reactions cursor\0" + secret.get_secret_value().encode()).digest()
        self._serializer = URLSafeSerializer(key, signer_kwargs={"digest_method": hashlib.sha256})

    def write(self, about: str, *position: int) -> str:
        """A cursor at a position of the list that ``about`` names."""
        return str(self._serializer.dumps([about, *position]))

    def read(self, about: str, numbers: int, cursor: object) -> tuple[int, ...]:
        """The position again.

        Raises:
            InvalidArgument: it is not a cursor that ``write`` made for this list.
        """
        allowed = "a cursor that this service gave out for the same list"
        if type(cursor) is not str or len(cursor) > LONGEST or not cursor.isascii():
            raise InvalidArgument("cursor", allowed, cursor)
        try:
            value = self._serializer.loads(cursor)
        except BadData:
            raise InvalidArgument("cursor", allowed, cursor) from None
        # Base64 has several spellings of the same bytes; only the one that was given out is taken.
        if value[0] != about or len(value) != numbers + 1 or self.write(*value) != cursor:
            raise InvalidArgument("cursor", allowed, cursor)
        return tuple(value[1:])
