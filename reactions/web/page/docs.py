"""Serves the documentation of a checkout as HTML: the page needs no other host for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from importlib.metadata import metadata
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from fastapi import APIRouter
from markdown_it import MarkdownIt
from markdown_it.token import Token
from starlette.responses import FileResponse, HTMLResponse, Response

from reactions.core.resources import root_file
from reactions.web.problems import Refusal

README = "README.md"
PICTURES = (".png", ".svg")

_ROOT = root_file("pyproject.toml").parent
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="/icons/love.svg">
<link rel="stylesheet" href="/read.css">
</head><body><main>{body}</main></body></html>
"""


def docs_router(headers: Mapping[str, str]) -> APIRouter:
    """Return a router that answers below `/read/` with these headers."""
    router = APIRouter(prefix="/read", include_in_schema=False)

    @router.get("/{path:path}")
    def read(path: str) -> Response:
        response = _response(path)
        response.headers.update(headers)
        return response

    return router


def _response(path: str) -> Response:
    found = _find(path)
    if found is not None and found.suffix in PICTURES:
        return FileResponse(found)
    if found is not None:
        return HTMLResponse(render(found.read_text("utf-8"), path))
    if path == README:  # a wheel has this text only
        return HTMLResponse(render(str(metadata("reactions").json["description"]), path))
    raise Refusal(404, "not-found", f"the documentation has no {path}; begin at /read/{README}")


def _find(path: str) -> Path | None:
    """Return the file of this path from the root of the checkout, if it is documentation."""
    found = (_ROOT / path).resolve()
    docs, pages = _ROOT / "docs", _ROOT.glob("*.md")
    if not (_ROOT / "pyproject.toml").exists() or not found.is_file():
        return None
    public = found in pages or found.is_relative_to(docs)
    return found if public and found.suffix in (".md", *PICTURES) else None


def render(text: str, path: str) -> str:
    """Render Markdown. Headings get the ids of GitHub; links to what is not served are dropped."""
    tokens = _PARSER.parse(text)
    title = path
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[place + 1].content
            token.attrSet("id", _slug(words))
            title = words if token.tag == "h1" else title
        for link in _links(token):
            if not _served(str(link.attrs["href"]), path):
                link.attrs = {}
    body = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return _PAGE.format(title=escape(title), body=body)


def _links(token: Token) -> Iterator[Token]:
    return (child for child in token.children or () if child.type == "link_open")


def _served(href: str, path: str) -> bool:
    url = urlsplit(href)
    if url.scheme or not url.path:  # another site, or a place on the same page
        return True
    folder = PurePosixPath(path).parent
    return _find(str(folder / url.path)) is not None


def _slug(words: str) -> str:
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
