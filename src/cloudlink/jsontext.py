"""JSON text as CloudLink handles it: strict syntax, but lenient about size and range.

msgspec does the work. It refuses two kinds of valid JSON that real clients send; the standard library handles
these: half a surrogate pair written as an escape (a Scratch project that splits an emoji letter by
letter), and numbers beyond the range of a double (`1e400`).

This module does not depend on packets or protocols.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

RECURSION_TEXT = "the value is nested too deeply"
"""Reason given for JSON that is nested beyond what the parser follows (1000 levels on Python 3.11, 10,000 on 3.13)."""

_LENIENT_LIMIT = 1 << 16
"""Most bytes of text for the slow path, which must not delay other clients for long."""
_MEMBERS_LIMIT = 1 << 12
"""The same for the slowest path."""
_MOST_FIELDS = 1 << 12
"""Index up to which the rest of a list is skipped; creating a struct with more fields takes long."""

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(rb"\\(?:u([dD])([89a-fA-F])|.)", re.DOTALL)

# Escapes of surrogates are hidden from msgspec as escapes of private characters: in text that has no others,
# each of these represents one surrogate in its original spelling.
_PRIVATE_ESCAPE = re.compile(rb"\\u[eE]")
_HIDDEN_ESCAPE = re.compile(rb"\\(?:u([eE])([0-9a-d])|.)", re.DOTALL)
_SECOND_DIGITS = b"89abcdefABCDEF"
_HIDDEN_DIGITS = b"0123456789abcd"
_HIDE = bytes.maketrans(_SECOND_DIGITS, _HIDDEN_DIGITS)
_SHOW = bytes.maketrans(_HIDDEN_DIGITS, _SECOND_DIGITS)
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_decode = msgspec.json.decode
_decode_untouched = msgspec.json.Decoder(msgspec.Raw).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode


class JSONTextError(ValueError):
    """The text is not JSON; `str(error)` says what is wrong and where."""


def _reject_constant(name: str) -> NoReturn:
    # json.loads accepts NaN and Infinity, which are not JSON (RFC 8259, section 6).
    raise JSONTextError(f"{name} is not JSON")


_lenient = json.JSONDecoder(parse_constant=_reject_constant)


def loads(data: bytes) -> Any:
    """Decode UTF-8 JSON text.

    Args:
        data: The text. Big integers remain integers; a number beyond the range of a double becomes infinite.

    Raises:
        JSONTextError: The text is not JSON.
    """
    try:
        return _decode(data)
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except UnicodeDecodeError as error:
        raise JSONTextError(str(error)) from None
    except msgspec.MsgspecError as error:
        if not _worth_second_look(data, error):
            raise JSONTextError(str(error)) from None
    return _loads_leniently(data)


def _worth_second_look(data: bytes, error: msgspec.MsgspecError) -> bool:
    if len(data) > _LENIENT_LIMIT:
        return False
    # A ValidationError from an untyped decode can only mean a number out of range.
    return isinstance(error, msgspec.ValidationError) or bool(_SURROGATE_ESCAPE.search(data))


def _loads_leniently(data: bytes) -> Any:
    try:
        return _lenient.decode(data.decode())
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except ValueError as error:
        raise JSONTextError(str(error)) from None


def check(data: bytes) -> None:
    """Raise an error unless UTF-8 text is JSON; creating its values would take long if there are many.

    Raises:
        JSONTextError: The text is not JSON.
    """
    try:
        _decode_untouched(data)
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except msgspec.MsgspecError as error:
        if not may_hold_half_pair(data):
            raise JSONTextError(str(error)) from None
        if _PRIVATE_ESCAPE.search(data):
            _loads_leniently(data)
        else:
            _with_pairs_hidden(_decode_untouched, data)


def pick(data: bytes, *keys: str) -> dict[str, bytes] | None:
    """Return the unchanged text of some members of an object; everything else is only checked to be JSON.

    Args:
        data: UTF-8 JSON text.
        keys: The keys of the members; keys that the object lacks are missing from the result.

    Returns:
        The members by key, None if the text is JSON but not an object.

    Raises:
        JSONTextError: The text is not JSON.
    """
    try:
        picked = _picker(keys)(data)
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except msgspec.ValidationError:  # not an object, as its first character shows
        check(data)
        return None
    except msgspec.DecodeError as error:
        if not may_hold_half_pair(data):
            raise JSONTextError(str(error)) from None
        found = _pick_beside_pairs(data, keys)
    else:
        found = {key: bytes(getattr(picked, key)) for key in keys}
    return {key: found[key] for key in keys if found.get(key)}


def _pick_beside_pairs(data: bytes, keys: tuple[str, ...]) -> dict[str, bytes]:
    if not _PRIVATE_ESCAPE.search(data):
        picked = _with_pairs_hidden(_picker(keys), data)
        return {key: _HIDDEN_ESCAPE.sub(_show_pair, bytes(getattr(picked, key))) for key in keys}
    if len(data) > _MEMBERS_LIMIT:
        raise JSONTextError("half a surrogate pair occurs together with escaped private characters")
    return members(data)


def _with_pairs_hidden(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """Decode JSON that has no escapes of private characters, with its surrogates hidden as such escapes."""
    try:
        return decode(_ESCAPE.sub(_hide_pair, data))
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except msgspec.MsgspecError as error:
        raise JSONTextError(str(error)) from None


def _hide_pair(match: re.Match[bytes]) -> bytes:
    first, second = match[1], match[2]
    return match[0] if first is None else b"\\u" + (b"e" if first == b"d" else b"E") + second.translate(_HIDE)


def _show_pair(match: re.Match[bytes]) -> bytes:
    first, second = match[1], match[2]
    return match[0] if first is None else b"\\u" + (b"d" if first == b"e" else b"D") + second.translate(_SHOW)


@lru_cache
def _picker(keys: tuple[str, ...]) -> Callable[[bytes], Any]:
    fields = [(key, msgspec.Raw, msgspec.Raw()) for key in keys]
    return msgspec.json.Decoder(msgspec.defstruct("Picked", fields, gc=False)).decode


def dumps(value: Any) -> bytes:
    """Encode a value as compact UTF-8 JSON text.

    Half a surrogate pair is written as its escape, an infinite number as a number beyond the range of a double.

    Raises:
        TypeError: The value has a part that JSON cannot hold, or is nested too deeply.
    """
    try:
        try:
            encoded = _encode(value)
        except UnicodeEncodeError:  # half a surrogate pair cannot be encoded as UTF-8
            return _encode_slowly(value)
        # msgspec writes null for an infinite number, the result of decoding a number beyond the range of a double.
        return _encode_slowly(value) if b"null" in encoded and _has_infinity(value) else encoded
    except RecursionError:
        raise TypeError(RECURSION_TEXT) from None


def _has_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and math.isinf(value)


def _encode_slowly(value: Any) -> bytes:
    """Encode the values that msgspec cannot encode, and leave all others to it."""
    if isinstance(value, dict):
        return b"{%b}" % b",".join([_key(key) + _encode_slowly(item) for key, item in value.items()])
    if isinstance(value, (list, tuple, set, frozenset)):
        return b"[%b]" % b",".join([_encode_slowly(item) for item in value])
    if isinstance(value, float) and math.isinf(value):
        return b"1e999" if value > 0 else b"-1e999"
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _key(key: Any) -> bytes:
    """Encode the key of an object, with its colon; msgspec decides which types may be keys."""
    try:
        return _encode({key: 0})[1:-2]
    except UnicodeEncodeError:
        return json.dumps(key).encode() + b":"


def text(message: str) -> bytes:
    """Return JSON text as UTF-8; half a surrogate pair, which UTF-8 cannot encode, becomes its JSON escape."""
    return message.encode(errors="backslashreplace")


def members(data: bytes) -> dict[str, bytes]:
    """Split a JSON object into its keys and the unchanged text of their values.

    This is the slow path, for objects that hold half a surrogate pair; typed structs handle the others.

    Raises:
        JSONTextError: The text is not JSON, or not an object.
    """
    try:
        return _members(data.decode())
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except (ValueError, IndexError) as error:
        raise JSONTextError(str(error)) from None


def _members(text: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if not isinstance(_lenient.decode(text), dict):
        raise JSONTextError("the text is not an object")
    # The text is known to be one whole object, so only its structure has to be followed from here.
    position = _skip_space(text, text.index("{") + 1)
    while text[position] != "}":
        key, position = _lenient.raw_decode(text, position)
        start = _skip_space(text, _skip_space(text, position) + 1)
        _, position = _lenient.raw_decode(text, start)
        found[key] = text[start:position].encode()
        position = _skip_space(text, position)
        if text[position] == ",":
            position = _skip_space(text, position + 1)
    return found


def has_more_items(data: bytes, most: float) -> bool:
    """Return whether a JSON list has more than `most` items, without decoding those beyond.

    Args:
        data: The text of a list, known to be JSON.
        most: A number of items.

    Raises:
        JSONTextError: An item is JSON that cannot be decoded.
    """
    if data.count(b",") < most:  # a list has one for each item but the first
        return False
    try:
        if most > _MOST_FIELDS:
            return len(_decode_list(data)) > most
        return bool(_item_at(int(most))(data))
    except RecursionError:
        raise JSONTextError(RECURSION_TEXT) from None
    except msgspec.DecodeError as error:
        if not may_hold_half_pair(data):
            raise JSONTextError(str(error)) from None
        return len(_loads_leniently(data)) > most


@lru_cache(maxsize=8)
def _item_at(index: int) -> Callable[[bytes], msgspec.Raw]:
    """Return a function that finds the unchanged text of one item of a list, empty if the list is shorter."""
    names = [f"item{number}" for number in range(index + 1)]
    # If a list has more items than the struct has fields, msgspec skips the rest.
    items = msgspec.defstruct(
        "Items", [(name, msgspec.Raw, msgspec.Raw()) for name in names], array_like=True, gc=False
    )
    decode = msgspec.json.Decoder(items).decode
    item: Callable[[Any], msgspec.Raw] = attrgetter(names[-1])
    return lambda data: item(decode(data))


def _skip_space(text: str, position: int) -> int:
    match = _WHITESPACE.match(text, position)
    return match.end() if match else position


def may_hold_half_pair(data: bytes) -> bool:
    """Return whether the text has an escape that may be half a surrogate pair, and is short enough to try."""
    return len(data) <= _LENIENT_LIMIT and bool(_SURROGATE_ESCAPE.search(data))
