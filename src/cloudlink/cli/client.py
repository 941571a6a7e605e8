"""`cloudlink client`: shows the events of a server, one a line, and sends the lines that are typed.

The input may also come from a pipe: `echo hello | cloudlink client` sends it, waits until the server has processed it,
and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.cli.reach import add_reach_flags, tls_of
from cloudlink.errors import StartError
from cloudlink.text import did_you_mean, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from cloudlink.client import Connection

HELP = "Show what happens on a server, and send what you type."

_COMMANDS = """\
/msg NAME TEXT    send a private message
/var NAME VALUE   set a variable for all clients in your rooms
/room ROOM ...    join rooms
/leave [ROOM ...] leave rooms, or all of them
/name NAME        set a username
/who              list the users in your rooms
/help             this list
/quit             leave
Anything else is a message to all clients in your rooms; // begins one with a slash."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_reach_flags(parser)
    parser.add_argument("--name", help="the username to set")
    parser.add_argument(
        "--room",
        action="append",
        default=[],
        help="a room to join; needs --name (may be given several times)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Chat until `/quit`, the end of the input, or the end of the connection.

    Raises:
        StartError: The server cannot be reached, refuses us, or has ended the connection.
    """
    from cloudlink.client import ClientError  # noqa: PLC0415  # the other commands do without it

    if arguments.room and arguments.name is None:
        raise StartError("The server lets only clients with a username into rooms; add --name.")
    try:
        asyncio.run(_chat(arguments))
    except ClientError as error:
        raise StartError(printable(str(error))) from None
    return 0


async def _chat(arguments: argparse.Namespace) -> None:
    from cloudlink.client import connect  # noqa: PLC0415  # as above

    async with connect(
        arguments.url,
        username=arguments.name,
        rooms=arguments.room,
        timeout=arguments.timeout,
        ssl=tls_of(arguments),
        proxy=arguments.proxy,
    ) as c:
        showing = asyncio.create_task(_show(c))
        typing = asyncio.create_task(_send_all(c, _lines_of_stdin()))
        try:
            await asyncio.wait((showing, typing), return_when=asyncio.FIRST_COMPLETED)
            for task in (showing, typing):
                if task.done():
                    task.result()
        finally:
            typing.cancel()
            showing.cancel()
            await asyncio.gather(typing, showing, return_exceptions=True)


def _lines_of_stdin() -> asyncio.Queue[str | StartError | None]:
    """Return a queue of the lines of standard input; at its end None, or the error that ends it early.

    A thread reads them: asyncio cannot watch a file or a Windows console.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | StartError | None] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            _read_stdin(lambda line: loop.call_soon_threadsafe(lines.put_nowait, line))

    threading.Thread(target=read, name="standard input", daemon=True).start()
    return lines


def _read_stdin(put: Callable[[str | StartError | None], object]) -> None:
    """Call `put` with each line of standard input, then None, or the error that ends it early."""
    end: StartError | None = None
    number = 0
    try:
        if isinstance(sys.stdin, io.TextIOWrapper):
            # It decodes blocks, not lines: an error raised there would lose the good lines before the bad one.
            sys.stdin.reconfigure(errors="surrogateescape")
        for line in sys.stdin or ():  # None if the program was started without one
            number += 1
            line.encode()  # fails for undecodable bytes
            put(line.rstrip("\r\n"))
    except UnicodeEncodeError:
        encoding = sys.stdin.encoding.upper()
        end = StartError(
            f"Line {number} of the input is not {encoding} text; convert the input to {encoding}, with iconv for example."
        )
    except (OSError, ValueError):  # the input or its terminal is closed: it ends here
        pass
    finally:
        put(end)


async def _send_all(c: Connection, lines: asyncio.Queue[str | StartError | None]) -> None:
    from cloudlink.client import NameRefusedError, RequestError, WaitTimeoutError  # noqa: PLC0415  # as above

    while isinstance(line := await lines.get(), str):
        if line.strip() == "/quit":
            return
        try:
            await _execute(c, line)
        except (NameRefusedError, RequestError, WaitTimeoutError) as error:
            _print(f"! {error}")
    # Packets take effect in order: when this one is answered, so are those before it.
    await c.request("ping")
    while c.waiting:  # noqa: ASYNC110  # the other task is showing them
        await asyncio.sleep(0)
    if line is not None:
        raise line


async def _execute(c: Connection, line: str) -> None:
    if not line.startswith("/") or line.startswith("//"):
        if line:
            await c.send(line.removeprefix("/") if line.startswith("//") else line)
        return
    word, _, rest = line[1:].partition(" ")
    command = _COMMAND_FUNCTIONS.get(word)
    if command is None:
        known = [f"/{name}" for name in _COMMAND_FUNCTIONS]
        _print(
            f"! There is no command /{word}{did_you_mean(f'/{word}', known, prefix='/') or '; /help lists all'}"
        )
    elif not await command(c, rest.strip()):
        _print("! " + next(row for row in _COMMANDS.splitlines() if row.startswith(f"/{word} ")))


async def _msg(c: Connection, rest: str) -> bool:
    to, _, text = rest.partition(" ")
    if text:
        await c.pmsg(to, text)
    return bool(text)


async def _var(c: Connection, rest: str) -> bool:
    name, _, text = rest.partition(" ")
    if text:
        await c.gvar(name, _value(text))
    return bool(text)


async def _room(c: Connection, rest: str) -> bool:
    if rest:
        await c.link(*rest.split())
    return bool(rest)


async def _leave(c: Connection, rest: str) -> bool:
    await c.unlink(*rest.split())
    return True


async def _name(c: Connection, rest: str) -> bool:
    if rest:
        await c.set_username(rest)
        _print(f"* You are {rest}.")
    return bool(rest)


async def _who(c: Connection, _: str) -> bool:
    from cloudlink.cli.lines import people  # noqa: PLC0415  # as above

    for room in c.rooms:
        _print(people(c.users.get(room, ()), room))
    return True


async def _help(_: Connection, __: str) -> bool:
    print(_COMMANDS, flush=True)
    return True


_COMMAND_FUNCTIONS: dict[str, Callable[[Connection, str], Awaitable[bool]]] = {
    "msg": _msg,
    "var": _var,
    "room": _room,
    "leave": _leave,
    "name": _name,
    "who": _who,
    "help": _help,
}


def _value(text: str) -> Any:
    """Read a typed value as Scratch extensions do: as JSON if it is valid JSON, else as text."""
    try:
        return jsontext.loads(text.encode())
    except jsontext.JSONTextError:
        return text


async def _show(c: Connection) -> None:
    from cloudlink.cli.lines import line_of  # noqa: PLC0415  # as above

    async for event in c:
        if line := line_of(event):
            _print(line)


def _print(line: str) -> None:
    print(printable(line), flush=True)
