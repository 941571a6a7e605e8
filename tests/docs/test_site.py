"""The sidebar of the site has every page once; links of pages become links of the site."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    ROOT / "README.md": "index.md",
    ROOT / "CHANGELOG.md": "CHANGELOG.md",
    ROOT / "docs" / "plugins.md": "plugins.md",
}


@pytest.fixture
def contents(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "site"))
    return importlib.import_module("contents")


@pytest.fixture
def make(contents):
    return importlib.import_module("make")


def test_every_page_is_in_the_sidebar(contents):
    assert contents.problems() == []


def test_wrong_contents_are_explained(contents, tmp_path, monkeypatch):
    before = contents.problems()
    file = tmp_path / "contents.txt"
    text = contents.FILE.read_text(encoding="utf-8")
    file.write_text(text.replace("    plugins\n", "    plugin\n    rooms\n"), encoding="utf-8")
    monkeypatch.setattr(contents, "FILE", file)
    (tmp_path / "api").symlink_to(ROOT / "site" / "api")
    assert [problem for problem in contents.problems() if problem not in before] == [
        "docs/plugins.md is not in site/contents.txt: add it where readers should come upon it",
        "site/contents.txt names plugin, which does not exist",
        "site/contents.txt names rooms twice",
    ]


@pytest.mark.parametrize(
    ("folder", "before", "after"),
    [
        ("docs", "[a](plugins.md#events)", "[a](plugins.md#events)"),
        ("docs", "[a](../CHANGELOG.md)", "[a](CHANGELOG.md)"),
        ("docs", "![a](pictures/game.png)", "![a](pictures/game.png)"),
        (".", "[a](docs/plugins.md#events)", "[a](plugins.md#events)"),
        (".", "![a](docs/pictures/game.png)", "![a](pictures/game.png)"),
        (".", "[a](LICENSE)", "[a](https://host.example/cloudlink/blob/main/LICENSE)"),
        ("docs", "[a](#events), [b](https://x.example/y.md)", "[a](#events), [b](https://x.example/y.md)"),
        (".", "```sh\n[a](docs/plugins.md)\n```", "```sh\n[a](docs/plugins.md)\n```"),
    ],
)
def test_links_are_adjusted(make, folder, before, after):
    assert make.adjusted(before, ROOT / folder, PAGES, "https://host.example/cloudlink") == after


def test_without_an_address_other_files_are_named_but_not_linked(make):
    assert make.adjusted("see [it](../extension/cloudlink.js)", ROOT / "docs", PAGES, "") == "see it"


def test_the_address_comes_from_the_project_file(make):
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert make.repository() == tomllib.load(file)["project"]["urls"].get("Repository", "")


def test_links_of_finished_pages_are_checked(contents, tmp_path):
    links = importlib.import_module("links")
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="#here" id="here">x</a><a href="https://x.example/">x</a>'
        '<img src="pictures/a%20b.png"><script src="s.js?v=1"></script>'
        '<a href="b.html#nowhere">x</a><a href="c.html">x</a><img src="no.png">',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<h1 id="there">x</h1>', encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a b.png").touch()
    (tmp_path / "s.js").touch()
    assert links.broken(tmp_path) == [
        f"a.html: {reference} leads nowhere" for reference in ("b.html#nowhere", "c.html", "no.png")
    ]
