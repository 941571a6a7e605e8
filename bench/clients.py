"""The crowds of simulated clients: their rooms, and the recipients of their messages. Opens no connection."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from bench.load.job import TEXT, Client
from bench.protocols.cloudlink import DEFAULT_ROOM, enter, packet, username

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.peers import Peer
    from bench.protocols import Kind


def in_rooms(peer: Peer, count: int, room_of: Callable[[int], str], kind: Kind) -> tuple[Client, ...]:
    """Return clients, each in one room and with one packet to send."""
    return tuple(peer.protocol.client(number, room_of(number), kind) for number in range(count))


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
    """Return clients that join `default`, with a name if the server has names, and then stay silent."""
    return in_rooms(peer, count, lambda _: DEFAULT_ROOM, "nothing")
