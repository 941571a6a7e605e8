"""CloudLink 4 (CL4): handshake, setid, link; gmsg to a room, gvar for a player's variable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.load.job import TEXT, Client
from bench.protocols.base import Protocol

if TYPE_CHECKING:
    from bench.protocols.base import Kind

DEFAULT_ROOM = "default"


def packet(cmd: str, **keys: object) -> str:
    """Return a CL4 packet as compact JSON."""
    return json.dumps({"cmd": cmd, **keys}, separators=(",", ":"))


def username(number: int) -> str:
    """Return the name of a client."""
    return f"player-{number:05}"


def _step(cmd: str, val: object) -> tuple[str, str]:
    """Return a step of joining: the listener that identifies the answer, and the packet."""
    listener = f"bench-{cmd}"
    return listener, packet(cmd, val=val, listener=listener)


def enter(number: int, room: str = DEFAULT_ROOM) -> tuple[tuple[str, str], ...]:
    """Return the steps of joining: handshake, username, and the room unless it is the default one."""
    steps = (_step("handshake", {"language": "Python", "version": "0.2.0"}), _step("setid", username(number)))
    return steps if room == DEFAULT_ROOM else (*steps, _step("link", [room]))


def say(number: int, room: str, kind: Kind) -> tuple[str, ...]:
    """Return the packets a client sends."""
    if kind == "message":
        return (packet("gmsg", val=TEXT, rooms=room),)
    if kind == "variable":
        return (packet("gvar", name=f"position-{number:05}", val=TEXT, rooms=room),)
    return ()


class CloudLink4(Protocol):
    """CloudLink 4 as its Python client speaks it."""

    def client(self, number: int, room: str, kind: Kind) -> Client:
        """Enter with a name."""
        return Client("/", enter(number, room), say(number, room, kind))
