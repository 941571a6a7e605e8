"""Checks a finished site: every link, picture and script of its pages leads to a file of it, and every anchor exists."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

_REFERENCES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


class _Page(HTMLParser):
    """The anchors and the references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the anchors and the reference of an element."""
        values = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := values.get(name))}
        if reference := values.get(_REFERENCES.get(tag, "")):
            self.references.append(reference)


def broken(folder: Path) -> list[str]:
    """Return a sentence for each reference of a page in a folder that leads nowhere; other sites are not visited."""
    pages = {file: _Page(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("*.html"))}
    wrong = []
    for file, page in pages.items():
        for reference in dict.fromkeys(page.references):
            if re.match(r"[a-z]+:|//", reference):
                continue
            parts = urlsplit(reference)
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            missing = anchor and target in pages and anchor not in pages[target].anchors
            if not target.exists() or missing:
                wrong.append(f"{file.relative_to(folder)}: {reference} leads nowhere")
    return wrong
