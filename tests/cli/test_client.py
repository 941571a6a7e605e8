"""`cloudlink client`, its input from a pipe and at a running server."""

import asyncio
import os
import sys

import pytest

from cloudlink import cli
from cloudlink.cli.lines import line_of
from cloudlink.client import connect, events
from tests.support.fakeservers import greet, websocket_server
from tests.support.servers import restartable_server

ALICE = events.User("1", "a", "alice")


async def start(url, *flags):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cloudlink", "client", url, *flags, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def talk(host, typed, *flags):
    """Type these lines from a pipe; the exit status and the lines printed."""
    process = await start(host.url, *flags)
    output, errors = await process.communicate("".join(f"{line}\n" for line in typed).encode())
    return process.returncode, output.decode().splitlines(), errors.decode()


def run(scenario):
    async def limited():
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(limited())


def test_piped_input_is_sent_and_answered_before_it_ends():
    async def scenario():
        async with restartable_server(motd="Be \x1b[31mkind.") as host:
            typed = [
                "hello",
                "",
                "//slash",
                "/name bob",
                "/msg bob psst there",
                "/room a b",
                "/leave a",
                '/var lives {"n": 3}',
                "/var name bob",
                "/who",
                "/msg nobody hello?",
                "/name again",
                "/romo x",
                "/msg bob",
            ]
            status, lines, errors = await talk(host, typed)
            assert (status, errors) == (0, "")
            # What the program itself says may come between what the server has it say.
            assert sorted(lines) == sorted(
                [
                    "* Connected, in default.",
                    "* In default: nobody with a name.",
                    "* Be \\x1b[31mkind.",
                    "[default] hello",
                    "[default] /slash",
                    "* In default: bob.",
                    "* You are bob.",
                    "(bob) psst there",
                    "* In a: bob.",
                    "* In b: bob.",
                    '[b] lives = {"n":3}',
                    "[b] name = bob",
                    "* In b: bob.",
                    "! E:103 | ID not found: No matches found: nobody",
                    "! The server refuses the username again: E:107 | ID already set",
                    "! There is no command /romo; did you mean /room?",
                    "! /msg NAME TEXT    send a private message",
                ]
            )

    run(scenario)


def test_input_in_another_encoding_is_reported_after_earlier_lines():
    async def scenario():
        async with restartable_server() as host:
            process = await start(host.url)
            output, errors = await process.communicate("Grüße\n".encode() + "Grüße\nlost\n".encode("latin-1"))
            assert output.decode().splitlines()[-1] == "[default] Grüße"
            assert errors.decode() == (
                "cloudlink: Line 2 of the input is not UTF-8 text; "
                "convert the input to UTF-8, with iconv for example.\n"
            )
            assert process.returncode == 1

    run(scenario)


@pytest.mark.skipif(os.name != "posix", reason="Windows always gives a program an input")
def test_without_any_input_it_ends_as_with_an_empty_one():
    async def scenario():
        async with restartable_server() as host:
            line = f"exec {sys.executable} -m cloudlink client {host.url} <&-"
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_shell(line, stdout=pipe, stderr=pipe)
            output, errors = await process.communicate()
            assert (process.returncode, errors) == (0, b"")
            assert output.startswith(b"* Connected")

    run(scenario)


def test_others_are_seen_as_they_come_speak_and_go():
    async def scenario():
        async with restartable_server() as host:
            process = await start(host.url, "--name", "watcher", "--room", "lobby")

            async def line():
                return (await process.stdout.readline()).decode().rstrip("\n")

            assert await line() == "* Connected as watcher, in lobby."
            assert await line() == "* In lobby: watcher."
            async with connect(host.url, username="alice", rooms="lobby") as alice:
                assert await line() == "* alice joined lobby."
                await alice.send("hi\nthere\x07")
                assert await line() == "[lobby] hi\\x0athere\\x07"
                await alice.pvar("watcher", "hp", 7)
                assert await line() == "(alice) hp = 7"
                await alice.direct("watcher", [1, 2])
                assert await line() == "(alice, direct) [1,2]"
            assert await line() == "* alice left lobby."
            host.drop_everybody()
            assert (await line()).endswith("Trying again.")
            assert await line() == "* Back as watcher, in lobby."
            assert await line() == "* In lobby: watcher."
            process.stdin.write(b"/help\n/quit\n")
            rest, errors = await process.communicate()
            assert rest.decode().startswith("/msg NAME TEXT")
            assert (process.returncode, errors) == (0, b"")

    run(scenario)


def test_when_nobody_reads_its_lines_it_ends_quietly():
    async def scenario():
        async with restartable_server() as host:
            reading, writing = os.pipe()
            words = (sys.executable, "-m", "cloudlink", "client", host.url)
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=writing, stderr=pipe)
            os.close(writing)
            os.close(reading)
            _, errors = await process.communicate(b"hello\n")
            assert (process.returncode, errors) == (0, b"")

    run(scenario)


def test_the_end_of_the_connection_is_reported():
    async def scenario():
        async with restartable_server() as host:
            process = await start(host.url)
            await process.stdout.readline()
            host.server.close_connection(next(iter(host.server.clients_manager.clients)), 1000, "Bye\x1b")
            _, errors = await process.communicate()
            assert errors.decode() == "cloudlink: The connection was closed with 1000 (Bye\\x1b).\n"
            assert process.returncode == 1

    run(scenario)


@pytest.mark.parametrize("when", ["before the greeting", "after it"])
@pytest.mark.parametrize("code", [1008, 4000, 4004, 4099])
def test_a_kick_ends_it_and_says_why(code, when):
    async def kick(socket):
        if when == "after it":
            await greet(socket)
        await socket.close(code, "You were kicked: spam")

    async def scenario():
        async with websocket_server(kick) as url:
            process = await start(url)  # whose input does not end
            lines, errors = await asyncio.gather(process.stdout.read(), process.stderr.read())
            lines, errors = lines.decode(), errors.decode()
            assert await process.wait() == 1
            assert errors.startswith("cloudlink: The ")
            assert f"with {code} (You were kicked: spam)" in errors
            assert errors.count("\n") == 1
            assert "Trying again" not in lines

    run(scenario)


def test_a_restart_is_said_and_outlived():
    async def scenario():
        visits = []

        async def restart_once(socket):
            visits.append(socket)
            await greet(socket)
            if len(visits) == 1:
                await socket.close(1012, "Restarting")
            await socket.wait_closed()

        async with websocket_server(restart_once) as url:
            process = await start(url)
            assert (await process.stdout.readline()).startswith(b"* Connected")
            lost = await process.stdout.readline()
            assert (
                lost.decode().rstrip() == "* The connection was closed with 1012 (Restarting). Trying again."
            )
            assert (await process.stdout.readline()).startswith(b"* Back")
            await process.communicate(b"/quit\n")
            assert process.returncode == 0

    run(scenario)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ws://127.0.0.1:1"], "Nothing listens at 127.0.0.1:1."),
        (["http://127.0.0.1:1"], "is the address of a web page. Write ws://127.0.0.1:1."),
        (["--room", "lobby"], "add --name"),
        (["--ca", "/nowhere.pem"], "The certificate /nowhere.pem cannot be used"),
        (["--timeout", "soon"], "invalid float value"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(words, sentence, capsys):
    assert cli.main(["client", *words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (events.GlobalMessage({"a": 1}, "r"), '[r] {"a":1}'),
        (events.StatusCode("I:100 | OK", 100), ""),
        (events.StatusCode("E:101 | Syntax", 101, {"val": ["x"]}), '! E:101 | Syntax: {"val":["x"]}'),
        (events.OtherPacket({"cmd": "x"}), '* {"cmd":"x"}'),
        (events.Unreadable("what"), "! The server sent something that is not a packet: what"),
        (events.UserList((ALICE, events.User("2", "b")), "r"), "* In r: alice, 2."),
        (events.Event(), ""),
    ],
)
def test_lines(event, line):
    assert line_of(event) == line
