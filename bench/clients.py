"""What the simulated clients say: the way into a room, and the measured packets. Opens no connection.

A plain broadcaster gets the very same measured packets; only the way into a room differs (the path).
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from bench.load.job import TEXT, Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.peers import Peer

DEFAULT_ROOM = "default"


def packet(cmd: str, **keys: object) -> str:
    """Return a CL4 packet as compact JSON."""
    return json.dumps({"cmd": cmd, **keys}, separators=(",", ":"))


def username(number: int) -> str:
    """Return the name of a client."""
    return f"player-{number:05}"


def step(cmd: str, val: object) -> tuple[str, str]:
    """Return a packet of the way in and the listener by which its answer is known."""
    listener = f"bench-{cmd}"
    return listener, packet(cmd, val=val, listener=listener)


def enter(number: int, room: str = DEFAULT_ROOM) -> tuple[tuple[str, str], ...]:
    """Return the way in of a CloudLink client: handshake, username, and the room unless it is the default one."""
    steps = (step("handshake", {"language": "Python", "version": "0.2.0"}), step("setid", username(number)))
    return steps if room == DEFAULT_ROOM else (*steps, step("link", [room]))


def in_rooms(
    peer: Peer, count: int, room_of: Callable[[int], str], say: Callable[[int, str], str]
) -> tuple[Client, ...]:
    """Return clients, each in one room and with one packet to send, `say(number, room)`."""
    return tuple(
        Client(f"/{room}", enter(number, room) if peer.speaks_cloudlink else (), (say(number, room),))
        for number, room in ((number, room_of(number)) for number in range(count))
    )


def message(_number: int, room: str) -> str:
    """Return a room message."""
    return packet("gmsg", val=TEXT, rooms=room)


def variable(number: int, room: str) -> str:
    """Return an update of a player's own room variable."""
    return packet("gvar", name=f"position-{number:05}", val=TEXT, rooms=room)


def correspondents(count: int, senders: int, letters: int = 16) -> tuple[Client, ...]:
    """Return CloudLink clients in `default`; the first `senders` of them write to others chosen at random.

    The choice is the same in every run.
    """
    chance = random.Random(count)

    def letter(number: int) -> str:
        other = (number + chance.randrange(1, count)) % count
        return packet("pmsg", id=username(other), val=TEXT, rooms=DEFAULT_ROOM)

    return tuple(
        Client("/", enter(number), tuple(letter(number) for _ in range(letters)) if number < senders else ())
        for number in range(count)
    )


def idlers(peer: Peer, count: int) -> tuple[Client, ...]:
    """Return clients that come into `default`, named where the server knows names, and then say nothing."""
    return tuple(Client("/", enter(number) if peer.speaks_cloudlink else ()) for number in range(count))
