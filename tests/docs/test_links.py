"""Every link in the docs leads to a file and, with an anchor, to one of its headings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.fenced import blocks

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "deploy/helm/README.md",
]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?\s*\)|\b(?:src|href|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ +(.*?) *#*$", re.MULTILINE)
NAMED = re.compile(
    r"`((?:alembic|benchmarks|chaos|deploy|docs|examples|reactions|tests)/[a-z0-9_./-]*)`"
)
MAX_COLUMNS = 100
ANCHOR = re.compile(r"\b(?:id|name)=\"([^\"]+)\"")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def links(page: Path) -> Iterator[str]:
    """The links of a page, without those to other sites."""
    for found in LINK.findall(CODE.sub("", page.read_text())):
        target = "".join(found)
        if not re.match(r"[a-z]+:", target):
            yield unquote(target)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes. It numbers the second and later of equal headings."""
    text = page.read_text()
    found: dict[str, int] = {}
    names = set(ANCHOR.findall(text))
    for heading in HEADING.findall(re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        kept = (c for c in shown.lower() if c in " -_" or unicodedata.category(c)[0] in "LNM")
        name = "".join(kept).replace(" ", "-")
        number = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{number}" if number else name)
    return names


def leads(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not leads(page, link)] == []


@every_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in NAMED.findall(page.read_text()) if not (ROOT / name).exists()] == []


@every_page
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    """A table row, a picture and a command in a fenced block may be longer."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S).splitlines()
    free = re.compile(r" *\||!\[")
    long = [line for line in prose if len(line) > MAX_COLUMNS and not free.match(line)]
    assert long == []


@every_page
def test_no_diagram_has_what_ends_a_statement(page: Path) -> None:
    """A semicolon ends a statement, even inside a text, and Mermaid then draws nothing."""
    assert not [diagram for diagram in blocks(page, "mermaid") if ";" in diagram]


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    assert leads(page, "docs/architecture.md#a-reactions-way")
    assert not leads(page, "docs/architecture.md#no-such-heading")
    assert not leads(page, "docs/nowhere.md")
    assert not leads(page, str(tmp_path))
    made = tmp_path / "page.md"
    made.write_text("[a](b.md) `[c](d.md)` ![e](<f.svg>)\n```\n[g](h.md)\n```\n[i](https://x/y)\n")
    assert list(links(made)) == ["b.md", "f.svg"]
    made.write_text("# What `react()` does\n## Twice\n## Twice\n")
    assert anchors(made) == {"what-react-does", "twice", "twice-1"}
