"""What a frame may look like for a client of each era (protocol, sections 4.2 to 4.6)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

CL2_EARLY = {"gs", "ps", "ul"}
CL3_015 = {"gmsg", "gvar", "pmsg", "pvar", "ulist", "direct"}
CL4_ONLY = ("code", "code_id", "details", "mode", "rooms", "room", "listener")
EMPTY = b""


def check(era: str, frame: str) -> Any:
    """Assert that a frame is one that a client of an era can read, and return it decoded."""
    packet = strict(frame)
    assert isinstance(packet, dict), frame
    if era.startswith("CL2"):
        _check_cl2(era, packet)
    elif era.startswith("CL3"):
        _check_cl3(era, packet)
    elif era == "CL4 0.1.8":
        _check_018(packet)
    else:
        _check_cl4(era, packet)
    return packet


def strict(frame: str) -> Any:
    """Decode JSON that every client can decode."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(frame, parse_constant=refuse, parse_int=integer)


def integer(digits: str) -> int | Decimal:
    """Decode an integer of any length; Python's `int` takes 4300 digits at most."""
    return int(digits) if len(digits) < 4300 else Decimal(digits)


def _is_flat(value: Any) -> bool:
    return value is not None and not isinstance(value, (list, dict))


def _check_cl2(era: str, packet: dict[str, Any]) -> None:
    assert set(packet) <= {"type", "data", "id"}, packet
    kind, data = packet["type"], packet["data"]
    if era == "CL2 early":
        assert kind in CL2_EARLY, packet
    if kind == "ul":
        assert isinstance(data, str)
        assert data == "" or data.endswith(";"), packet
    elif kind == "sf":
        if data["type"] == "vm":
            assert data["mode"] in "gp"
            assert isinstance(data["var"], str)
            assert ("id" in packet) == (data["mode"] == "p"), packet
        elif data["type"] == "lm":
            assert data["mode"] in "gp"
            assert isinstance(packet["id"], str)
        else:
            assert data["type"] == "gs", packet
        assert _is_flat(data["data"]), packet
    elif kind == "direct":
        assert data == {"type": "vers", "data": "S2.2"}
    else:
        assert kind in ("gs", "ps"), packet
        assert _is_flat(data), packet


def _check_cl3(era: str, packet: dict[str, Any]) -> None:
    assert not {*packet} & {*CL4_ONLY}, packet
    cmd, val = packet["cmd"], packet["val"]
    assert val is not None
    if era == "CL3 0.1.5":
        assert cmd in CL3_015, packet
    if cmd == "ulist":
        assert isinstance(val, str)
        assert val == "" or val.endswith(";"), packet
    elif cmd == "statuscode":
        assert isinstance(val, str), packet
        assert val[0] in "IE", packet
    elif cmd == "direct":
        # An object is the server's own word.
        assert not isinstance(val, dict) or val["cmd"] in ("vers", "motd"), packet
    else:
        assert _is_flat(val), packet
    if cmd in ("gvar", "pvar"):
        assert isinstance(packet["name"], str), packet
    if cmd in ("pmsg", "pvar"):
        assert isinstance(packet["origin"], str), packet


def _check_018(packet: dict[str, Any]) -> None:
    assert not {*packet} & {"code_id", "details", "mode", "rooms"}, packet
    if packet["cmd"] == "ulist":
        assert all({*user} == {"username", "id"} for user in packet["val"]), packet
    elif packet["cmd"] == "statuscode":
        assert isinstance(packet["code"], str), packet
    else:
        assert packet.get("val", "") is not None, packet
    assert isinstance(packet.get("origin", {}), dict), packet


def _check_cl4(era: str, packet: dict[str, Any]) -> None:
    assert isinstance(packet["cmd"], str)
    assert packet.get("val", "") is not None, packet
    if packet["cmd"] == "ulist":
        assert packet["mode"] in ("set", "add", "remove"), packet
        assert era != "CL4 safe mode" or packet["mode"] == "set", packet
    if packet["cmd"] == "statuscode":
        assert packet["code_id"] != 105, packet
        assert packet["code"].split(" | ")[0][2:] == str(packet["code_id"]), packet
