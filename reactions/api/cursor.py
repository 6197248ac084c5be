"""Opaque cursors: the position at which a page ended, signed so that nobody can change it."""

from __future__ import annotations

import hashlib

from itsdangerous import BadData, URLSafeSerializer

from reactions.core.constants import DEFAULT_SPACE
from reactions.core.errors import InvalidArgument
from reactions.core.settings import Settings

MAX_CURSOR = 200
"""The most characters that a cursor may have. The cursors of this service have fewer than 120."""


class Cursors:
    """Writes and reads cursors. A cursor is valid only for the list of the space that it is of."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.cursor_secret or settings.database_url
        own = "" if settings.space == DEFAULT_SPACE else f"{settings.space}\0"
        key = hashlib.sha256(
            b"reactions cursor\0" + f"{own}{secret.get_secret_value()}".encode()
        ).digest()
        self._serializer = URLSafeSerializer(key, signer_kwargs={"digest_method": hashlib.sha256})

    def write(self, about: str, *position: int) -> str:
        """Return a cursor for a position in the list that ``about`` names."""
        return str(self._serializer.dumps([about, *position]))

    def read(self, about: str, numbers: int, cursor: object) -> tuple[int, ...]:
        """Return the position of a cursor.

        Args:
            about: the name of the list, as in ``write``.
            numbers: how many numbers a position of this list has.

        Raises:
            InvalidArgument: ``write`` did not make this cursor for this list.
        """
        allowed = "a cursor that this service gave out for the same list"
        if type(cursor) is not str or len(cursor) > MAX_CURSOR or not cursor.isascii():
            raise InvalidArgument("cursor", allowed, cursor)
        try:
            value = self._serializer.loads(cursor)
        except BadData:
            raise InvalidArgument("cursor", allowed, cursor) from None
        # Base64 can encode the same bytes in several ways; accept only what `write` returns.
        if value[0] != about or len(value) != numbers + 1 or self.write(*value) != cursor:
            raise InvalidArgument("cursor", allowed, cursor)
        return tuple(value[1:])
