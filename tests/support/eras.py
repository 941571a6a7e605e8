"""How a client of each era opens its conversation, up to its name; as its own client programs did."""

from __future__ import annotations

import json

TURBOWARP = {"language": "Scratch", "version": {"editorType": "TurboWarp", "versionNumber": 2}}
PYTHON = {"language": "Python", "version": "0.2.0"}


def _packet(cmd: str, **keys: object) -> str:
    return json.dumps({"cmd": cmd, **keys})


_SHOWN_BY: dict[str, list[str]] = {
    "CL2 late": ["<%sh>\n"],
    # Its `setid` could be anybody's; only a private packet shows it.
    "CL3 0.1.5": [_packet("pmsg", id="", val="", origin="")],
    "CL3 0.1.7": [_packet("direct", val={"cmd": "type", "val": "scratch"})],
    "CL3 0.1.7 in Python": [_packet("direct", val={"cmd": "type", "val": "py"})],
    "CL4 0.1.9": [_packet("handshake", listener="setprotocol")],
    "CL4 0.2.0": [_packet("handshake", val=PYTHON, listener="given")],
    "Scratch": [_packet("handshake", val=TURBOWARP, listener="given")],
}
_LISTENERS = {
    "CL4 safe mode": "setusername",
    "CL4 0.1.8": "setusername",
    "CL4 0.1.9": "setusername",
    "CL4 0.2.0": "given",
    "Scratch": "given",
}


def opening(era: str, name: str = "") -> list[str]:
    """Return the messages by which a client shows its era and, if it has one, sets its name."""
    messages = list(_SHOWN_BY.get(era, []))
    if name and era.startswith("CL2"):
        messages.append(f"<%sn>\n{name}")
    elif name:
        tag = {"listener": _LISTENERS[era]} if era in _LISTENERS else {}
        messages.append(_packet("setid", val=name, **tag))
    elif era == "CL2 early":
        messages.append("<%rf>\n")
    if era == "CL4 0.1.8":
        messages.append(_packet("link", val='["default"]', listener="roomLink"))
    return messages


ERAS = (
    "CL2 early",
    "CL2 late",
    "CL3 0.1.5",
    "CL3 0.1.7",
    "CL4 0.1.8",
    "CL4 safe mode",
    "CL4 0.1.9",
    "CL4 0.2.0",
)
