"""This server as its bridges see it: `Site` on the hub, the directory and the cloud.

What crosses a bridge is checked here by the rules for local clients.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # the annotations of the fields are read
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from cloudlink import jsontext
from cloudlink.cloudvalues import is_value
from cloudlink.server.events import User
from cloudlink.server.protocols.scratch.rules import Violation

from .site import NODE_PREFIX, is_of_bridge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cloudlink.server.app import Server
    from cloudlink.server.events import Event
    from cloudlink.server.protocols import Clpv4, Scratch

_BYTES_PER_CHARACTER = 4
"""Most bytes of JSON text for each character of a username, as for local clients."""


class _Visitor(NamedTuple):
    """A user of the other side, for the rules of this server; see `cloudlink.admin.host.Player`."""

    snowflake: str
    username: str = ""
    address: str = ""
    birth_time: float = 0.0
    request_headers: Mapping[str, str] = MappingProxyType({})
    joined: Mapping[str, object] = MappingProxyType({})


class ServerSite:
    """The server, for one bridge."""

    def __init__(self, server: Server, clpv4: Clpv4, scratch: Scratch | None, bridge: str) -> None:
        self.node = NODE_PREFIX + bridge
        self._server = server
        self._schema = clpv4.schema
        self._scratch = scratch
        self._via = bridge

    @property
    def is_attributed(self) -> bool:
        """Whether local clients see the senders of messages to a room."""
        return self._server.settings.message_origin

    # Users.

    def users(self, room: str) -> Iterator[User]:
        """Yield the named users in a room that are not on the other side of a bridge."""
        presence = self._server.directory.presence(room, self._schema)
        if presence is not None:
            yield from [user for user in presence.listed() if not is_of_bridge(user)]

    def is_in(self, user_id: str, room: str) -> User | None:
        """Return the user with that id if it is in the room, else None."""
        presence = self._server.directory.presence(room, self._schema)
        return presence.users.get(user_id) if presence is not None else None

    def new_user(self, username: str) -> User:
        """Return a user of this bridge with ids of its own."""
        return User(self.node, str(next(self._server.gen)), str(uuid4()), username, self._via)

    def join(self, user: User, room: str) -> None:
        """Show a user of this bridge in a room."""
        self._server.federation.join(user, self._schema, (room,))

    def leave(self, user: User, room: str) -> None:
        """Remove a user of this bridge from a room."""
        self._server.federation.leave(user.id, (room,))

    def rename(self, user: User) -> None:
        """Show a user of this bridge by another name."""
        self._server.federation.rename(user.id, user.username)

    def remove(self, users: Iterable[User]) -> None:
        """Remove users of this bridge from all rooms."""
        self._server.federation.remove([user.id for user in users])

    def is_username(self, username: str) -> bool:
        """Return whether a user of the other side may be shown by a name."""
        longest = self._server.settings.username_max_length
        return (
            0 < len(username) <= longest
            and len(jsontext.dumps(username)) - 2 <= _BYTES_PER_CHARACTER * longest
            and self._server.hooks.policy.allows_visitor(username)
            and self._server.hooks.policy.allows_visitor(f"{self._via}/{username}")
        )

    # Rooms.

    def admitted(self, user: User | None, room: str, val: bytes, *, is_variable: bool) -> bytes:
        """Return the value to deliver, changed by word filters, empty if mutes or other rules forbid it."""
        policy = self._server.hooks.packet_policy
        if policy is None:
            return val
        visitor = _Visitor(self._via) if user is None else _Visitor(user.id, user.username or "")
        verdict = policy.judge_visitor(visitor, room, val, "variables" if is_variable else "messages")
        return val if verdict is None else verdict.val

    def deliver(self, room: str, event: Event) -> None:
        """Send an event that came over the bridge to the members of a room."""
        if self._server.cluster.is_absent:
            return  # another node may have delivered it
        self._server.hub.emit_to(room, self._schema, event)

    def deliver_to(self, user: User, room: str, event: Event) -> None:
        """Send an event that came over the bridge to one user."""
        if self._server.cluster.is_absent:
            return
        self._server.hub.send([(room, user)], event)

    def is_variable(self, name: str, val: bytes) -> bool:
        """Return whether a room's variable may have this name and value."""
        return bool(val) and len(name) <= self._server.limits.variable_name_max_length

    # Cloud variables.

    def is_cloud_variable(self, name: str, val: bytes) -> bool:
        """Return whether a cloud variable may have this name and value."""
        settings = self._server.settings
        return len(name) <= self._server.limits.variable_name_max_length and is_value(
            val, settings.cloud_value_max_length, text_allowed=settings.cloud_text_values
        )

    def variables(self, project: str) -> Mapping[str, bytes]:
        """Return a project's cloud variables, name to JSON text; the result belongs to the project."""
        room = self._scratch.projects.rooms.get(project) if self._scratch is not None else None
        return room.variables if room is not None else {}

    def set_variable(self, project: str, name: str, val: bytes) -> bool:
        """Set a project's cloud variable, which is allowed; return False if the project has no space for it."""
        if self._scratch is None or project not in self._scratch.projects.rooms:
            return False
        if not self.admitted(None, project, val, is_variable=True):
            return True
        try:
            self._scratch.change(project, name, val, via=self._via)
        except Violation as violation:
            self._scratch.projects.log_left_out(project, violation, f"the bridge {self._via}")
            return False
        return True
