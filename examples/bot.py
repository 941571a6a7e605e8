"""A bot that greets users who join a room and answers messages that begin with an exclamation mark.

    python3 examples/bot.py ws://127.0.0.1:3000/ --name robo --room lobby

It reconnects by itself when the connection breaks. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from typing import TYPE_CHECKING

if sys.version_info < (3, 11):  # noqa: UP036  # before imports that older versions cannot run
    sys.exit("CloudLink needs Python 3.11 or newer; install it, and start this with it.")

import cloudlink
from cloudlink.client import ClientError, Connected, Disconnected, GlobalMessage, PrivateMessage, UserJoined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudlink.client import Connection, User

HELP = "I know !roll [SIDES], !coin, !who and !help. Whisper to me and I whisper back."
LARGEST_DIE = 1_000_000
MOST_DIGITS = 8


def answer(text: object, users: Sequence[User]) -> str | None:
    """Return the answer to a message, None for no answer. A message may be any JSON value, not only text."""
    words = text.split() if isinstance(text, str) else []
    match words:
        case ["!help"]:
            return HELP
        case ["!coin"]:
            return random.choice(["Heads.", "Tails."])
        case ["!who"]:
            return "Here are " + ", ".join(map(str, users)) + "."
        case ["!roll"]:
            return f"You rolled {random.randint(1, 6)}."
        case ["!roll", sides] if sides.isascii() and sides.isdigit() and len(sides) <= MOST_DIGITS:
            highest = min(max(int(sides), 1), LARGEST_DIE)
            return f"You rolled {random.randint(1, highest)}."
    return None


async def live(c: Connection) -> None:
    """Handle events until the connection ends for good."""
    async for event in c:
        match event:
            case Connected(user, _, rooms):
                print(f"{user} is in {', '.join(rooms)}.", flush=True)
            case Disconnected(reason):
                print(f"{reason} Trying again.", flush=True)
            case UserJoined(user, room):
                await c.send(f"Welcome, {user}! Say !help.", rooms=room)
            case GlobalMessage(value, room):
                if reply := answer(value, c.users.get(room, ())):
                    await c.send(reply, rooms=room)
            case PrivateMessage(value, sender, room):
                await c.pmsg(sender, answer(value, c.users.get(room, ())) or HELP)


async def main() -> None:
    """Read the command line, connect, and handle events."""
    parser = argparse.ArgumentParser(description="A CloudLink bot.")
    parser.add_argument("url", nargs="?", default="ws://127.0.0.1:3000/", help="the address of the server")
    parser.add_argument("--name", default="robo", help="the bot's username")
    parser.add_argument(
        "--room", action="append", default=[], help="a room to go to (may be given several times)"
    )
    arguments = parser.parse_args()
    async with cloudlink.connect(arguments.url, username=arguments.name, rooms=arguments.room) as c:
        await live(c)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ClientError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("Bye.")
