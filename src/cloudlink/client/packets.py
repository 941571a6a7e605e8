"""Packets of CloudLink 4: from the text of a frame to an event, and from a command to the text of a frame.

Pure and lenient: a packet of an unknown command, or with something missing, becomes `OtherPacket`. Which events make
sense when is decided in `session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.client import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.client.events import Event, Listener, User

_PRIVATE_COMMANDS = ("pmsg", "pvar", "direct")


class _MalformedPacketError(Exception):
    """A packet lacks a key, or a key has a value of the wrong type."""


def encode(cmd: str, keys: dict[str, Any]) -> str:
    """Return the text of a packet.

    Args:
        cmd: The command.
        keys: The other root keys; those that are None are omitted, except `val`.

    Raises:
        TypeError: A value has a part that JSON cannot hold.
    """
    packet = {"cmd": cmd}
    packet.update({key: value for key, value in keys.items() if value is not None or key == "val"})
    return jsontext.dumps(packet).decode()


def decode(text: str) -> dict[str, Any] | None:
    """Return the packet in a text, None if it is not a JSON object with a `cmd`."""
    try:
        packet = jsontext.loads(text.encode())
    except jsontext.JSONTextError:
        return None
    return packet if isinstance(packet, dict) and isinstance(packet.get("cmd"), str) else None


def read(text: str) -> tuple[Event, dict[str, Any] | None]:
    """Return the event that the text of a frame reports, and the packet in it; None if it is not a packet."""
    packet = decode(text)
    return (events.Unreadable(text) if packet is None else _event_of(packet)), packet


def _event_of(packet: dict[str, Any]) -> Event:
    reader = _READERS.get(packet["cmd"])
    if reader is None:
        return events.OtherPacket(packet)
    try:
        return reader(packet)
    except _MalformedPacketError:
        return events.OtherPacket(packet)


def user(value: object) -> User:
    """Read a user object (protocol, section 1.2).

    Raises:
        ValueError: It is not a user object.
    """
    if not isinstance(value, dict) or not ("id" in value or "uuid" in value):
        raise ValueError(value)
    name = value.get("username")
    return events.User(
        str(value.get("id", "")), str(value.get("uuid", "")), None if name is None else str(name)
    )


def _user(value: object) -> User:
    try:
        return user(value)
    except ValueError:
        raise _MalformedPacketError from None


def _text(packet: dict[str, Any], key: str) -> str:
    value = packet.get(key)
    if not isinstance(value, str):
        raise _MalformedPacketError
    return value


def _value(packet: dict[str, Any]) -> Any:
    if "val" not in packet:
        raise _MalformedPacketError
    return packet["val"]


def _room(packet: dict[str, Any]) -> str:
    room = packet.get("rooms", "default")
    return room if isinstance(room, str) else jsontext.dumps(room).decode()


def listener_of(packet: dict[str, Any]) -> Listener | None:
    """Return the listener of a packet, None without one."""
    listener = packet.get("listener")
    return listener if isinstance(listener, (str, int, float)) else None


def is_from_client(packet: dict[str, Any]) -> bool:
    """Return whether another client has sent a packet, rather than the server or a plugin (protocol, section 1.2)."""
    return "origin" in packet and packet["cmd"] in _PRIVATE_COMMANDS


def _gmsg(packet: dict[str, Any]) -> Event:
    return events.GlobalMessage(_value(packet), _room(packet), listener_of(packet))


def _gvar(packet: dict[str, Any]) -> Event:
    return events.GlobalVariable(_text(packet, "name"), _value(packet), _room(packet), listener_of(packet))


def _pmsg(packet: dict[str, Any]) -> Event:
    return events.PrivateMessage(_value(packet), _user(packet.get("origin")), _room(packet))


def _pvar(packet: dict[str, Any]) -> Event:
    sender = _user(packet.get("origin"))
    return events.PrivateVariable(_text(packet, "name"), _value(packet), sender, _room(packet))


def _direct(packet: dict[str, Any]) -> Event:
    return events.DirectMessage(_value(packet), _user(packet.get("origin")), listener_of(packet))


def _ulist(packet: dict[str, Any]) -> Event:
    mode, value, room = packet.get("mode"), packet.get("val"), _room(packet)
    if mode == "add":
        return events.UserJoined(_user(value), room)
    if mode == "remove":
        return events.UserLeft(_user(value), room)
    if mode == "set" and isinstance(value, list):
        return events.UserList(tuple(map(_user, value)), room)
    raise _MalformedPacketError


def _statuscode(packet: dict[str, Any]) -> Event:
    number = packet.get("code_id")
    if not isinstance(number, int):
        raise _MalformedPacketError
    return events.StatusCode(
        _text(packet, "code"), number, packet.get("details"), listener_of(packet), packet.get("val")
    )


def _motd(packet: dict[str, Any]) -> Event:
    return events.MessageOfTheDay(str(_value(packet)))


_READERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "gmsg": _gmsg,
    "gvar": _gvar,
    "pmsg": _pmsg,
    "pvar": _pvar,
    "direct": _direct,
    "ulist": _ulist,
    "statuscode": _statuscode,
    "motd": _motd,
}
