"""examples/bot.py, run as a program against our server."""

import asyncio
from pathlib import Path

import pytest

import bot
from cloudlink.client import GlobalMessage, PrivateMessage, User, connect
from tests.support.programs import running_program, until
from tests.support.servers import restartable_server

BOT = Path(__file__).parents[2] / "examples" / "bot.py"


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("!help", "I know"),
        ("!roll", "You rolled "),
        ("!roll 1", "You rolled 1."),
        ("!roll 0", "You rolled 1."),
        ("!who", "Here are alice."),
    ],
)
def test_answers(text, begins):
    assert bot.answer(text, [User("1", "a", "alice")]).startswith(begins)


@pytest.mark.parametrize(
    "text", ["hello", "", "!roll x", "!roll -3", "!roll ²", "!roll 999999999", 5, None, ["!help"], {}]
)
def test_keeps_quiet(text):
    assert bot.answer(text, []) is None


def test_a_coin_has_two_sides():
    assert {bot.answer("!coin", []) for _ in range(100)} == {"Heads.", "Tails."}


def running(*words):
    return running_program(BOT, *words)


def test_it_greets_answers_whispers_and_comes_back():
    async def scenario():
        async with (
            asyncio.timeout(30),
            restartable_server() as host,
            running(host.url, "--name", "robo", "--room", "lobby") as process,
        ):
            assert await process.stdout.readline() == b"robo is in lobby.\n"
            async with connect(host.url, username="alice", rooms="lobby") as alice:
                await until(
                    alice, lambda event: event == GlobalMessage("Welcome, alice! Say !help.", "lobby")
                )
                await alice.send("!who")
                await until(alice, lambda event: event == GlobalMessage("Here are robo, alice.", "lobby"))
                await alice.pmsg("robo", "hello?")
                whisper = await until(alice, lambda event: isinstance(event, PrivateMessage))
                assert whisper.value == bot.HELP
            host.drop_everybody()
            assert (await process.stdout.readline()).endswith(b"Trying again.\n")
            assert await process.stdout.readline() == b"robo is in lobby.\n"

    asyncio.run(scenario())


def test_without_a_server_it_says_so():
    async def scenario():
        async with asyncio.timeout(30), running("ws://127.0.0.1:1") as process:
            _, errors = await process.communicate()
            assert errors.startswith(b"Nothing listens at 127.0.0.1:1.")
            assert process.returncode == 1

    asyncio.run(scenario())
