"""What plugins of CloudLink 0.2.0 reach through the server and find nowhere else now.

That server handed its own libraries to plugins: `server.ujson`, `server.validator`, `server.ws`,
`server.async_iterable`. Here they are, without those libraries being dependencies.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from cloudlink import jsontext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class UJSON:
    """The functions of the ujson module that plugins call; formatting options are ignored."""

    JSONDecodeError = ValueError

    @staticmethod
    def dumps(obj: Any, **_options: Any) -> str:
        """Encode a value as compact JSON text."""
        return jsontext.dumps(obj).decode()

    @staticmethod
    def loads(text: str | bytes, **_options: Any) -> Any:
        """Decode JSON text. Raises `ValueError`."""
        return jsontext.loads(text.encode() if isinstance(text, str) else text)

    @classmethod
    def dump(cls, obj: Any, file: IO[str], **_options: Any) -> None:
        """Encode a value into a text file."""
        file.write(cls.dumps(obj))

    @classmethod
    def load(cls, file: IO[str], **_options: Any) -> Any:
        """Decode a text file."""
        return cls.loads(file.read())

    encode = dumps
    decode = loads


class async_iterable:  # noqa: N801  # CloudLink 0.2.0's name
    """Makes any iterable usable in `async for`."""

    def __init__(self, iterables: Iterable[Any]) -> None:
        self._iterator = iter(iterables)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None
