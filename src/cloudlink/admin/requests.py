"""The frames of the admin socket: requests in, answers and events out, all JSON text.

`params` describes the parameters of a method, and checks them: an error names the key and says what to write instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudlink import jsontext
from cloudlink.admin.actors import AdminError
from cloudlink.text import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Id = int | str

_LONGEST_ID = 64
_LARGEST_NUMBER = 1 << 53
_LONGEST_METHOD = 64


class NotAnObject(Exception):  # noqa: N818  # it closes the socket, and is not an error of a method
    """The message is not a JSON object."""


class BadRequest(Exception):  # noqa: N818  # likewise
    """The message is an object, but not a request. The attribute `id` is its id, None if it has no usable one."""

    def __init__(self, request_id: Id | None, message: str) -> None:
        super().__init__(message)
        self.id = request_id


class Request(NamedTuple):
    """One call of a method."""

    id: Id
    method: str
    params: dict[str, Any]


def parse(data: bytes) -> Request:
    """Parse one message.

    Raises:
        NotAnObject: It is not a JSON object.
        BadRequest: Its `id`, `method` or `params` is missing or of the wrong type.
    """
    try:
        message = jsontext.loads(data)
    except jsontext.JSONTextError:
        raise NotAnObject from None
    if not isinstance(message, dict):
        raise NotAnObject
    number: Any = message.get("id")
    method, params = message.get("method"), message.get("params", {})
    if not _is_id(number):
        raise BadRequest(None, f"`id` must be a whole number, or text of at most {_LONGEST_ID} characters.")
    if not isinstance(method, str) or len(method) > _LONGEST_METHOD:
        raise BadRequest(number, "`method` must be the name of a method, such as clients.list.")
    if not isinstance(params, dict):
        raise BadRequest(number, "`params` must be an object.")
    unknown = next((key for key in message if key not in ("id", "method", "params")), None)
    if unknown is not None:
        raise BadRequest(number, f"A request has no key {quoted(unknown)}, only id, method and params.")
    return Request(number, method, params)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_ID
    return type(value) is int and abs(value) <= _LARGEST_NUMBER


def answer(number: Id, result: dict[str, Any]) -> bytes:
    """Return the text of an answer."""
    return jsontext.dumps({"id": number, "result": result})


def refusal(number: Id | None, error: AdminError) -> bytes:
    """Return the text of an answer that says why a method did nothing."""
    shown = {"code": error.code, "message": error.message, "data": error.data}
    return jsontext.dumps({"id": number, "error": shown})


def event(name: str, data: dict[str, Any]) -> bytes:
    """Return the text of an event."""
    return jsontext.dumps({"event": name, "data": data})


# Parameters.


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a method.

    Attributes:
        wanted: What it must be, to follow "must be".
        check: Returns whether a value is allowed.
        is_required: Whether it must be given.
        accepts_null: Whether null is allowed, and passed on as None.
    """

    wanted: str
    check: Callable[[Any], bool]
    is_required: bool = True
    accepts_null: bool = False


def checked(params: Mapping[str, Any], known: Mapping[str, Param]) -> dict[str, Any]:
    """Return the parameters of a request.

    Raises:
        AdminError: One is unknown, missing or not allowed; the sentence names it.
    """
    for key, value in params.items():
        param = known.get(key)
        if param is None:
            hint = did_you_mean(key, known) or (
                f"; this method takes {', '.join(known)}." if known else "; this method takes none."
            )
            raise _invalid(key, f"There is no parameter {quoted(key)}{hint}")
        if value is None and param.accepts_null:
            continue
        if not param.check(value):
            raise _invalid(key, f"`{key}` must be {param.wanted}.")
    for key, param in known.items():
        if param.is_required and key not in params:
            raise _invalid(key, f"`{key}` is missing: it must be {param.wanted}.")
    return dict(params)


def _invalid(key: str, message: str) -> AdminError:
    return AdminError("invalid", message, {"key": key[:_LONGEST_METHOD]})


def optional(param: Param) -> Param:
    """Return a parameter that may be left out."""
    return Param(param.wanted, param.check, is_required=False, accepts_null=param.accepts_null)


def nullable(param: Param) -> Param:
    """Return a parameter that may be null."""
    return Param(f"{param.wanted}, or null", param.check, param.is_required, accepts_null=True)


def text(longest: int, shortest: int = 0) -> Param:
    """A text of some length, in characters."""
    size = f"at most {longest}" if not shortest else f"{shortest} to {longest}"
    return Param(
        f"text of {size} characters",
        lambda value: isinstance(value, str) and shortest <= len(value) <= longest,
    )


def integer(least: int, most: int = _LARGEST_NUMBER) -> Param:
    """A whole number."""
    bounds = f"from {least} to {most}" if most < _LARGEST_NUMBER else f"of at least {least}"
    return Param(f"a whole number {bounds}", lambda value: type(value) is int and least <= value <= most)


def number(least: float, most: float) -> Param:
    """A number."""
    return Param(
        f"a number from {least:g} to {most:g}",
        lambda value: type(value) in (int, float) and least <= value <= most,
    )


def flag() -> Param:
    """True or false."""
    return Param("true or false", lambda value: isinstance(value, bool))


def choice(*words: str) -> Param:
    """One of several words."""
    return Param(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words)


def texts(most: int, longest: int) -> Param:
    """A list of texts."""
    return Param(
        f"a list of 1 to {most} texts of at most {longest} characters",
        lambda value: (
            isinstance(value, list)
            and 1 <= len(value) <= most
            and all(isinstance(item, str) and len(item) <= longest for item in value)
        ),
    )


def objects(most: int) -> Param:
    """A list of objects."""
    return Param(
        f"a list of at most {most} objects",
        lambda value: (
            isinstance(value, list) and len(value) <= most and all(isinstance(item, dict) for item in value)
        ),
    )


_TARGETS = {"client": 32, "address": 64, "network": 64, "name": 1000}
"""The kinds of targets, and the most characters of each."""


def target() -> Param:
    """The target of a sanction: an object with one key."""
    return Param(
        'an object with one key, such as {"client": ID}, {"address": …}, {"network": …} or {"name": …}',
        _is_target,
    )


def _is_target(value: object) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, what),) = value.items()
    return kind in _TARGETS and isinstance(what, str) and 1 <= len(what) <= _TARGETS[kind]
