"""Files that a checkout keeps at its root and a wheel carries inside the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def lua(name: str) -> str:
    """The source of ``lua/<name>.lua``; an include is named ``include/<name>``."""
    return (_PACKAGE / "lua" / f"{name}.lua").read_text("utf-8")


def root_file(name: str) -> Path:
    """``celeryconfig.py`` or ``alembic``, wherever this installation has it."""
    packed = _PACKAGE / "_root" / name
    return packed if packed.exists() else _PACKAGE.parent / name
