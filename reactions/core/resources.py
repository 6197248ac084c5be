"""Files that are not Python: Lua scripts, and files that a wheel packs into the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def lua(name: str) -> str:
    """Return the source of ``lua/<name>.lua``; the name of an include is ``include/<name>``."""
    return (_PACKAGE / "lua" / f"{name}.lua").read_text("utf-8")


def root_file(name: str) -> Path:
    """Return the path of ``celeryconfig.py`` or ``alembic``, in a checkout or in a wheel."""
    packed = _PACKAGE / "_root" / name
    return packed if packed.exists() else _PACKAGE.parent / name
