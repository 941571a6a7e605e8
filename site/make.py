"""Make the site of the docs: `make docs`, which leaves it in `build/site`.

The pages are the files of docs/, the README as the first page, the changelog and its like, and the API reference of
`site/api`, which Sphinx makes from docstrings. They are copied into one folder first, with links between them adjusted,
so that the files themselves stay as they are read in the repository. A warning of Sphinx fails the build, and so does a
link or a picture of the finished pages that leads nowhere.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from contents import EXTRA, ROOT, groups, problems
from links import broken

HERE = Path(__file__).parent
FOLDERS = ("pictures", "performance")
"""Folders of docs/ with pictures."""
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)


def repository() -> str:
    """Return the address of the repository, which pyproject.toml names; empty if it names none."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        urls = tomllib.load(file)["project"].get("urls", {})
    return str(urls.get("Repository", "")).rstrip("/")


def adjusted(text: str, folder: Path, pages: dict[Path, str], address: str) -> str:
    """Return a page with its links as they have to be on the site.

    Args:
        text: The page.
        folder: Where it lies in the repository; its links are relative to that.
        pages: The names on the site, by file.
        address: The address of the repository, for its files that are not pages; without one they become plain text.
    """

    def link(match: re.Match[str]) -> str:
        target = match[1]
        if re.match(r"[a-z]+:", target):
            return target
        file = (folder / target).resolve()
        if file in pages:
            return pages[file]
        if file.is_relative_to(ROOT / "docs"):
            return str(file.relative_to(ROOT / "docs"))
        return (
            f"{address}/blob/main/{file.relative_to(ROOT)}" if address else f"file:{file.relative_to(ROOT)}"
        )

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    text = "".join(parts)
    return text if address else re.sub(r"\[([^\]]*)\]\(file:[^)]*\)", r"\1", text)


def stage(folder: Path) -> None:
    """Copy all pages into a folder, as Sphinx reads them."""
    shutil.copytree(ROOT / "docs", folder, dirs_exist_ok=True)
    shutil.copytree(HERE / "api", folder / "api")
    pages = {file: file.name for file in (ROOT / "docs").glob("*.md")}
    pages |= {ROOT / f"{name}.md": f"{name}.md" for name in EXTRA}
    pages[ROOT / "README.md"] = "index.md"
    address = repository()
    for file, name in pages.items():
        text = adjusted(file.read_text(encoding="utf-8"), file.parent, pages, address)
        if name == "index.md":
            text += sidebar()
        (folder / name).write_text(text, encoding="utf-8")


def sidebar() -> str:
    """Return the lists of pages for the sidebar."""
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in groups().items()
    )


def build(output: Path) -> None:
    """Make the site in a folder; exit with what is wrong if something is."""
    if wrong := problems():
        sys.exit("\n".join(wrong))
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "pages"
        stage(source)
        shutil.rmtree(output, ignore_errors=True)
        command = (
            sys.executable,
            "-m",
            "sphinx",
            "--builder",
            "html",
            "--quiet",
            "--fail-on-warning",
            "--fresh-env",
        )
        done = subprocess.run(
            [*command, "--conf-dir", HERE, "--doctree-dir", Path(name) / "trees", source, output],
            cwd=ROOT,
            check=False,
        )
    if done.returncode:
        sys.exit("The site has mistakes; the warnings above name the pages.")
    for folder in FOLDERS:  # pictures in HTML, which Sphinx does not copy
        shutil.copytree(ROOT / "docs" / folder, output / folder)
    if wrong := broken(output):
        sys.exit("\n".join(wrong))


def main() -> None:
    """Read the command line and make the site."""
    parser = argparse.ArgumentParser(description="Make the site of the docs.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", metavar="FOLDER")
    output = parser.parse_args().output.absolute()
    build(output)
    print(f"The site is in {output}: open {output}/index.html")


if __name__ == "__main__":
    main()
