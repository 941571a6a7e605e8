"""`cloudlink bridge test`: what it says when all is well, and for each thing that can be wrong."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from cloudlink.bridge import trial
from cloudlink.cli import main
from tests.bridge.servers import SECRET, BridgedServer, a_pair, in_loop, running
from tests.support.fakeservers import websocket_server
from tests.support.servers import build, listening


@pytest.fixture
def config(tmp_path):
    """A function that writes a settings file with one bridge and returns the arguments that test it."""

    def write(**keys):
        lines = ["[bridges.b]", *(f"{key} = {value!r}".replace("'", '"') for key, value in keys.items())]
        path = tmp_path / "cloudlink.toml"
        path.write_text("\n".join(lines))
        return ["bridge", "test", "b", "--config", str(path)]

    return write


async def run(arguments):
    """The exit status; the servers of the test run meanwhile."""
    return await asyncio.to_thread(main, arguments)


def test_all_is_well_and_the_running_bridge_is_not_touched(config, capsys):
    @in_loop
    async def scenario():
        async with a_pair(rooms=(["arena", "hall"], ["arena", "lobby=hall"])) as (first, second):
            link = first.bridges.bridges["b"]._link
            arguments = config(secret=SECRET, url=first.url, rooms=["arena", "lobby=hall", "den"])
            assert await run(arguments) == 0
            assert first.bridges.bridges["b"]._link is link
            assert second.bridges.health()["a"]["up"]

    scenario()
    output = capsys.readouterr().out
    for expected in (
        "ok     It upgrades to a WebSocket.",
        "ok     The other side knows the secret.",
        "ok     The clocks of the two servers differ by 0.0 seconds, which is little enough.",
        "ok     The room arena is shared.",
        "ok     The room lobby is shared, called hall there.",
        (
            "note   den is not shared: the other side does not name it; add it to the section [bridges.NAME] there, "
            "or remove it from [bridges.b] here."
        ),
        "Nothing is wrong, but see the notes.",
    ):
        assert expected in output


def test_a_bridge_that_waits_to_be_called_is_tried_from_the_other_server(config, capsys):
    assert main(config(secret=SECRET, rooms=["arena"])) == 0
    output = capsys.readouterr().out
    assert "ok     The settings of the bridge b are valid; it waits to be called." in output
    assert "note   Only the server that calls can try the connection" in output


def wrong(config, capsys, context, expected, **keys):
    @in_loop
    async def scenario():
        async with context as url:
            assert await run(config(**{"secret": SECRET, "url": url, "rooms": ["arena"], **keys})) == 1

    scenario()
    assert f"WRONG  {expected}" in " ".join(capsys.readouterr().out.split("\n"))


@contextlib.asynccontextmanager
async def a_waiting_bridge(secret=SECRET, paused=False):
    host = BridgedServer({"x": {"secret": secret, "rooms": ["arena"]}})
    async with running(host):
        if paused:
            host.bridges.pause("x")
        yield host.url


def test_nothing_listens(config, capsys):
    wrong(config, capsys, contextlib.nullcontext("ws://127.0.0.1:9/"), "Nothing listens at 127.0.0.1:9.")


def test_the_secret_is_wrong(config, capsys):
    expected = (
        "The other side does not know this secret.        Both sections need the same secret, and the one of the "
        "other server must have no url."
    )
    wrong(config, capsys, a_waiting_bridge("another secret, long enough"), expected)


def test_the_bridge_is_paused_there(config, capsys):
    expected = "The connection was closed with 1013 (The bridge is paused)."
    wrong(config, capsys, a_waiting_bridge(paused=True), expected)


def test_the_other_side_knows_no_bridges(config, capsys):
    @contextlib.asynccontextmanager
    async def a_server():
        async with listening(build()) as port:
            yield f"ws://127.0.0.1:{port}/"

    expected = "The other side knows no bridges: its CloudLink is too old, or none of its bridges waits to be called."
    wrong(config, capsys, a_server(), expected)


def test_the_clock_is_wrong(config, capsys, monkeypatch):
    monkeypatch.setattr(trial, "wall_clock", lambda: 0)
    expected = "The clocks of the two servers differ by "
    wrong(config, capsys, a_waiting_bridge(), expected)


def test_something_else_answers(config, capsys, monkeypatch):
    async def handler(socket):
        await socket.send("hello")
        await socket.wait_closed()

    expected = "A message of the handshake is not a JSON object."
    wrong(config, capsys, websocket_server(handler), expected)


def test_something_answers_nothing(config, capsys, monkeypatch):
    monkeypatch.setattr(trial, "_TIMEOUT", 0.2)

    async def handler(socket):
        await socket.wait_closed()

    expected = "It is a WebSocket, but it does not answer the first message of a bridge."
    wrong(config, capsys, websocket_server(handler), expected)
    expected = "The server is connected, but the greeting did not come in time."
    wrong(config, capsys, websocket_server(handler), expected, kind="upstream", secret="")


@in_loop
async def succeed(arguments):
    """Test a bridge to a server without bridges; `arguments` gets its address."""
    async with running(host := BridgedServer({})):
        assert await run(arguments(host.url)) == 0


def test_other_kinds_of_servers(config, capsys):
    succeed(arguments=lambda url: config(kind="upstream", url=url, rooms=["arena", "lobby=hall"]))
    output = capsys.readouterr().out
    assert (
        "ok     It is a CloudLink server with protocol 0.2.0, and lets the bridge into the room hall."
        in output
    )
    assert output.endswith("All is well.\n")

    succeed(arguments=lambda url: config(kind="cloud", url=url, projects=["104"], contact="me@example.org"))
    output = capsys.readouterr().out
    assert "ok     It is a server of cloud variables, and shows 0 of the project 104." in output


def test_mistakes_on_the_command_line(config, capsys):
    assert main(["bridge"]) == 1
    assert "Say what to do, such as `cloudlink bridge test b`" in capsys.readouterr().err
    arguments = config(secret=SECRET, rooms=["arena"])
    assert main([*arguments[:2], "c", *arguments[3:]]) == 1
    assert "There is no section [bridges.c] in the settings file." in capsys.readouterr().err
