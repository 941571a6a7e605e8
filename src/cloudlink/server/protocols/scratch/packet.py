"""Parses one Scratch packet; its methods interpret the fields (protocol, section 3.1)."""

from __future__ import annotations

import msgspec

from cloudlink import jsontext

_NO_PACKET = "a message must be a JSON object with a method"
_TEXT_START = b'"'


class Packet(msgspec.Struct, gc=False):
    """A packet: its method, the name of its variable, and the unchanged JSON text of the other fields that methods use.

    Attributes:
        method: The method.
        name: The name, None if it is missing or not text.
        value: JSON text of the value. This and the other texts are empty if the field is missing.
        new_name: JSON text of the new name.
        project_id: JSON text of the project id.
        user: JSON text of the username.
    """

    method: str
    name: str | None = None
    value: msgspec.Raw = msgspec.Raw()
    new_name: msgspec.Raw = msgspec.Raw()
    project_id: msgspec.Raw = msgspec.Raw()
    user: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(Packet).decode


def parse(line: bytes) -> Packet:
    """Parse one object.

    Raises:
        JSONTextError: It is not a JSON object with a text `method`.
    """
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parse_slowly(line)


def _parse_slowly(line: bytes) -> Packet:
    """Parse an object whose name is not text, or which holds half a surrogate pair, as of a project that splits an emoji."""
    fields = jsontext.pick(line, *Packet.__struct_fields__) or {}
    method, name = fields.pop("method", b""), fields.pop("name", b"")
    if not method.startswith(_TEXT_START):
        raise jsontext.JSONTextError(_NO_PACKET)
    return Packet(
        jsontext.loads(method),
        jsontext.loads(name) if name.startswith(_TEXT_START) else None,
        **{key: msgspec.Raw(text) for key, text in fields.items()},
    )
