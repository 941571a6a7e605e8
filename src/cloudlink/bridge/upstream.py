"""One room of an unmodified CloudLink 0.2.0 server: a client in that room that relays between the two.

The client's own messages come back like those of others, without a sign of their sender, so they are recognised by what
they say: for each message that was sent, one equal message is not relayed back. The other server can name no sender, so
its messages have none here. Pure: texts in, texts out, and calls of `Site`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.bridgesections import DEFAULT_USERNAME
from cloudlink.client.events import GlobalMessage, GlobalVariable, UserJoined, UserLeft, UserList
from cloudlink.client.session import DesiredState, Session
from cloudlink.server.events import Message, Variable

from .records import LONGEST_MESSAGE, LONGEST_RECORD
from .relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.client.events import Event

    from .guests import Guests
    from .site import Site

_ECHO_TIMEOUT = 60.0
"""Seconds to wait for the echo of a message; the other server drops what it cannot decode."""
_MOST_ECHOES = 4096


class Echoes:
    """The messages that were sent and have not come back yet."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: OrderedDict[int, tuple[Hashable, float]] = OrderedDict()
        self._serials: dict[Hashable, list[int]] = {}
        self._next = 0

    def add(self, key: Hashable) -> None:
        """Note that something was sent."""
        self._expire()
        self._sent[self._next] = (key, self._clock())
        self._serials.setdefault(key, []).append(self._next)
        self._next += 1

    def take(self, key: Hashable) -> bool:
        """Return whether this is the echo of something that was sent; each is recognised once."""
        self._expire()
        serials = self._serials.get(key)
        if not serials:
            return False
        self._forget(serials[0])
        return True

    def _expire(self) -> None:
        oldest = self._clock() - _ECHO_TIMEOUT
        while self._sent:
            serial, (_, sent_at) = next(iter(self._sent.items()))
            if sent_at > oldest and len(self._sent) < _MOST_ECHOES:
                return
            self._forget(serial)

    def _forget(self, serial: int) -> None:
        key, _ = self._sent.pop(serial)
        serials = self._serials[key]
        serials.remove(serial)
        if not serials:
            del self._serials[key]


class UpstreamRoom(Relay[Session, "tuple[str, str, bytes]", "Message | Variable"]):
    """One connection to one room.

    Attributes:
        room: The room's name here.
    """

    def __init__(
        self,
        section: BridgeSection,
        room: str,
        remote: str,
        guests: Guests,
        site: Site,
        via: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        session = Session(DesiredState(section.username or DEFAULT_USERNAME, [remote]))
        super().__init__(session, section, clock, rate=section.rate, messages_at_once=2)
        self.room = room
        self._remote = remote
        self._guests = guests
        self._site = site
        self._via = via
        self._echoes = Echoes(clock)

    # From this server.

    def send_message(self, event: Message) -> None:
        """Send a message of a local user."""
        self._put(("gmsg", "", event.val), None)

    def send_variable(self, name: str, val: bytes) -> None:
        """Send a variable's value."""
        self._put(("gvar", name, val), name)

    def _put(self, item: tuple[str, str, bytes], key: Hashable) -> None:
        size = len(item[1]) + len(item[2])
        if size > LONGEST_RECORD or not self._outbound.put(item, size + 32, key=key):
            self.dropped += 1

    def tick(self) -> None:
        """Let through what had to wait; called often."""
        while self.is_up and (item := self._outbound.take()) is not None:
            cmd, name, val = item
            keys = b"" if cmd == "gmsg" else b'"name":%b,' % jsontext.dumps(name)
            rooms = jsontext.dumps(self._remote)
            packet = b'{"cmd":"%b",%b"val":%b,"rooms":%b}' % (cmd.encode(), keys, val, rooms)
            self.sent += 1
            self.outgoing.append(packet.decode())
            self._echoes.add((cmd, name, _canonical(jsontext.loads(val))))
        while (event := self._inbound.take()) is not None:
            self.relayed += 1
            self._site.deliver(self.room, event)

    # From the other server.

    def received(self, text: str) -> None:
        """Handle a packet."""
        self._reading.take(len(text))
        if len(text) > LONGEST_MESSAGE and not _may_be_list(text):
            self.dropped += 1
            return
        events = self._session.received(text)
        self._move()
        for event in events:
            self._take(event)
        self.tick()

    def _take(self, event: Event) -> None:
        if isinstance(event, GlobalMessage) and event.room == self._remote:
            self._relay("gmsg", "", event.value)
        elif isinstance(event, GlobalVariable) and event.room == self._remote:
            self._relay("gvar", event.name, event.value)
        elif isinstance(event, UserList) and event.room == self._remote:
            self._replace_users(event)
        elif isinstance(event, UserJoined) and event.room == self._remote:
            self._show(event.user.id, event.user.username)
        elif isinstance(event, UserLeft) and event.room == self._remote:
            self._guests.drop(event.user.id, self.room)

    def _relay(self, cmd: str, name: str, value: Any) -> None:
        if self._echoes.take((cmd, name, _canonical(value))):
            return
        val = jsontext.dumps(value)
        if cmd == "gvar" and not self._site.is_variable(name, val):
            self.dropped += 1
            return
        val = self._site.admitted(None, self.room, val, is_variable=cmd == "gvar")
        if not val:
            return
        if cmd == "gmsg":
            is_accepted = self._inbound.put(Message(val, via=self._via), len(val))
        else:
            event = Variable(jsontext.dumps(name), val, via=self._via)
            is_accepted = self._inbound.put(event, len(val), key=name)
        if not is_accepted:
            self.dropped += 1

    def _replace_users(self, event: UserList) -> None:
        present = {user.id for user in event.users}
        for user_id in self._guests.keys:
            if user_id not in present:
                self._guests.drop(user_id, self.room)
        for user in event.users:
            self._show(user.id, user.username)
        self._guests.settle()

    def _show(self, user_id: str, username: str | None) -> None:
        if username is None or user_id == self._session.user.id:
            return
        if not self._guests.put(user_id, username, self.room):
            self.dropped += 1


def _canonical(value: Any) -> bytes:
    """Return the text by which a value is recognised, whatever the other server made of its spaces and digits."""
    return jsontext.dumps(value)


def _may_be_list(text: str) -> bool:
    """Return whether a long text may be a user list, which grows with the room."""
    return '"ulist"' in text[:256]
