"""Parses one Scratch packet; its methods interpret the fields (protocol, section 3.1)."""

from __future__ import annotations

import msgspec

from cloudlink import jsontext

_NO_PACKET = "a message must be a JSON object with a method"


class Packet(msgspec.Struct, gc=False):
    """A packet: its method, and the unchanged JSON text of the fields that methods use."""

    method: str
    name: msgspec.Raw = msgspec.Raw()
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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if not jsontext.may_hold_half_pair(line):
            raise jsontext.JSONTextError(str(error)) from None
    # A project that splits an emoji sends a lone surrogate, which the fast parser rejects.
    fields = jsontext.pick(line, *Packet.__struct_fields__) or {}
    method = jsontext.loads(fields.pop("method", b"null"))
    if not isinstance(method, str):
        raise jsontext.JSONTextError(_NO_PACKET)
    return Packet(method, **{name: msgspec.Raw(text) for name, text in fields.items()})
