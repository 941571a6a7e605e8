"""The address of a NATS server, as in the setting `cluster`, and what of it may be shown."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

_PORT = 4222
_ENTRY = re.compile(
    r"(?:[^\s/?#@:,]+(?::[^\s/?#@,]*)?@)?(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
_NAME_AND_PASSWORD = re.compile(r"[^\s/@,]+@")
_UP_TO_LAST_AT = re.compile(r"(?<=//).*@|^(?!\w+://).*@", re.DOTALL)


def is_nats_address(text: str) -> bool:
    """Return whether a text is a valid setting `cluster`; an empty one is."""
    return not text or (text.startswith(("nats://", "tls://")) and all(map(_ENTRY.fullmatch, _entries(text))))


def without_password(text: str) -> str:
    """Return an address, which need not be valid, as it may be shown."""
    pattern = _NAME_AND_PASSWORD if is_nats_address(text) else _UP_TO_LAST_AT
    return pattern.sub("(hidden)@", text)


class NatsAddress:
    """The setting `cluster`, taken apart.

    Attributes:
        servers: The URLs of the servers, without names and passwords.
        shown: The same as one text, for messages.
    """

    def __init__(self, text: str) -> None:
        """Args: text: `nats://[user:password@]host[:port][,…]`, or `tls://…`; see `is_nats_address`."""
        scheme = text.partition("://")[0]
        parts = [urlsplit(f"{scheme}://{entry}") for entry in _entries(text)]
        self.servers = [f"{scheme}://{_in_url(part.hostname or '')}:{part.port or _PORT}" for part in parts]
        self.shown = ", ".join(self.servers)
        self._is_tls = scheme == "tls"
        self._names = [
            (unquote(part.username), unquote(part.password or "")) for part in parts if part.username
        ]

    def options(self) -> dict[str, Any]:
        """Return the arguments of `nats.connect`."""
        options: dict[str, Any] = {"servers": self.servers}
        if self._names:
            options["user"], options["password"] = self._names[0]
        if self._is_tls:
            import ssl  # noqa: PLC0415  # slow to import, and settings import this module

            options["tls"] = ssl.create_default_context()
        return options


def _entries(text: str) -> list[str]:
    scheme, _, rest = text.partition("://")
    return [entry.strip().removeprefix(f"{scheme}://") for entry in rest.split(",")]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
