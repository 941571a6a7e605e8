"""What may happen: who may connect, which names are allowed, which rooms are open, and what may be said.

Protocols and the transport ask; the policy answers with a text or a verdict, and knows neither packets nor sockets.
Actions beyond an answer (a filter that mutes or kicks) go to the sanctions through `act`.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudlink import jsontext
from cloudlink.addresses import subscriber
from cloudlink.admin.bans import Bans
from cloudlink.admin.filters import Filters
from cloudlink.admin.modes import GUARDED_CONNECTIONS, GUARDED_RATE, Modes
from cloudlink.admin.mutes import Mutes
from cloudlink.admin.roomrules import RoomRules
from cloudlink.admin.times import sentence
from cloudlink.buckets import Bucket
from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.admin.filters import Finding, Scope
    from cloudlink.admin.host import Player

KNOCKS = 10
"""Connections a minute in which a banned subscriber learns the reason; further ones are refused at once."""
_MOST_KNOCKERS = 20_000
"""Banned subscribers whose connections are counted."""
_FORGET_EVERY = 60.0
_FROZEN = "This room is quiet."
_LOCKED = "This room is locked."
_BLOCKED = "This message is not allowed here."
_NAME_BLOCKED = "This name is not allowed here."
_ROOM_BLOCKED = "This room name is not allowed here."


class Blocked(Exception):  # noqa: N818  # it is an answer and never reaches a caller of the API
    """A plugin's filter blocks a packet."""


class Closing(NamedTuple):
    """How a connection is closed: the close code and the reason."""

    code: int
    reason: str


class Verdict(NamedTuple):
    """The decision about a packet.

    Attributes:
        text: Why it is refused; empty if it is not.
        hidden: Whether its sender is to believe that it was sent.
        val: The JSON text that replaces its value, also for a hidden one; empty for no change.
    """

    text: str = ""
    hidden: bool = False
    val: bytes = b""


_HIDDEN = Verdict(hidden=True)


class Policy:
    """The rules in force on one server.

    Attributes:
        bans, mutes, rooms, filters, modes: The rules.
        plugins: Asks the filters of plugins about a player's decoded packet and the key of its value; returns JSON
            text to send instead of the value, empty for no change, or raises `Blocked`. None if there are none.
        act: Called with a player and what filters found, unless they only block or mask.
        on_hit: Called with a ban that turned somebody away.
        take_knock: Takes a token from the bucket of a banned subscriber, given the bucket's rate and burst; returns whether
            there was one. The processes of a server share the buckets.
        on_flood: Called with a player who is disconnected for sending too much.
        dropped: How many packets were refused, by `muted`, `frozen`, `slow` and `filtered`.
        refused: How many connections were refused, by `banned` and `mode`.
    """

    def __init__(
        self,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        dropped: Counter[str] | None = None,
        refused: Counter[str] | None = None,
    ) -> None:
        """Set up without any rule.

        Args:
            wall_clock: Returns the Unix time in seconds.
            clock: Returns the time in seconds, as `Client.birth_time` does.
            dropped: Counts refused packets, None for a count of its own.
            refused: Counts refused connections, likewise.
        """
        self.bans = Bans()
        self.mutes = Mutes()
        self.rooms = RoomRules()
        self.filters = Filters()
        self.modes = Modes(clock)
        self.plugins: Callable[[Player, dict[str, Any], str], bytes] | None = None
        self.act: Callable[[Player, Finding], None] = lambda _player, _finding: None
        self.on_hit: Callable[[Any], None] = lambda _ban: None
        self.on_flood: Callable[[Player], None] = lambda _player: None
        self.dropped: Counter[str] = Counter() if dropped is None else dropped
        self.refused: Counter[str] = Counter() if refused is None else refused
        self._wall_clock = wall_clock
        self._clock = clock
        self.take_knock: Callable[[str, float, float], bool] = self._take_knock
        self._knocks: dict[str, Bucket] = {}
        self._forgot_at = clock()

    @property
    def wall_clock(self) -> Callable[[], float]:
        """Returns the Unix time in seconds."""
        return self._wall_clock

    @property
    def clock(self) -> Callable[[], float]:
        """Returns the time in seconds."""
        return self._clock

    @property
    def guard(self) -> tuple[int, float] | None:
        """How many connections a subscriber may have, and open in a second, in guarded mode; None in others."""
        return (GUARDED_CONNECTIONS, GUARDED_RATE) if self.modes.is_guarded else None

    @property
    def judges_packets(self) -> bool:
        """Whether any packet may be refused or changed; if not, `judge` need not be called."""
        return bool(
            len(self.mutes)
            or len(self.rooms)
            or self.plugins is not None
            or self.modes.mutes_newcomers
            or self.filters.looks_at("messages")
            or self.filters.looks_at("variables")
        )

    # Connections.

    def is_knocking(self, address: str) -> bool:
        """Return whether a banned address connects too often to get the reason once more; takes microseconds."""
        if not self.bans.has_networks:
            return False
        ban = self.bans.for_address(address, self._wall_clock())
        if ban is None:
            return False
        if self.take_knock(subscriber(address), KNOCKS / 60, KNOCKS):
            return False
        self.refused["banned"] += 1
        self.on_hit(ban)
        return True

    def _take_knock(self, key: str, rate: float, burst: float) -> bool:
        bucket = self._knocks.get(key)
        if bucket is None:
            self._forget()
            bucket = self._knocks[key] = Bucket(rate, burst, self._clock)
        return bucket.take()

    def closing(self, address: str) -> Closing | None:
        """Return how a new connection is closed at once, None if it may stay."""
        ban = self.bans.for_address(address, self._wall_clock()) if self.bans.has_networks else None
        if ban is not None:
            self.refused["banned"] += 1
            self.on_hit(ban)
            return Closing(CloseCode.BANNED, ban.text)
        refusal = self.modes.refusal
        if refusal:
            self.refused["mode"] += 1
            return Closing(CloseCode.TRY_AGAIN_LATER, refusal)
        return None

    def _forget(self) -> None:
        now = self._clock()
        if now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            self._knocks = {key: bucket for key, bucket in self._knocks.items() if not bucket.full}
        if len(self._knocks) >= _MOST_KNOCKERS:  # a banned network of IPv6 may hold any number of subscribers
            self._knocks.clear()

    # Names and rooms.

    def name_refusal(self, player: Player, name: str) -> str:
        """Return why a client may not have a name, an empty text if it may."""
        ban = self.bans.for_name(name, self._wall_clock())
        if ban is not None:
            self.on_hit(ban)
            return ban.text
        return self._filtered(player, name, "names", _NAME_BLOCKED)

    def room_refusal(self, player: Player, room: str) -> str:
        """Return why a client may not enter a room that it is not in, an empty text if it may."""
        if self.rooms.is_locked(room, self._wall_clock()):
            return _LOCKED
        return self._filtered(player, room, "rooms", _ROOM_BLOCKED)

    def _filtered(self, player: Player, text: str, scope: Scope, blocked: str) -> str:
        if not self.filters.looks_at(scope):
            return ""
        finding = self.filters.look_at_text(text, scope)
        if finding is None:
            return ""
        self._act(player, finding)
        return "" if finding.filter.action == "notice" else blocked

    # Packets.

    def judge(
        self,
        player: Player,
        rooms: Iterable[str],
        val: bytes,
        scope: Scope,
        message: Callable[[], dict[str, Any]] | None = None,
        key: str = "val",
    ) -> Verdict | None:
        """Return the verdict on a packet, None if it passes unchanged.

        Args:
            player: The sender.
            rooms: The rooms that it is for; none for the server as a whole.
            val: JSON text of its value.
            scope: What the value is: `messages` or `variables`.
            message: Decodes the packet for plugins; None for a packet that they do not get.
            key: The key of the value in the decoded packet.
        """
        now = self._wall_clock()
        mute = self.mutes.for_player(player, now) if len(self.mutes) else None
        if mute is None:
            return self._judge_unmuted(player, rooms, val, scope, message, key)
        if not mute.hidden:
            self.dropped["muted"] += 1
            return Verdict(mute.text)
        # Somebody with a hidden mute is refused what everybody is refused; otherwise the mute would show.
        verdict = self._judge_unmuted(player, rooms, val, scope, None, key)
        if verdict is not None and verdict.text:
            return verdict
        self.dropped["muted"] += 1
        return _HIDDEN if verdict is None else Verdict(hidden=True, val=verdict.val)

    def _judge_unmuted(
        self,
        player: Player,
        rooms: Iterable[str],
        val: bytes,
        scope: Scope,
        message: Callable[[], dict[str, Any]] | None,
        key: str,
    ) -> Verdict | None:
        now = self._wall_clock()
        wait = self.modes.newcomer_wait(player.birth_time)
        if wait > 0:
            self.dropped["muted"] += 1
            return Verdict(sentence("You are muted", now + wait, ""))
        if len(self.rooms):
            names = tuple(rooms)
            if self.rooms.is_frozen(names, now):
                self.dropped["frozen"] += 1
                return Verdict(_FROZEN)
            wait = self.rooms.wait(player.snowflake, names, now, self._clock())
            if wait > 0:
                self.dropped["slow"] += 1
                return Verdict(f"This room is slow: wait {-int(-wait // 1)} s.")
        return self._look(player, val, scope, message, key)

    # Users of other servers, which are not clients of this one: they can be muted by name, but not answered or kicked.

    def allows_visitor(self, name: str) -> bool:
        """Return whether a user of another server may be shown by a name."""
        if self.bans.for_name(name, self._wall_clock()) is not None:
            return False
        if not self.filters.looks_at("names"):
            return True
        finding = self.filters.look_at_text(name, "names")
        return finding is None or finding.filter.action == "notice"

    def judge_visitor(self, visitor: Player, room: str, val: bytes, scope: Scope) -> Verdict | None:
        """Return the verdict on a packet of a user of another server, None if it passes unchanged.

        Filters of plugins do not see it.

        Args:
            visitor: The user.
            room: The room that it is for.
            val: JSON text of its value.
            scope: What the value is: `messages` or `variables`.
        """
        now = self._wall_clock()
        if len(self.mutes) and self.mutes.for_player(visitor, now) is not None:
            self.dropped["muted"] += 1
            return _HIDDEN
        if len(self.rooms):
            if self.rooms.is_frozen((room,), now):
                self.dropped["frozen"] += 1
                return Verdict(_FROZEN)
            if self.rooms.wait(visitor.snowflake, (room,), now, self._clock()) > 0:
                self.dropped["slow"] += 1
                return _HIDDEN
        finding = self.filters.look_at_value(val, scope) if self.filters.looks_at(scope) else None
        if finding is None:
            return None
        if finding.notices and finding.filter.action not in ("mute", "kick"):
            self.act(visitor, finding)
        if finding.filter.action not in ("mask", "notice"):
            self.dropped["filtered"] += 1
            return Verdict(_BLOCKED)
        return Verdict(val=finding.masked) if finding.masked != val else None

    def judge_name(self, player: Player, message: Callable[[], dict[str, Any]]) -> Verdict | None:
        """Return the verdict of the filters of plugins on a packet that sets a name, None if it passes unchanged."""
        verdict = None if self.plugins is None else self._ask_plugins(player, b"", message(), "val")
        return verdict if verdict is None or verdict.val else Verdict(_NAME_BLOCKED)

    def _look(
        self, player: Player, val: bytes, scope: Scope, message: Callable[[], dict[str, Any]] | None, key: str
    ) -> Verdict | None:
        changed = b""
        if self.filters.looks_at(scope):
            finding = self.filters.look_at_value(val, scope)
            if finding is not None:
                self._act(player, finding)
                if finding.filter.action not in ("mask", "notice"):
                    self.dropped["filtered"] += 1
                    return Verdict(_BLOCKED)
                changed = finding.masked if finding.masked != val else b""
        if self.plugins is not None and message is not None:
            return self._ask_plugins(player, changed, message(), key)
        return Verdict(val=changed) if changed else None

    def _act(self, player: Player, finding: Finding) -> None:
        if finding.notices or finding.filter.action in ("mute", "kick"):
            self.act(player, finding)

    def _ask_plugins(
        self, player: Player, changed: bytes, message: dict[str, Any], key: str
    ) -> Verdict | None:
        if self.plugins is None:
            return None
        if changed:
            message[key] = jsontext.loads(changed)
        try:
            replacement = self.plugins(player, message, key)
        except Blocked:
            self.dropped["filtered"] += 1
            return Verdict(_BLOCKED)
        val = replacement or changed
        return Verdict(val=val) if val else None
