"""The sections `[bridges.NAME]` of the settings file: their keys, and the checks across keys and sections.

`cloudlink.settings` declares the table; `cloudlink.bridge` acts on it.
"""

# ruff: noqa: RUF009  # `option` returns a fresh dataclass field at each call

from __future__ import annotations

import dataclasses
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from cloudlink.errors import StartError
from cloudlink.options import PREFIX, option
from cloudlink.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET_MIN_LENGTH = 16
"""Fewest characters of a bridge's secret."""

DEFAULT_USERNAME = "cloudlink-bridge"
"""The name of this server at others, unless its host chooses one."""

_NAME = re.compile(r"[a-z0-9-]{1,20}")
_CLOUD_USERNAME = re.compile(r"[A-Za-z0-9_-]{1,20}")
_PATH_WANTED = 'a name, or two with "=" between them: "lobby=hall" is the room lobby here and hall there'


def split_pair(entry: str) -> tuple[str, str | None]:
    """Return the local name of an entry such as `lobby=hall`, and the remote one, None if it names none."""
    local, separator, remote = entry.partition("=")
    return local, remote if separator else None


def _is_pair(entry: str) -> bool:
    local, remote = split_pair(entry)
    return bool(local) and remote != ""


@dataclasses.dataclass(slots=True)
class BridgeSection:
    """The settings of one bridge."""

    kind: Literal["cloudlink", "upstream", "cloud"] = option(
        "cloudlink",
        "What is at the other side: this server (`cloudlink`), CloudLink 0.2.0 (`upstream`), or a server of Scratch cloud variables (`cloud`).",
    )
    url: str = option(
        "", "The address of the other server; empty for a `cloudlink` bridge that waits to be called."
    )
    secret: str = option(
        "",
        "The secret of a `cloudlink` bridge, the same on both sides, at least 16 characters; rather set it with the environment variable `CLOUDLINK_BRIDGE_NAME_SECRET`.",
        secret=True,
    )
    rooms: list[str] = option(
        [],
        "The rooms to share, each `room` or `local=remote`.",
        check=_is_pair,
        wanted=_PATH_WANTED,
    )
    projects: list[str] = option(
        [],
        "The Scratch projects whose cloud variables are shared, each `id` or `local=remote`; not for `upstream`.",
        check=_is_pair,
        wanted=_PATH_WANTED.replace("room", "project"),
    )
    username: str = option(
        "",
        "The username of this server at the other one, for `upstream` and `cloud`; empty for `cloudlink-bridge`.",
    )
    contact: str = option(
        "", "How the host of the `cloud` server can reach you, sent in the User-Agent; mandatory there."
    )
    rate: float = option(
        100.0,
        "How many packets may cross in the long run, in each direction.",
        unit="packets per second",
        above=0,
    )
    byte_rate: float = option(
        65_536.0, "How much may cross in the long run, in each direction.", unit="bytes per second", above=0
    )


def secret_variable(name: str) -> str:
    """Return the environment variable that holds the secret of a bridge."""
    return f"{PREFIX}BRIDGE_{name.upper().replace('-', '_')}_SECRET"


def check_bridges(bridges: Mapping[str, BridgeSection], *, cloud: bool = True) -> None:
    """Check the sections together.

    Args:
        bridges: The sections by name.
        cloud: Whether the server has cloud variables.

    Raises:
        StartError: A section lacks a key, has one that it cannot use, or contradicts another section.
    """
    for name, bridge in bridges.items():
        shown = one_line(name)
        if not _NAME.fullmatch(name):
            raise StartError(
                f"The bridge {shown} needs another name: 1 to 20 small letters, digits and -, "
                "because its users are shown with the name in front."
            )
        if bridge.kind == "cloudlink":
            _check_cloudlink(name, bridge)
        else:
            _check_other(name, bridge)
        if bridge.projects and not cloud:
            raise StartError(
                f"The bridge {name} shares projects, but this server has no cloud variables; "
                "set cloud = true, or remove projects."
            )
        for key in ("rooms", "projects"):
            _check_pairs(name, key, getattr(bridge, key))
    _check_secrets(bridges)


def _check_cloudlink(name: str, bridge: BridgeSection) -> None:
    if len(bridge.secret) < SECRET_MIN_LENGTH:
        raise StartError(
            f"The bridge {name} needs a secret of at least {SECRET_MIN_LENGTH} characters, the same on both servers; "
            f"set it with {secret_variable(name)}, or as secret in [bridges.{name}]."
        )
    if not (bridge.rooms or bridge.projects):
        raise StartError(f'The bridge {name} shares nothing; name what it shares, such as rooms = ["lobby"].')
    if bridge.url:
        _check_url(name, bridge.url)
        if is_certainly_public(bridge.url):
            raise StartError(
                f"The bridge {name} would send what it shares readably through the internet; "
                "write wss:// instead of ws:// (ws:// is for private networks)."
            )
    _refuse(name, bridge, "contact", "username")


def _check_other(name: str, bridge: BridgeSection) -> None:
    if bridge.kind == "cloud" and not bridge.contact.strip():
        raise StartError(
            f"The bridge {name} needs contact; write how the other server's host can reach you, "
            'such as contact = "me@example.org".'
        )
    if not bridge.url:
        raise StartError(
            f"The bridge {name} needs url; only servers of the kind cloudlink can call this one."
        )
    _check_url(name, bridge.url)
    if bridge.kind == "upstream":
        if not bridge.rooms:
            raise StartError(f'The bridge {name} shares nothing; write rooms = ["lobby"], for example.')
        _refuse(name, bridge, "contact", "projects", "secret")
        return
    if not bridge.projects:
        raise StartError(f'The bridge {name} shares nothing; write projects = ["1234"], for example.')
    if bridge.username and not _CLOUD_USERNAME.fullmatch(bridge.username):
        raise StartError(
            f"The bridge {name} has a username that cloud servers refuse; "
            "write 1 to 20 letters, digits, _ and -."
        )
    if not bridge.contact.isprintable():
        raise StartError(f"The bridge {name} has a contact with control characters; write it on one line.")
    _refuse(name, bridge, "rooms", "secret")


def _refuse(name: str, bridge: BridgeSection, *keys: str) -> None:
    for key in keys:
        if getattr(bridge, key):
            raise StartError(
                f"The bridge {name} has {key}, which a bridge of the kind {bridge.kind} cannot use; remove it."
            )


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise StartError(
            f"The bridge {name} has the url {one_line(url)}, which is not an address; "
            "write one such as wss://b.example/."
        )


def _check_pairs(name: str, key: str, entries: list[str]) -> None:
    pairs = [split_pair(entry) for entry in entries]
    locals_ = [local for local, _ in pairs]
    remotes = [local if remote is None else remote for local, remote in pairs]
    for names in (locals_, remotes):
        twice = next((each for each in names if names.count(each) > 1), None)
        if twice is not None:
            raise StartError(f"The bridge {name} has {one_line(twice)} twice in {key}; name it once.")


def _check_secrets(bridges: Mapping[str, BridgeSection]) -> None:
    waiting: dict[str, str] = {}
    for name, bridge in bridges.items():
        if bridge.kind == "cloudlink" and not bridge.url:
            other = waiting.setdefault(bridge.secret, name)
            if other != name:
                raise StartError(
                    f"The bridges {other} and {name} wait to be called with the same secret; "
                    "give each a secret of its own."
                )


def is_certainly_public(url: str) -> bool:
    """Return whether an address is `ws://` and names a public IP address."""
    parts = urlsplit(url)
    try:
        return parts.scheme == "ws" and not is_private(parts.hostname or "")
    except ValueError:
        return False  # a name: judged when it is connected to


def is_private(address: str) -> bool:
    """Return whether an IP address is of this computer or of a private network. Raises `ValueError` for other texts."""
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_private
