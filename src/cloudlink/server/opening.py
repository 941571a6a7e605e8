"""Reads the root keys of a connection's first message, which identify its protocol; the protocol parses the rest."""

from __future__ import annotations

import msgspec

from cloudlink import jsontext

NOT_JSON = object()
"""Stands for the root keys of a message that is not JSON."""


class _Opening(msgspec.Struct, gc=False):
    """The root keys that identify a protocol."""

    cmd: msgspec.Raw = msgspec.Raw()
    method: msgspec.Raw = msgspec.Raw()


_decode_opening = msgspec.json.Decoder(_Opening).decode
_TEXT_START = b'"'


def is_text(data: bytes) -> bool:
    """Return whether a message is valid UTF-8; a binary one need not be."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def root_keys(data: bytes) -> object:
    """Return the root keys of a message that identify its protocol, `NOT_JSON` for other text; see `Engine.identify`."""
    try:
        opening = _decode_opening(data)
        keys = {"cmd": bytes(opening.cmd), "method": bytes(opening.method)}
        return {key: jsontext.loads(raw) for key, raw in keys.items() if raw.startswith(_TEXT_START)}
    except (RecursionError, jsontext.JSONTextError):
        return NOT_JSON
    except msgspec.MsgspecError:  # not an object, a lone surrogate, or not JSON
        return _root_keys_slowly(data)


def _root_keys_slowly(data: bytes) -> object:
    try:
        if jsontext.may_hold_half_pair(data):
            packet = jsontext.loads(data)
            return packet if isinstance(packet, dict) else {}
        jsontext.check(data)
    except jsontext.JSONTextError:
        return NOT_JSON
    return {}  # JSON, but not an object
