"""What the sanctions need of the server that they act on; `cloudlink.server.administration` implements it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.addresses import UNIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from cloudlink.admin.modes import Mode
    from cloudlink.settings import Settings
    from cloudlink.slices import Slices


class Player(Protocol):
    """A connected client; the attributes are those of `cloudlink.server.client.Client`."""

    @property
    def snowflake(self) -> str:
        """Its id."""
        ...

    @property
    def username(self) -> str:
        """Its name, empty while it has none."""
        ...

    @property
    def address(self) -> str:
        """Its address, after trusted proxies."""
        ...

    @property
    def birth_time(self) -> float:
        """When it connected, in seconds of `time.monotonic()`."""
        ...

    @property
    def request_headers(self) -> Mapping[str, str]:
        """The headers of its request."""
        ...

    @property
    def joined(self) -> Mapping[str, object]:
        """The rooms that it is in."""
        ...


@dataclass(frozen=True, slots=True)
class Away:
    """A client of another process of the server, as far as it is known here; the attributes are those of `Player`."""

    snowflake: str
    username: str
    address: str = ""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    joined: Mapping[str, object] = field(default_factory=dict)
    birth_time: float = 0.0

    @classmethod
    def of(cls, found: dict[str, Any]) -> Away:
        """Return the client that another process has described; see `cloudlink.admin.questions.find_clients`."""
        headers = {} if found["header"] is None else {found["header"]: ""}
        return cls(found["id"], found["name"], found["address"], headers)


class Host(Protocol):
    """A running server, or one process of it."""

    @property
    def siblings(self) -> str:
        """The name of the group of processes that serve together and share the file, empty for a lone process."""
        ...

    def players(self) -> Iterator[Player]:
        """Yield the connected clients, the earliest first; they may come and go meanwhile."""
        ...

    def named(self, name: str) -> Sequence[Player]:
        """Return the connected clients with exactly this name, the earliest first."""
        ...

    def alike(self, name: str) -> Sequence[Player]:
        """Return the connected clients whose name is the same as this one once both are folded, the earliest first."""
        ...

    def player(self, snowflake: str) -> Player | None:
        """Return the client of an id, None if it is not connected."""
        ...

    def disconnect(self, player: Player, code: int, reason: str, cause: str) -> None:
        """Disconnect a client; `cause` is the one to count, see `cloudlink.counters.Counters.disconnected`."""
        ...

    def protected_networks(self) -> Iterable[IPv4Network | IPv6Network]:
        """Return the networks that no ban may hit: this machine, its own addresses, and trusted proxies."""
        ...

    def trusts_proxies(self) -> bool:
        """Return whether there are trusted proxies, so that clients have addresses of their own behind them."""
        ...

    def announcing(self, text: str, rooms: list[str] | None, kind: str) -> Slices[int]:
        """Show a text to the clients in rooms, None for everybody, as `motd` or `gmsg`; return how many clients got it."""
        ...

    def mode_changed(self, mode: Mode) -> None:
        """Apply the rest of a mode: limit packets while it is guarded, and report whether newcomers are welcome."""
        ...

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds."""
        ...

    def stop(self) -> None:
        """Stop the server, as SIGTERM does."""
        ...


class NoHost:
    """Replaces the server in a program that changes the file without one."""

    siblings = ""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def players(self) -> Iterator[Player]:
        """Return nobody."""
        return iter(())

    def named(self, name: str) -> Sequence[Player]:  # noqa: ARG002  # as in `Host`
        """Return nobody."""
        return ()

    def alike(self, name: str) -> Sequence[Player]:  # noqa: ARG002  # as in `Host`
        """Return nobody."""
        return ()

    def player(self, snowflake: str) -> None:
        """Return None."""

    def disconnect(self, player: Player, code: int, reason: str, cause: str) -> None:
        """Do nothing."""

    def protected_networks(self) -> Iterable[IPv4Network | IPv6Network]:
        """Return this machine and the trusted proxies."""
        return protected_by(self._settings)

    def trusts_proxies(self) -> bool:
        """Return whether there are trusted proxies."""
        return bool(self._settings.trusted_proxies)

    def announcing(self, text: str, rooms: list[str] | None, kind: str) -> Slices[int]:  # noqa: ARG002  # as in `Host`
        """Return 0."""
        yield from ()
        return 0

    def mode_changed(self, mode: Mode) -> None:
        """Do nothing."""

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function if it is due at once; the program ends before any other one is due."""
        if not delay:
            callback()

    def stop(self) -> None:
        """Do nothing."""


def protected_by(settings: Settings) -> list[IPv4Network | IPv6Network]:
    """Return the networks that no ban may hit, whatever the machine's addresses are."""
    proxies = [ip_network(proxy, strict=False) for proxy in settings.trusted_proxies if proxy != UNIX]
    return [ip_network("127.0.0.0/8"), ip_network("::1/128"), *proxies]
