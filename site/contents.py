"""The pages of the site and their order, from `contents.txt`; nothing here needs Sphinx."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("contents.txt")
EXTRA = ("CHANGELOG", "CONTRIBUTING", "SECURITY")
"""Pages of the repository's first folder; README is the site's first page."""


def groups() -> dict[str, list[str]]:
    """Return the names of the pages by the caption of their group, both in order."""
    found: dict[str, list[str]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] != " ":
            found[line.strip()] = []
        else:
            found[list(found)[-1]].append(line.strip())
    return found


def problems() -> list[str]:
    """Return a sentence for each page that is missing from `contents.txt`, named twice, or does not exist."""
    listed = [page for pages in groups().values() for page in pages]
    docs = {file.stem for file in (ROOT / "docs").glob("*.md")}
    api = {f"api/{file.stem}" for file in (FILE.parent / "api").glob("*.md")}
    existing = docs | api | {name for name in EXTRA if (ROOT / f"{name}.md").is_file()}
    said = [
        f"docs/{page}.md is not in site/contents.txt: add it where readers should come upon it"
        if page in docs
        else f"{page}.md is not in site/contents.txt"
        for page in sorted(existing - set(listed))
    ]
    said += [
        f"site/contents.txt names {page}, which does not exist" for page in sorted(set(listed) - existing)
    ]
    said += [
        f"site/contents.txt names {page} twice" for page in sorted(set(listed)) if listed.count(page) > 1
    ]
    return said
