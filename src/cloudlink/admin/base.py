"""The base of all sanctions: the rules, the file, the audit, the server, and what an actor may see of addresses."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import secrets
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, TypeVar

from cloudlink.addresses import UNKNOWN, bits_of, for_log, subscriber
from cloudlink.admin.actors import Actor, AdminError
from cloudlink.admin.audit import Audit
from cloudlink.admin.merging import counts
from cloudlink.admin.names import fold
from cloudlink.admin.peers import NoPeers, Replies
from cloudlink.admin.policy import Policy
from cloudlink.admin.targets import KINDS, Target, invalid, of_address
from cloudlink.admin.targets import parse as parse_target
from cloudlink.slices import SliceQueue, sliced
from cloudlink.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cloudlink.admin.host import Host, Player
    from cloudlink.admin.peers import Peers
    from cloudlink.admin.store import AdminStore, Change
    from cloudlink.settings import Settings
    from cloudlink.slices import Slices

logger = logging.getLogger("cloudlink.admin")

T = TypeVar("T")

_LONGEST_REASON = 200
_CLOSED_WITHIN = 0.7
"""Seconds within which clients are disconnected, however many there are."""
_CLOSED_AT_ONCE = 5
"""Fewest clients that are disconnected in one turn of the event loop."""
_CLOSE_PAUSE = 0.005
"""Seconds between two such turns."""
_ANONYMOUS_PREFIX = {4: 24, 6: 48}
_TAG_LENGTH = 6
_KEPT_TAGS = 10_000
_KEPT_NOTICES = 100


def add_up(result: dict[str, Any], replies: Replies) -> dict[str, Any]:
    """Add what other processes have counted to a result, and name those that have not answered."""
    total = {**result, **counts([*_counted(result, replies), *replies.results.values()])}
    return {**total, "missing": replies.missing} if replies.missing else total


def _counted(result: dict[str, Any], replies: Replies) -> list[dict[str, int]]:
    keys = {key for reply in replies.results.values() for key in reply}
    return [{key: result[key] for key in keys if key in result}]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a change.

    Attributes:
        result: The result of the method, as the admin socket answers it, but for `saved`. What it counts is counted in
            this process alone.
        saving: Whether the change is on the disk; it has its result within 2 seconds.
        replies: What other processes did, None if none was asked.
        whole: Returns the result for all processes, given that of this one and the replies. Raises `AdminError`.
    """

    result: dict[str, Any]
    saving: Future[bool]
    replies: Future[Replies] | None = None
    whole: Callable[[dict[str, Any], Replies], dict[str, Any]] = add_up


class Base:
    """The state that the parts of `Sanctions` share.

    Attributes:
        policy: The rules in force.
        audit: Who did what.
        peers: The other processes of the server.
        tag_key: Makes the tags that stand for addresses; 16 to 64 bytes, the same in all processes.
        owner_addresses: Returns the addresses of the owners who are logged in, which no ban may hit.
        on_activity: Called when `policy.judges_packets` may have changed.
        slices: Runs work on very many clients, rooms or bans.
    """

    def __init__(
        self,
        settings: Settings,
        store: AdminStore,
        host: Host,
        policy: Policy | None = None,
    ) -> None:
        """Set up without any rule.

        Args:
            settings: The settings of the server.
            store: The file.
            host: The server to act on, a `NoHost` for a program without one.
            policy: The policy that the server asks, None for a new one; its clocks are used.
        """
        self.policy = Policy() if policy is None else policy
        self.audit = Audit(
            store, self.policy.wall_clock, lambda address: for_log(address, settings.admin_addresses)
        )
        self.owner_addresses: Callable[[], Iterable[str]] = lambda: ()
        self.on_activity: Callable[[], None] = lambda: None
        self.peers: Peers = NoPeers()
        self.slices = SliceQueue(lambda callback: host.later(0.0, callback))
        self._is_taking_over = False
        self._away: dict[str, Player] = {}  # clients of other processes that are acted on just now
        self._settings = settings
        self._store = store
        self._host = host
        self._wall_clock = self.policy.wall_clock
        self._clock = self.policy.clock
        self.tag_key = secrets.token_bytes(16)
        self._tags: dict[str, str] = {}
        self._notices: deque[dict[str, Any]] = deque(maxlen=_KEPT_NOTICES)
        self._on_notice: list[Callable[[dict[str, Any]], None]] = []

    # Notices.

    def watch_notices(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Call `callback({"at", "text"})` for each notice to the hosts."""
        self._on_notice.append(callback)

    @property
    def notices(self) -> list[dict[str, Any]]:
        """The last notices, the oldest first."""
        return list(self._notices)

    def notify(self, text: str) -> None:
        """Tell the hosts what they should know; it is in the log too."""
        notice = {"at": int(self._wall_clock()), "text": text}
        logger.warning("%s", text, extra={"event": "notice"})
        self.take_notice(notice)
        self.peers.tell("notice", notice)

    def take_notice(self, notice: dict[str, Any]) -> None:
        """Show the hosts a notice, which may come from another process."""
        self._notices.append(notice)
        for callback in self._on_notice:
            callback(notice)

    # Saving and recording.

    def _save(self, *changes: Change) -> Future[bool]:
        """Save changes; other processes take them over at once, not only when they see them in the file."""
        self.peers.tell("changes", {"changes": changes, "stamped": self._store.stamp(changes)})
        return self._store.save(changes)

    def _save_and_ask(self, *changes: Change) -> tuple[Future[bool], Future[Replies]]:
        """Save changes, and ask the other processes how many of their clients these hit (`hit`)."""
        stamped = self._store.stamp(changes)
        return (
            self._store.save(changes),
            self.peers.ask("changes", {"changes": changes, "stamped": stamped}),
        )

    def _save_here(self, *changes: Change) -> Future[bool]:
        """Save what other processes do not need, or do themselves, such as the removal of what has ended."""
        self._store.stamp([change for change in changes if change.value is None], is_expiry=True)
        return self._store.save(changes)

    @staticmethod
    def _nothing_to_save() -> Future[bool]:
        saving: Future[bool] = Future()
        saving.set_result(True)
        return saving

    @contextlib.contextmanager
    def _audited(
        self,
        actor: Actor,
        method: str,
        *,
        target: str = "",
        params: dict[str, Any] | None = None,
        reason: str = "",
    ) -> Iterator[None]:
        """Record what happens within, also if it is refused."""
        try:
            yield
        except AdminError as error:
            self.audit.record(actor, method, target=target, params=params, outcome=error.code, reason=reason)
            raise
        self.audit.record(actor, method, target=target, params=params, reason=reason)

    def _named(self, raw: Any) -> str:
        """Return a target as it is written into the audit."""
        if not isinstance(raw, dict) or len(raw) != 1 or next(iter(raw)) not in KINDS:
            return ""
        ((kind, value),) = raw.items()
        if kind in ("address", "network"):
            value = self._masked_network(str(value))
        return f"{kind}:{value}"

    # What may be seen.

    def tag(self, address: str) -> str:
        """Return the tag that stands for an address where addresses may not be seen; all processes show the same."""
        known = self._tags.get(address)
        if known is not None:  # lists show hundreds of clients every two seconds
            return known
        if len(self._tags) >= _KEPT_TAGS:
            self._tags.clear()
        digest = hashlib.blake2b(subscriber(address).encode(), key=self.tag_key, digest_size=10).digest()
        tag = self._tags[address] = base64.b32encode(digest).decode().lower()[:_TAG_LENGTH]
        return tag

    def shown_address(self, actor: Actor, address: str) -> str:
        """Return an address, or the tag for it, as an actor may see it."""
        return self.owners_view(address) if actor.is_owner else self.tag(address)

    def owners_view(self, address: str) -> str:
        """Return an address as owners may see it."""
        return for_log(address, self._settings.admin_addresses)

    def _shown_value(self, actor: Actor, target: Target) -> str:
        if target.network is None:
            return target.value
        return self._masked_network(target.value) if actor.is_owner else self.tag(target.value)

    def _masked_network(self, text: str) -> str:
        """Return an address or a network as owners may see it."""
        mode = self._settings.admin_addresses
        if mode == "full":
            return text
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            return UNKNOWN
        if mode == "none":
            return UNKNOWN
        longest = _ANONYMOUS_PREFIX[network.version]
        return str(network if network.prefixlen <= longest else network.supernet(new_prefix=longest))

    # Targets.

    def _resolved(self, actor: Actor, raw: Any, *, connection: bool = False) -> Target:
        """Return the target of a ban or a mute.

        Args:
            actor: Who acts; its own connection cannot be meant by mistake.
            raw: The parameter `target`.
            connection: Whether a client means its connection; otherwise it means its subscriber.

        Raises:
            AdminError: `invalid`, `not_found`, `protected`.
        """
        target = parse_target(raw)
        if target.kind != "client":
            return target
        if connection and self.peers.exist and self._host.player(target.value) is None:
            return target  # it may be connected to another process
        player = self._player(target.value)
        if actor.client and player.snowflake == actor.client:
            raise AdminError("protected", "You cannot do this to yourself.")
        if connection:
            return target
        of_player = of_address(player.address)
        if of_player is None:
            raise AdminError("protected", "This client has no address; use its name instead.")
        return of_player

    def knowing(self, player: Player, act: Slices[T]) -> Slices[T]:
        """Have a client of another process known as a target while something is done to it."""
        self._away[player.snowflake] = player
        try:
            return (yield from act)
        finally:
            self._away.pop(player.snowflake, None)  # another action on it may have removed it meanwhile

    def _player(self, snowflake: str) -> Player:
        player = self._host.player(snowflake) or self._away.get(snowflake)
        if player is None:
            raise AdminError("not_found", f"There is no client {snowflake} any more.")
        return player

    def _look_for(self, target: Target) -> Slices[list[Player]]:
        """Return the connected clients that a target means."""
        network = target.network
        if network is None:
            if target.kind == "client":
                player = self._host.player(target.value)
                return [] if player is None else [player]
            plain = fold(target.value)
            return (yield from self._filtered(lambda one: bool(one.username) and fold(one.username) == plain))
        version, shift = network.version, (32 if network.version == 4 else 64) - network.prefixlen  # noqa: PLR2004
        base = int(network.network_address) >> (0 if version == 4 else 64) >> shift  # noqa: PLR2004  # the version of IP

        def is_in(player: Player) -> bool:
            bits = bits_of(player.address)
            return bits is not None and bits[0] == version and bits[1] >> shift == base

        return (yield from self._filtered(is_in))

    def _filtered(self, is_meant: Callable[[Player], bool]) -> Slices[list[Player]]:
        found: list[Player] = []
        for part in sliced(self._host.players()):
            found += filter(is_meant, part)
            yield
        return found

    def _disconnect(self, players: list[tuple[Player, str]], code: int, cause: str) -> None:
        """Disconnect clients, each with a reason; many of them evenly over most of a second.

        Each takes about a tenth of a millisecond, because the user lists of the others change. All at once would keep the
        others waiting; in slices, the last one might stay for longer than a second on a busy server.
        """
        began = self._clock()

        def go_on(done: int) -> None:
            due = int(len(players) * (self._clock() - began) / _CLOSED_WITHIN)
            end = max(due, done + _CLOSED_AT_ONCE)
            for player, reason in players[done:end]:
                self._host.disconnect(player, code, reason, cause)
            if end < len(players):
                self._host.later(_CLOSE_PAUSE, lambda: go_on(end))

        go_on(0)

    # Parameters.

    def _until(self, seconds: float) -> int:
        return int(self._wall_clock() + max(1, seconds))


def checked_reason(reason: str) -> str:
    """Return a reason on one line. Raises `AdminError` if it is too long."""
    if len(reason) > _LONGEST_REASON:
        raise invalid("reason", f"can have at most {_LONGEST_REASON} characters")
    return one_line(reason)


def checked_seconds(seconds: float, most: float) -> float:
    """Return the parameter `seconds`. Raises `AdminError` if it is out of range."""
    if not 0 < seconds <= most:
        raise invalid("seconds", f"must be a number of seconds above 0, at most {most:g}")
    return seconds
