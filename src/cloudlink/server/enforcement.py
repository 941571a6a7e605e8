"""Connects the sanctions with a server: opens their file, lets them act on clients, and tells protocols when to ask.

It implements `cloudlink.admin.host.Host`. What is allowed is decided in `cloudlink.admin`, and asked by the protocols
and the transport through `Hooks.policy`.
"""

from __future__ import annotations

import hmac
import logging
import math
import os
import secrets
import time
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink import jsontext
from cloudlink.admin.host import protected_by
from cloudlink.admin.modes import GUARDED_PACKET_RATE
from cloudlink.admin.sanctions import Sanctions
from cloudlink.admin.store import AdminStore
from cloudlink.closecodes import CloseCode
from cloudlink.counters import StoreCondition
from cloudlink.slices import sliced
from cloudlink.transport.sockets import own_addresses

from .arrivals import number_of
from .events import Announcement, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Network, IPv6Network

    from cloudlink.admin.host import Player
    from cloudlink.admin.modes import Mode
    from cloudlink.admin.store import Change
    from cloudlink.counters import Counters
    from cloudlink.settings import Settings
    from cloudlink.slices import Slices

    from .background import Background
    from .client import Client
    from .clients import ClientsManager
    from .cluster import Cluster
    from .events import Event, User
    from .hooks import Hooks
    from .hub import Hub
    from .limits import Limits
    from .part import Part
    from .rooms import RoomsManager

logger = logging.getLogger("cloudlink.admin")

_CLIENTS_AT_ONCE = 20
"""Clients that are sent an announcement, or are given other limits, in one slice."""


class SanctionedServer(Protocol):
    """The parts of a server that sanctions act on."""

    settings: Settings
    background: Background
    counters: Counters
    hooks: Hooks
    limits: Limits
    clients_manager: ClientsManager
    rooms_manager: RoomsManager
    hub: Hub
    not_ready: str
    cluster: Cluster
    part: Part | None

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds."""
        ...

    def request_stop(self) -> None:
        """Stop the server, as SIGTERM does."""
        ...


class Enforcement:
    """The sanctions of one server, and the server as they see it.

    Attributes:
        store: The file `admin_storage`.
        sanctions: The sanctions.
        changed_offline: What another program has changed in the file of a node while it did not run.
    """

    def __init__(self, server: SanctionedServer) -> None:
        """Set up the sanctions without any rule; nothing is read before `open`."""
        self.changed_offline: list[Change] = []
        self._server = server
        self._clients = server.clients_manager
        settings, hooks = server.settings, server.hooks
        self.store = AdminStore(None, audit_days=lambda: settings.admin_audit_days)
        self.sanctions = Sanctions(settings, self.store, self, hooks.policy)
        self.sanctions.on_activity = self._choose_policy
        self.sanctions.audit.watch(self._tell_plugins)
        if server.part is not None:
            counts = server.part.counts
            hooks.policy.modes.count_newcomer = counts.count_newcomer
            hooks.policy.take_knock = lambda key, rate, burst: counts.take(f"banned {key}", rate, burst)
        server.counters.bans = hooks.policy.bans.counts
        server.counters.mutes = hooks.policy.mutes.__len__
        server.counters.stores["admin"] = lambda: StoreCondition(not self.store.trouble, self.store.waiting)

    def open(self) -> None:
        """Open the file and read it; called before clients are accepted.

        Raises:
            StartError: The file cannot be used; the sentence says why.
        """
        settings, part = self._server.settings, self._server.part
        if settings.cluster:  # all nodes show the same tag for an address
            self.sanctions.tag_key = hmac.digest(settings.cluster_secret.encode(), b"tags", "sha256")
        elif part is not None:
            self.sanctions.tag_key = part.counts.key
        self.store.open(settings.admin_storage)
        if self._server.cluster.records is not None:
            self._share_records()
        self.sanctions.load()

    def _share_records(self) -> None:
        """Have all nodes of the cluster keep the same records."""
        from cloudlink.admin.replica import Replica  # noqa: PLC0415  # a lone server does not load them
        from cloudlink.cluster.clock import HybridClock  # noqa: PLC0415

        server = self._server
        clock = HybridClock(secrets.token_hex(8), time.time)
        self.changed_offline = self.store.share(Replica(clock))
        self.store.stamps_foreign = server.part is None or server.part.number == 0
        server.hooks.policy.filters.is_shared = True

    def start(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """Begin to save, and to follow what other programs change in the file; others have read it before.

        Args:
            call_soon: Calls a function in the server's thread, from any thread.
        """
        self.store.start(call_soon, self._notify_of_trouble)

    def tick(self) -> None:
        """Drop what has ended; called at least once a second."""
        self.store.tick()
        self.sanctions.tick()
        self._server.counters.auto_bans = self.sanctions.auto_bans

    def close(self) -> None:
        """Save what waits and close the file, at the very end."""
        self.sanctions.finish()
        self.store.close()

    def ask_plugins(self) -> None:
        """Have the filters of plugins asked from now on."""
        policy = self._server.hooks.policy
        policy.plugins = self._server.hooks.ask_filters  # type: ignore[assignment]  # its players are clients
        self._choose_policy()

    def _choose_policy(self) -> None:
        hooks = self._server.hooks
        hooks.packet_policy = hooks.policy if hooks.policy.judges_packets else None

    def _notify_of_trouble(self, why: str) -> None:
        if why:
            self.sanctions.notify(f"Changes are kept in memory only. {why}")
        else:
            self.sanctions.notify("Changes are saved again.")

    def _tell_plugins(self, row: dict[str, Any]) -> None:
        background = self._server.background
        if background.on_admin_action:
            # Later, because a handler may itself act, which adds another line.
            self._server.later(0, lambda: background.call_admin_action(row))

    # The interface `Host`.

    @property
    def siblings(self) -> str:
        """The name of the processes of this server, which have the same parent; empty for a lone process."""
        part = self._server.part
        return "" if part is None or part.count == 1 else f"process {os.getppid()}"

    def players(self) -> Iterator[Client]:
        """Yield the connected clients, the earliest first; they may come and go meanwhile."""
        return self._clients.by_arrival.walk()

    def named(self, name: str) -> list[Client]:
        """Return the connected clients with exactly this name, the earliest first."""
        return sorted(self._clients.usernames.of(name), key=number_of)

    def alike(self, name: str) -> list[Client]:
        """Return the connected clients whose name reads the same, the earliest first."""
        return sorted(self._clients.alike(name), key=number_of)

    def player(self, snowflake: str) -> Client | None:
        """Return the client of an id, None if it is not connected."""
        return self._clients.snowflakes.get(snowflake)

    def disconnect(self, player: Player, code: int, reason: str, cause: str) -> None:
        """Disconnect a client, and log why."""
        client = self._clients.snowflakes.get(player.snowflake)
        if client is None:
            return
        if code == CloseCode.BANNED:
            logger.info("%s is disconnected: %s.", client, reason, extra={"event": cause, "about": client})
        client.session.close(code, reason, cause)

    def protected_networks(self) -> Iterable[IPv4Network | IPv6Network]:
        """Return this machine, its own addresses, and the trusted proxies."""
        own = [ip_network(ip_address(address)) for address in self._own_addresses]
        return [*protected_by(self._server.settings), *own]

    def trusts_proxies(self) -> bool:
        """Return whether there are trusted proxies."""
        return bool(self._server.settings.trusted_proxies)

    def announcing(self, text: str, rooms: list[str] | None, kind: str) -> Slices[int]:
        """Show a text to clients; return how many got it."""
        if kind == "gmsg":
            return (yield from self._saying(text, rooms))
        sent = 0
        for part in sliced(self.players() if rooms is None else self._clients_in(rooms), _CLIENTS_AT_ONCE):
            copies: list[tuple[str, User]] = [
                ("", client.user) for client in part if client.dialect is not None
            ]
            sent += self._server.hub.send(copies, Announcement(text))
            yield
        return sent

    def mode_changed(self, mode: Mode) -> None:
        """Limit packets while the server is guarded, and have `/ready` say whether newcomers are welcome."""
        server = self._server
        server.not_ready = mode if mode in ("closed", "draining") else ""
        most = GUARDED_PACKET_RATE if mode == "guarded" else math.inf
        if most != server.limits.most_packets:
            server.limits.most_packets = most
            server.limits.update(server.settings)
            self.sanctions.slices.start(self._applying_limits())

    def _applying_limits(self) -> Slices[None]:
        """Apply the limits to those who are connected; newcomers have them from the beginning."""
        for part in sliced(self.players(), _CLIENTS_AT_ONCE):
            for client in part:
                client.session.apply_limits()
            yield

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds."""
        self._server.later(delay, callback)

    def stop(self) -> None:
        """Stop the server."""
        self._server.request_stop()

    # Parts.

    @cached_property
    def _own_addresses(self) -> list[str]:
        return own_addresses()

    def _saying(self, text: str, rooms: list[str] | None) -> Slices[int]:
        """Send a gmsg to rooms, None for all of them, in this and other processes."""
        event: Event = Message(jsontext.dumps(text))
        known = self._server.rooms_manager.rooms
        heard: set[Client] = set()
        for name in list(known) if rooms is None else dict.fromkeys(rooms):
            for members in list(known[name].members.values()) if name in known else ():
                if members.protocol is not None:
                    self._server.hub.emit(members, event)
                    heard.update(client for client in members.clients if _hears(client, event))
            yield
        return len(heard)

    def _clients_in(self, rooms: list[str]) -> list[Client]:
        known = self._server.rooms_manager.rooms
        parts = [part for name in rooms if name in known for part in known[name].members.values()]
        return list(dict.fromkeys(client for part in parts for client in part.clients))


def _hears(client: Client, event: Event) -> bool:
    return bool(client.dialect is not None and client.dialect.write(event, ""))
