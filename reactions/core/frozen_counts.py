"""Counts that nobody can change, so that all summaries with the same counts share them."""

from __future__ import annotations

from typing import Any, NoReturn


class FrozenCounts(dict[str, int]):
    """Type -> count. It is a dict for all readers, ``json`` included; ``dict(counts)`` is a copy.

    Raises:
        TypeError: something tries to change it.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("counts cannot be changed; dict(counts) is a copy that can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Let ``pickle`` and ``copy`` make it from a plain dict."""
        return FrozenCounts, (dict(self),)
