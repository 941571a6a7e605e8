"""The rules for project ids and usernames, and the exceptions for broken rules (protocol, section 3.1).

These are the rules of TurboWarp's cloud server, for which the clients were written. The rules for values are
in `cloudlink.cloudvalues`, which the client also uses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeGuard

from cloudlink import jsontext
from cloudlink.cloudvalues import PREFIXES
from cloudlink.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PROJECT_LENGTH = range(1, 1000)
_USER = re.compile(r"[A-Za-z0-9_-]{1,20}")
_GUEST = re.compile(r"player[0-9]{2,9}")
_NESTED_STARTS = b"{["

# Names that could be mistaken for Scratch itself. The operator can add a list of further names.
_RESERVED = (
    r"scratch",
    r"scratch(cat|team|staff|support|foundation|official|moderators?|admins?)",
    r"(the)?scratch(team|cat)",
)


class Violation(Exception):  # noqa: N818  # it closes a connection and is not a programming error
    """The client broke a rule; its connection is closed with a code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Ignored(Exception):  # noqa: N818  # the packet is ignored silently
    """The packet is ignored silently and is not passed to plugins.

    Args: A log text about the limit that forbids the packet; no argument if none does.
    """


def project_id(raw: bytes) -> str | None:
    """Return a project id as text, None if it is invalid.

    A number means the same project as its text. As in the reference server, a missing id means the
    project `undefined`, and null the project `null`.
    """
    if raw and raw[0] in _NESTED_STARTS:
        return None
    value = jsontext.loads(raw) if raw else "undefined"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as JavaScript spells 1.0
    text = value if isinstance(value, str) else jsontext.dumps(value).decode()
    return text if len(text) in _PROJECT_LENGTH else None


class UserRules:
    """The rules for usernames."""

    def __init__(self, patterns: Iterable[re.Pattern[str]] = ()) -> None:
        """Args: patterns: Names to refuse, in addition to those reserved for Scratch itself."""
        self._blocked = [*(re.compile(pattern) for pattern in _RESERVED), *patterns]

    @classmethod
    def from_file(cls, path: Path | None) -> UserRules:
        """Read a list with one regular expression per line; ignore empty lines and comments that begin with `#`.

        Raises:
            StartError: The file cannot be read, or a line is not a regular expression.
        """
        if path is None:
            return cls()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise StartError(
                f"Cannot read the list of blocked usernames {path}: {error.strerror}; "
                "create that file, or change the setting cloud_blocklist."
            ) from None
        except UnicodeDecodeError:
            raise StartError(
                f"Cannot read the list of blocked usernames {path}, which the setting cloud_blocklist names: "
                "it is not UTF-8 text, save it again as UTF-8."
            ) from None
        patterns = []
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                try:
                    patterns.append(re.compile(line.strip(), re.IGNORECASE))
                except re.error as error:
                    raise StartError(
                        f"Line {number} of {path} is not a regular expression: {error}."
                    ) from None
        return cls(patterns)

    def allow(self, user: Any, longest: int | None = None) -> TypeGuard[str]:
        """Return whether a username may be used. The check against blocked names ignores `_`, `-` and case.

        Args:
            user: The name, a value of any type.
            longest: Maximum characters of a name if any text is allowed, None if Scratch's rules apply.
        """
        if not isinstance(user, str):
            return False
        if not (
            _USER.fullmatch(user) if longest is None else 0 < len(user) <= longest and user.isprintable()
        ):
            return False
        plain = user.replace("_", "").replace("-", "").lower()
        return not any(pattern.fullmatch(plain) or pattern.fullmatch(user) for pattern in self._blocked)


def is_new_name(name: str, longest: float) -> bool:
    """Return whether a variable may be renamed to this name."""
    return len(name) <= longest and any(
        name.startswith(prefix) and len(name) > len(prefix) for prefix in PREFIXES
    )


def name_for_log(user: str, *, anonymous_guests: bool) -> str:
    """Return a username in the form that may be logged: TurboWarp's guests without their number."""
    return "player" if anonymous_guests and _GUEST.fullmatch(user) else user
