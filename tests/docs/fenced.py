"""Reads the fenced code blocks of a page."""

from __future__ import annotations

import re
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The texts of the blocks of this language, in order."""
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]
