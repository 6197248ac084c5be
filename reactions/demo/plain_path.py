"""A name for a folder that needs no quotes: programs of PostgreSQL pass it through a shell."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from reactions.core.errors import StackError

LINKS = Path("/tmp")  # noqa: S108 - short, as the name of a socket must be; the owner is checked
"""Where the links are. Any user may write there, so a link of somebody else is refused."""


def plain_path(folder: Path) -> Path:
    """Return a path to a folder without blanks, quotes and other characters special to a shell.

    This is the path itself if it has none. Otherwise it is a symbolic link, the same each time.

    Raises:
        StackError: another user has taken the name of the link.
    """
    if re.fullmatch(r"[\w/.+=@-]+", str(folder), re.ASCII):
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    link = LINKS / f"reactions-{os.geteuid()}-{name}"
    if not link.is_symlink():
        link.symlink_to(folder)
    if link.lstat().st_uid != os.geteuid() or link.readlink() != folder:
        raise StackError(
            f"{link} belongs to somebody else; choose a --state-dir without blanks and quotes"
        )
    return link
