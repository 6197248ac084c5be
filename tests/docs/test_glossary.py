"""The glossary gives each term one sentence, and the docs use its terms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_links import PAGES, ROOT

GLOSSARY = ROOT / "docs/glossary.md"
TERMS, AVOIDED = GLOSSARY.read_text("utf-8").split("## Words we avoid")

OTHER_WORDS = re.compile(
    r"\b(on (its|their) way|prolong\w*|remember(s|ed)?|recall\w*|mend(s|ed)?|bur(y|ied)|tidy|patrol"
    r"|the brief)\b",
    re.IGNORECASE,
)
"""Words of the last table of the glossary that have no other use in the docs."""


def rows(table: str) -> list[list[str]]:
    """The cells of each row, without headings and rules."""
    lines = re.findall(r"^\| (.*) \|$", table, re.MULTILINE)
    cells = [re.split(r" (?<!\\)\| ", line) for line in lines]
    return [row for row in cells if row not in (["term", "meaning"], ["instead of", "we say"])]


def test_each_term_has_one_sentence() -> None:
    found = rows(TERMS)
    assert len(found) > 50
    for term, meaning in found:
        assert re.fullmatch(r"[A-Z`][^.]*\.", meaning.replace("`", "A").replace("()", "")), term


def test_no_term_is_explained_twice() -> None:
    terms = [term for row in rows(TERMS) for term in row[0].split(", ")]
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_entrances_lead_to_the_glossary(page: str) -> None:
    assert "(docs/glossary.md)" in (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_uses_a_word_that_the_glossary_avoids(page: Path) -> None:
    text = TERMS if page == GLOSSARY else page.read_text("utf-8")
    if page.name == "CHANGELOG.md":  # it names what was renamed
        text = re.sub(r"`\w+`", "", text)
    assert OTHER_WORDS.findall(text) == []
