"""The files of the dashboard: how they are served, what they may not contain, and how large they may become."""

import asyncio
import re

import pytest

from cloudlink.admin import pages
from cloudlink.http import Headers, Request
from cloudlink.http.routes import Routes

MOST_FILES = 12
MOST_BYTES = 64 << 10
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def get(path, *, is_available=True):
    """The response of a server that has only the dashboard."""
    routes = Routes()
    for route in pages.routes(lambda _: is_available):
        routes.add_route(route)
    return asyncio.run(routes.respond(Request("GET", path, Headers())))


def sources(*endings):
    return {
        name: file.body.decode()
        for name, file in pages.files().items()
        if name.endswith(endings or (".js", ".css", ".html"))
    }


def test_the_page_has_exactly_these_headers():
    page = get("/admin")
    assert page.status == 200
    assert page.content_type == "text/html; charset=utf-8"
    assert page.headers == {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_its_files_are_served_below_it(name, kind):
    file = get(f"/admin/{name}")
    assert (file.status, file.content_type) == (200, kind)
    assert file.headers == get("/admin").headers


@pytest.mark.parametrize(
    "path", ["/admin/index.html", "/admin/__init__.py", "/admin/none.js", "/admin/app.js/", "/admin//"]
)
def test_nothing_else_is_served(path):
    assert get(path).status == 404


def test_a_slash_too_many_leads_to_the_page():
    answer = get("/admin/")
    assert (answer.status, answer.headers["Location"]) == (308, "../admin")


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/app.js"])
def test_where_it_is_not_available_its_paths_are_unknown_ones(path):
    answer = get(path, is_available=False)
    other = get("/unknown")
    assert (answer.status, answer.body, answer.headers) == (other.status, other.body, other.headers)


def test_the_dashboard_is_small():
    assert len(pages.files()) <= MOST_FILES
    assert sum(file.size for file in pages.files().values()) <= MOST_BYTES


def test_every_file_is_used_and_every_used_file_exists():
    text = "".join(sources().values())
    used = set(re.findall(r'(?:"\./|"admin/)([\w.]+)"', text)) - {"ws"}
    assert used | {pages.INDEX} == set(pages.files())


def test_nothing_is_loaded_from_elsewhere():
    # The one address is a namespace, which no browser opens.
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", "".join(sources().values()))
    assert found == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize(
    "forbidden",
    [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "eval(",
        "new Function",
        "srcdoc",
        "setHTML",
    ],
)
def test_texts_cannot_become_markup_or_code(forbidden):
    assert not [name for name, text in sources(".js").items() if forbidden in text]


def test_the_page_has_no_inline_script_or_style():
    page = sources()[pages.INDEX]
    assert "<style" not in page
    assert not re.search(r"\son\w+=|\sstyle=", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
