"""The table of routes: what is at a path, and what is answered where there is nothing."""

import asyncio
import logging

import pytest

from cloudlink.http import Headers, Request, Response, Routes, WebSocketRoute
from cloudlink.http.routes import Route


def answer(routes, target, method="GET"):
    return asyncio.run(routes.respond(Request(method, target, Headers())))


def saying(text):
    def handler(request):
        return text

    return handler


@pytest.fixture
def routes():
    table = Routes()
    table.add("/scores", saying("scores"))
    table.add("/scores/*", saying("below"))
    table.add("/scores/best/*", saying("best"))
    table.add("/with space/é", saying("odd"))
    table.home = Route("/", saying("home"), "home")
    return table


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/scores", b"scores"),
        ("/scores?x=1", b"scores"),
        ("/sc%6Fres", b"scores"),
        ("/scores/", b"below"),
        ("/scores/a/b", b"below"),
        ("/scores/*", b"below"),
        ("/scores/best", b"below"),
        ("/scores/best/", b"best"),
        ("/scores/best/x", b"best"),
        ("/with%20space/%C3%A9", b"odd"),
        ("/", b"home"),
        ("/?x", b"home"),
    ],
)
def test_a_path_is_answered_by_its_route_else_by_the_longest_above(routes, target, body):
    assert answer(routes, target).body == body
    assert answer(routes, target, "HEAD").body == body
    options = answer(routes, target, "OPTIONS")
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "BREW"):
        refused = answer(routes, target, method)
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert method.encode() in refused.body


def test_a_default_gives_way_to_a_route_of_its_very_path_only(routes):
    routes.add_default(Route("/ready", saying("ready"), "ready"))
    assert answer(routes, "/ready").body == b"ready"
    routes.add("/*", saying("everything"))
    assert answer(routes, "/ready").body == b"ready"
    routes.add("/ready", saying("a plugin's"))
    assert answer(routes, "/ready").body == b"a plugin's"


def test_failing_handlers_are_counted(routes):
    def fail(request):
        raise LookupError

    routes.add("/broken", fail)
    assert answer(routes, "/broken").status == 500
    assert routes.failures == 1


@pytest.mark.parametrize(
    "target", ["/score", "/scoresx", "//scores", "/Scores", "/with space/e", "/" + "x/" * 5000]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_where_there_is_nothing_every_method_says_so(routes, target, method):
    assert answer(routes, target, method).status == 404


def test_targets_that_are_no_paths(routes):
    routes.add("/*", saying("everything"))
    assert answer(routes, "*", "OPTIONS").status == 204
    assert answer(routes, "games.example:443", "CONNECT").status == 405
    assert answer(routes, "/any/thing").body == b"everything"
    assert answer(routes, "/").body == b"everything"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "scores",
        "*",
        "/scores*",
        "/*/x",
        "//",
        "//x",
        "/x//y",
        "/x/../y",
        "/.",
        "/./x",
        "/x?y",
        "/x#y",
        "/x%20y",
        "/x\\y",
        "/x\n",
        "/\x00",
        "/a b\x7f",
        None,
        5,
        "/x/**",
        "/x//*",
    ],
)
def test_a_path_that_is_ill_formed_is_refused_in_one_sentence(routes, path):
    with pytest.raises(ValueError, match="is not a path: write it as"):
        routes.add(path, saying("x"))
    with pytest.raises(ValueError, match="is not a path: write it as"):
        routes.add_websocket(WebSocketRoute(path, saying("x")))


@pytest.mark.parametrize("path", ["/scores", "/scores/*"])
def test_a_path_that_is_taken_is_refused_and_the_other_handler_named(routes, path):
    with pytest.raises(ValueError, match=r"is taken by saying\.<locals>\.handler; choose another"):
        routes.add(path, saying("x"))


@pytest.mark.parametrize("path", ["/", "/x", "/x/", "/x/*", "/x/y.z/...", "/a-b_c~(d)"])
def test_well_formed_paths(path):
    routes = Routes()
    routes.add(path, saying("here"))
    assert answer(routes, path.removesuffix("*")).body == b"here"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_that_raises_is_logged_by_name_and_tells_nothing(caplog, is_async):
    async def slow(request):
        raise RuntimeError("the secret")

    def quick(request):
        raise RuntimeError("the secret")

    routes = Routes()
    routes.add("/x", slow if is_async else quick)
    with caplog.at_level(logging.ERROR):
        response = answer(routes, "/x")
    assert response.status == 500
    assert b"secret" not in response.body
    name = "slow" if is_async else "quick"
    assert (
        f"Handler test_a_handler_that_raises_is_logged_by_name_and_tells_nothing.<locals>.{name} raised RuntimeError"
        in caplog.text
    )


@pytest.mark.parametrize("result", [None, 5, object()])
def test_a_handler_that_returns_something_else_is_logged(caplog, result):
    routes = Routes()
    routes.add("/x", lambda _: result)
    assert answer(routes, "/x").status == 500
    assert "a request is answered with a Response, text, bytes, a dict or a list" in caplog.text


def test_headers_of_a_route_are_defaults():
    routes = Routes()
    routes.add("/x", lambda _: Response("x", headers={"A": "own"}), {"A": "1", "B": "2"})
    assert answer(routes, "/x").headers == {"A": "own", "B": "2"}


def test_a_route_that_has_nothing_leaves_the_path_to_the_next():
    routes = Routes()
    routes.add_route(
        Route("/game/*", saying("game"), "game", exists=lambda request: request.path == "/game/a")
    )
    routes.pages = Route(
        "/*", saying("pages"), "pages", exists=lambda request: request.path in ("/", "/game/b")
    )
    routes.home = Route("/", saying("home"), "home")
    assert answer(routes, "/game/a").body == b"game"
    assert answer(routes, "/game/b").body == b"pages"
    assert answer(routes, "/game/c").status == 404
    assert answer(routes, "/game/c", "POST").status == 404
    assert answer(routes, "/").body == b"pages"


def test_websockets_have_routes_of_their_own(routes):
    watch = WebSocketRoute("/watch", saying("x"))
    admin = WebSocketRoute("/admin/*", saying("x"))
    routes.add_websocket(watch)
    routes.add_websocket(admin)
    assert routes.websocket("/watch") is watch
    assert routes.websocket("/admin/ws") is admin
    assert routes.websocket("/scores") is None
    assert answer(routes, "/watch").status == 404
    with pytest.raises(ValueError, match=r"is taken by saying"):
        routes.add_websocket(watch)
