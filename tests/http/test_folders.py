"""Folders of static files: what is served, and what never is."""

import os
import sys
from pathlib import Path

import pytest

from cloudlink.http import Headers, Request
from cloudlink.http.folders import PUBLIC, Folder, content_type, folder_routes

NEEDS_LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "sub" / "no-index").mkdir(parents=True)
    for name in (
        "index.html",
        "app.mjs",
        "a b.txt",
        "é.txt",
        "sub/index.html",
        "sub/x.js",
        "sub/no-index/y.js",
    ):
        (folder / name).write_text(f"this is {name}", encoding="utf-8")
    (tmp_path / "outside.txt").write_text("outside")
    return folder


def get(folder, target, above="/game", **headers):
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    response = Folder(above, folder).respond(Request("GET", target, Headers(lines)))
    if hasattr(response.body, "stream"):
        with response.body.stream as stream:
            return response.status, stream.read().decode(), response
    return response.status, response.body.decode(), response


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("/game/", "index.html"),
        ("/game/index.html", "index.html"),
        ("/game/app.mjs?v=1", "app.mjs"),
        ("/game/a%20b.txt", "a b.txt"),
        ("/game/%C3%A9.txt", "é.txt"),
        ("/game/sub/", "sub/index.html"),
        ("/game/sub/x.js", "sub/x.js"),
        ("/game/sub/no-index/y.js", "sub/no-index/y.js"),
    ],
)
def test_files_are_served(site, target, file):
    status, body, _ = get(site, target)
    assert (status, body) == (200, f"this is {file}")


@pytest.mark.parametrize(
    "target",
    [
        "/game/nothing",
        "/game/index.html/",
        "/game/sub/no-index/",
        "/game/sub/no-index",
        "/game/../outside.txt",
        "/game/%2e%2e/outside.txt",
        "/game/..%2foutside.txt",
        "/game/sub/..%5c..%5coutside.txt",
        "/game/sub\\x.js",
        "/game/sub/../index.html",
        "/game/./index.html",
        "/game/sub%2fx.js",
        "/game/sub%2Fx.js",
        "/game//index.html",
        "/game//etc/passwd",
        "/game/C:/index.html",
        "/game/C:index.html",
        "/game/index.html::$DATA",
        "/game/index.html%00",
        "/game/index.html%00.js",
        "/game/index.html.",
        "/game/index.html%20",
        "/game/" + "x" * 5000,
        "/game/" + "x/" * 3000,
        "/game/%ff%fe",
        "/gamex/index.html",
        "/index.html",
    ],
)
def test_nothing_else_is_served(site, target):
    assert get(site, target)[0] == 404
    assert not Folder("/game", site).exists(Request("GET", target, Headers()))


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".git/config",
        ".well-known/x",
        "cloudlink.toml",
        "CLOUDLINK.TOML",
        "privkey.pem",
        "tls.key",
        "tls.crt",
        "tls.cer",
        "tls.p12",
        "cloudlink.db",
        "cloudlink.db-wal",
        "cloudlink.db.bak",
        "x.sqlite",
        "x.sqlite3",
        "x.sqlite3-journal",
        "plugin.py",
        "plugin.pyc",
        "plugin.PY",
        "__pycache__/p.cpython-311.pyc",
        "sub/.hidden/file.txt",
        "folder.db/file.txt",
    ],
)
def test_secrets_in_the_folder_are_not_served(site, name):
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    (site / name).write_text("secret")
    assert get(site, f"/game/{name}")[0] == 404


@pytest.mark.parametrize("name", ["key.txt", "toml.md", "py.js", "database.json", "a.keyboard", "a.pyramid"])
def test_names_that_only_resemble_secrets_are_served(site, name):
    (site / name).write_text("fine")
    assert get(site, f"/game/{name}")[:2] == (200, "fine")


@NEEDS_LINKS
def test_links_lead_nowhere_outside_and_to_no_secret(site):
    (site / "secret.pem").write_text("secret")
    (site / "out.txt").symlink_to(site.parent / "outside.txt")
    (site / "up").symlink_to(site.parent)
    (site / "public.txt").symlink_to(site / "secret.pem")
    (site / ".hidden").symlink_to(site / "index.html")
    (site / "loop").symlink_to(site / "loop")
    (site / "inside.mjs").symlink_to(site / "app.mjs")
    for name in ("out.txt", "up/outside.txt", "up/", "public.txt", ".hidden", "loop", "loop/x"):
        assert get(site, f"/game/{name}")[0] == 404, name
    assert get(site, "/game/inside.mjs")[:2] == (200, "this is app.mjs")


@NEEDS_LINKS
def test_an_index_that_leads_outside_is_not_served(site):
    (site / "sub" / "index.html").unlink()
    (site / "sub" / "index.html").symlink_to(site.parent / "outside.txt")
    assert get(site, "/game/sub/")[0] == 404


@NEEDS_LINKS
def test_a_pipe_is_not_opened(site):
    os.mkfifo(site / "pipe.txt")
    assert get(site, "/game/pipe.txt")[0] == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/game/sub", "./sub/"),
        ("/game/sub?x=1&y=%20z", "./sub/?x=1&y=%20z"),
        ("/game/sub?x=\udcff", "./sub/?x=?"),
    ],
)
def test_a_folder_without_its_slash_is_elsewhere(site, target, location):
    status, _, response = get(site, target)
    assert (status, response.headers["Location"]) == (308, location)


@pytest.mark.parametrize("name", ["a%25b", "é"])
def test_a_redirection_leads_to_the_folder_whatever_its_name_is(tmp_path, name):
    folder = tmp_path / name.replace("%25", "%")
    folder.mkdir()
    (folder / "index.html").write_text("x")
    response = get(tmp_path, f"/game/{name}")[2]
    assert response.headers["Location"] == f"./{name if name.isascii() else '%C3%A9'}/"


def test_the_path_of_the_folder_itself_has_a_route(site):
    below, itself = folder_routes("/game/", site, "name")
    assert (below.path, itself.path) == ("/game/*", "/game")
    response = itself.handler(Request("GET", "/game", Headers()))
    assert response.headers["Location"] == "./game/"
    (root,) = folder_routes("/", site, "name")
    assert root.path == "/*"
    assert root.headers == PUBLIC
    assert root.exists(Request("GET", "/", Headers()))


def test_a_file_that_has_not_changed_is_not_sent_again(site):
    _, _, first = get(site, "/game/app.mjs")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, body, again = get(site, "/game/app.mjs", if_none_match=known)
        assert (status, body, again.headers["ETag"]) == (304, "", tag)
    (site / "app.mjs").write_text("longer than it was before")
    assert get(site, "/game/app.mjs", if_none_match=tag)[:2] == (200, "longer than it was before")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("A.CSS", "text/css; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.json", "application/json"),
        ("game.sb3", "application/x.scratch.sb3"),
        ("a.svg", "image/svg+xml"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.tar.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_media_types(name, kind):
    assert content_type(name) == kind


@pytest.mark.parametrize("name", ["missing", "site/index.html", "a\0b"])
def test_a_folder_that_is_not_there_is_refused_in_one_sentence(site, name):
    with pytest.raises(ValueError, match=r"there is no folder|is a file, not a folder"):
        folder_routes("/game", site.parent / name, "name")


def test_a_file_that_cannot_be_read_is_not_found(site, monkeypatch, caplog):
    monkeypatch.setattr(
        Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    folder = Folder("/game", site)
    for _ in range(3):
        assert folder.respond(Request("GET", "/game/app.mjs", Headers())).status == 404
    assert len(caplog.records) == 1
    assert "cannot be served: Permission denied" in caplog.text
