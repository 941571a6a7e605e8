"""Plugins answer HTTP requests and serve folders."""

import asyncio
import json

import pytest

from cloudlink.errors import StartError
from cloudlink.http import Response
from tests.support.memoryclients import turns
from tests.support.rawclients import ask, request, running

SANDBOX = "Content-Security-Policy: sandbox allow-scripts allow-forms allow-popups allow-pointer-lock allow-downloads"


def fetch(prepare, *paths, **settings):
    """The answers of a server that `prepare` has set up, head and body of each."""

    async def scenario():
        async with running(**settings) as server:
            prepare(server)
            await turns()
            answers = [await ask(server.port, request({"Host": "x"}, path)) for path in paths]
            return [tuple(answer.split("\r\n\r\n", 1)) for answer in answers]

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ({"score": 5}, "200 OK", '{"score":5}'),
        ("text", "200 OK", "text"),
        (b"bytes", "200 OK", "bytes"),
        (Response("gone", 410), "410 Gone", "gone"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_the_return_value_of_a_handler_is_the_answer(result, status, body, is_async):
    def prepare(server):
        if is_async:

            @server.on_request("/x")
            async def slow(request):
                await asyncio.sleep(0)
                return result
        else:

            @server.on_request("/x")
            def quick(request):
                return result

            assert quick is not None

    ((head, got),) = fetch(prepare, "/x")
    assert head.startswith(f"HTTP/1.1 {status}\r\n")
    assert got == body
    assert SANDBOX in head
    assert "Access-Control-Allow-Origin: *" in head


def test_a_handler_gets_the_request():
    def prepare(server):
        @server.on_request("/hello/*")
        def hello(request):
            return {
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "host": request.headers["host"],
                "address": request.address,
                "secure": request.secure,
            }

    ((_, body),) = fetch(prepare, "/hello/Mia%20B?x=1")
    expected = {
        "path": "/hello/Mia B",
        "query": {"x": "1"},
        "host": "x",
        "address": "127.0.0.1",
        "secure": False,
    }
    assert json.loads(body) == {"method": "GET"} | expected


def test_a_handler_that_raises_is_logged_by_name(caplog):
    def prepare(server):
        @server.on_request("/x")
        def broken(request):
            return 1 / 0

    ((head, body),) = fetch(prepare, "/x")
    assert head.startswith("HTTP/1.1 500 ")
    assert body == "This server made a mistake.\n"
    assert "broken raised ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("path", ["/health", "/extension.js", "/taken", "/taken/*", "/game", "/game/*"])
def test_a_path_that_is_taken_is_refused(path, tmp_path):
    def prepare(server):
        server.on_request("/taken")(lambda request: "")
        server.on_request("/taken/*")(lambda request: "")
        server.serve_folder("/game", str(tmp_path))
        with pytest.raises(ValueError, match=f"^the path {path[:-1]}.* is taken by .*; choose another$"):
            server.on_request(path)(lambda request: "")

    fetch(prepare)


@pytest.mark.parametrize(("path", "handler"), [("x", lambda request: ""), ("/x", lambda: ""), ("/x", "text")])
def test_a_wrong_handler_or_path_is_refused(path, handler):
    def prepare(server):
        with pytest.raises((TypeError, ValueError)):
            server.on_request(path)(handler)

    fetch(prepare)


def test_a_plugin_may_have_its_own_start_page():
    def prepare(server):
        server.on_request("/")(lambda request: "mine")

    assert fetch(prepare, "/")[0][1] == "mine"


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("my game")
    (folder / "health").write_text("not this one")
    (folder / "app.mjs").write_text("export {}")
    (folder / "cloudlink.toml").write_text("secret")
    return folder


def test_a_folder_is_served(site):
    answers = fetch(
        lambda server: server.serve_folder("/game", str(site)), "/game/", "/game", "/game/cloudlink.toml", "/"
    )
    assert [head.split("\r\n")[0] for head, _ in answers] == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 308 Permanent Redirect",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 200 OK",
    ]
    head, body = answers[0]
    assert body == "my game"
    assert SANDBOX in head
    assert "This is a CloudLink server" in answers[3][1]


def test_the_folder_of_pages_takes_the_start_page_and_leaves_the_built_in_ones(site):
    def prepare(server):
        server.on_request("/app.mjs")(lambda request: "of a plugin")

    answers = fetch(
        prepare, "/", "/health", "/app.mjs", "/nothing", "/cloudlink.toml", pages_folder=str(site)
    )
    assert answers[0][1] == "my game"
    assert SANDBOX in answers[0][0]
    assert '"status": "ok"' in answers[1][1]
    assert SANDBOX not in answers[1][0]
    assert answers[2][1] == "of a plugin"
    assert all(head.startswith("HTTP/1.1 404") for head, _ in answers[3:])


def test_without_an_index_the_start_page_stays(site):
    (site / "index.html").unlink()
    answers = fetch(lambda server: None, "/", "/app.mjs", pages_folder=str(site))
    assert "This is a CloudLink server" in answers[0][1]
    assert "text/javascript" in answers[1][0]


def test_a_folder_of_pages_that_is_not_there_keeps_the_server_from_starting():
    with pytest.raises(
        StartError, match=r"^The setting pages_folder \(code\) is wrong: there is no folder /nowhere"
    ):
        fetch(lambda server: None, pages_folder="/nowhere")


def test_a_server_may_be_started_again(site):
    async def scenario():
        async with running(pages_folder=str(site)) as server:
            await server.stop()
            server.settings.set("pages_folder", "")
            await server.start("127.0.0.1", 0)
            return await ask(server.port, request({"Host": "x"}))

    assert "This is a CloudLink server" in asyncio.run(scenario())
