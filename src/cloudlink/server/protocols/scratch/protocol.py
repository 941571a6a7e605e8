"""The Scratch cloud-variable protocol: TurboWarp projects, packaged projects and bots (protocol, section 3).

Clients of one project share its variables. The values are kept in a store and survive the disconnect of all
clients. An error closes the connection with a code that the clients know; no text is sent, because clients
cannot handle it.
"""

from __future__ import annotations

import logging
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.addresses import RealAddress, subscriber
from cloudlink.buckets import Bucket
from cloudlink.closecodes import CloseCode
from cloudlink.cloudvalues import is_value
from cloudlink.delivery import update_frame
from cloudlink.http.pages import documents
from cloudlink.server.broker import VIA
from cloudlink.server.client import write
from cloudlink.server.events import Variable
from cloudlink.server.eventwriter import EventWriter
from cloudlink.server.exceptions import EmptyMessage, InvalidCommand, JSONError, Overloaded, ValidationError

from . import rules
from .cloudroom import SET
from .packet import parse
from .projects import Projects
from .rules import Ignored, Violation
from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import msgspec

    from cloudlink.admin.policy import Policy
    from cloudlink.cluster.cloud import Cloud
    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client
    from cloudlink.server.events import User
    from cloudlink.server.hooks import Command
    from cloudlink.settings import Settings

    from .cloudroom import CloudRoom
    from .packet import Packet

logger = logging.getLogger("cloudlink.server")

_PATIENCE = 3
"""Bots read, and so answer pings, only while they write; see `Connection.patience`."""
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")

_COOKIE = "scratchsessionsid="
_COOKIE_WARNING = (
    "Your program sent the login token of your Scratch account, which nobody but Scratch must see. "
    "Change your Scratch password now and tell the makers of the library you use. "
    "To protect your account, this connection is closed."
)


class CloudDialect(EventWriter):
    """The dialect of cloud clients: a `set` for each new value of a variable, and nothing else."""

    may_miss = False  # senders cannot be notified, and a client that reconnects gets all values

    def __init__(self) -> None:
        super().__init__({Variable: _write_set})

    def __str__(self) -> str:
        return "Scratch cloud variables"


def _write_set(event: Variable, room: str, _listener: bytes = b"", _recipient: User | None = None) -> bytes:
    return update_frame(SET % (event.name, event.val), ("cloud", room, event.name))


_DIALECT = CloudDialect()


class CloudState:
    """The protocol's state of a client, stored as `client.state`.

    Attributes:
        room: The client's project, None before the handshake.
        address: The address that its resources are charged to, None for no particular one.
        waiting: Packets that wait until the nodes of a cluster have told the values of the project; None if none do.
        updates: Limits the updates that are sent individually, None before the first update.
    """

    __slots__ = ("address", "room", "updates", "waiting")

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.room: CloudRoom | None = None
        self.waiting: list[bytes] | None = None
        self.updates: Bucket | None = None


class Scratch:
    """The protocol on a server; plugins create it with `scratch(server)`.

    Attributes:
        schema: The protocol's identity and its Cerberus rules.
        projects: The projects that have clients, or had some recently.
    """

    schema = Schema
    label = "scratch"
    slow_reader_code = CloseCode.CLOUD_OVERLOADED

    def __init__(self, server: PluginAPI) -> None:
        """Register the protocol and its methods with a server."""
        self.server = server
        self.projects = Projects(server.settings, server.counters)
        self._hooks = server.hooks
        self._settings = server.settings
        self._limits = server.limits
        self._users = _user_rules(self._settings)
        self._hub = server.hub
        self._policy = self._hooks.policy
        self._cloud: Cloud | None = None
        self._commands = self._hooks.commands.setdefault(Schema, {})
        methods = {
            "handshake": self._handshake,
            "set": self._set,
            "create": self._set,
            "rename": self._rename,
            "delete": self._delete,
        }
        for method, handler in methods.items():
            self._hooks.bind_native(Schema, method, handler)
        self._hooks.engines[Schema] = self
        self._hooks.connect.append(self._refuse_login_token)
        self._hooks.protocol_start.append(self._open_store)
        self._hooks.protocol_stop.append(self.projects.close)
        self._hooks.protocol_tick.append(self.projects.tick)
        self._settings.on_change(self._follow_setting)
        server.reloader.parts.append(self._prepare_blocklist)
        if self._settings.cloud_http:
            self._hooks.routes.add("/cloud/*", documents("/cloud/", self._document))

    def _follow_setting(self, name: str) -> None:
        if name in ("real_ip_header", "trusted_proxies"):
            vars(self).pop("_real_address", None)
        elif name.startswith("storage_"):
            self.projects.apply_storage_limits()

    def _prepare_blocklist(self, fresh: Settings) -> Callable[[], object]:
        users = _user_rules(fresh)

        def put_into_effect() -> None:
            self._users = users

        return put_into_effect

    # The engine interface.

    def identify(self, client: Client, data: bytes, packet: object) -> bool:  # noqa: ARG002  # the protocol of Engine
        """Return whether a first message is an object with a text `method`, or several, one per line."""
        if b"\n" not in data.strip():
            return isinstance(packet, dict) and isinstance(packet.get("method"), str)
        try:
            members = jsontext.pick(next(_lines(data)), "method") or {}
        except jsontext.JSONTextError:
            return False
        return members.get("method", b"").startswith(b'"')

    def on_attach(self, client: Client) -> None:
        """Set up the client's state; the handshake adds the client to its project."""
        client.outbox.connection.patience = _PATIENCE
        write(client, "dialect", _DIALECT)
        write(client, "state", CloudState(self._address_of(client)))

    @cached_property
    def _real_address(self) -> RealAddress:
        return RealAddress(self._settings.real_ip_header, self._settings.trusted_proxies)

    def _address_of(self, client: Client) -> str | None:
        """Return the subscriber address of a client, None if limits per address do not apply to it."""
        if not self._settings.limits or self._real_address.is_exempt(client.address):
            return None
        return subscriber(client.address)

    def on_detach(self, client: Client) -> None:
        """Remove a client from its project."""
        room = client.state.room
        if room is not None:
            client.state.room = None
            self.projects.leave(room, client)

    def check_username(self, client: Client, username: str) -> None:
        """Raise `ValueError` for a name that players may not have."""
        if not self._users.allow(username, self._longest_username):
            raise ValueError("This username cannot be used")
        why = self._policy.name_refusal(client, username)
        if why:
            raise ValueError(why)

    def on_rename(self, client: Client, former: User) -> None:
        """Do nothing: players see no names."""

    @property
    def _longest_username(self) -> int | None:
        """Maximum characters of a username if any text is allowed, None if Scratch's rules apply."""
        settings = self._settings
        return settings.username_max_length if settings.cloud_usernames == "any" else None

    def receive_binary(self, client: Client, data: bytes) -> None:
        """Ignore binary messages, as the reference does."""

    def receive(self, client: Client, data: bytes) -> None:
        """Handle one frame: an object, or several joined by newlines (decision D7)."""
        if (
            data.startswith(b"{")
            and data.find(b"\n", 0, -1) < 0
            and client.state.waiting is None
            and client.open
        ):
            self._receive_object(client, data)  # one object, as in nearly all frames
            return
        is_empty = True
        for line in _lines(data):
            # The session has already charged the first packet of the message.
            if not client.open or not (is_empty or client.session.admit_next_packet(line)):
                return
            is_empty = False
            if client.state.waiting is None:
                self._receive_object(client, line)
            else:
                client.state.waiting.append(line)
        if is_empty:
            self._hooks.report(client, Schema, EmptyMessage, "Empty message", EmptyMessage)
            client.session.close(CloseCode.CLOUD_ERROR, "A message cannot be empty")

    def reject_packet(self, client: Client, data: bytes, why: str) -> None:  # noqa: ARG002  # the protocol of Engine
        """Report the refusal to plugins; the protocol has no message for the client."""
        self._hooks.report(client, Schema, Overloaded, why, why)

    def tell_undelivered(self, client: Client, listener: bytes, why: str) -> None:
        """Do nothing: the protocol has no message for it."""

    def internal_error(self, client: Client, request: Any) -> None:
        """Do nothing: the protocol has no message for it."""

    def _receive_object(self, client: Client, line: bytes) -> None:
        try:
            packet = parse(line)
        except jsontext.JSONTextError as error:
            self._close_unreadable(client, error)
            return
        if self._cloud is not None and packet.method == "handshake" and self._must_wait(client, packet, line):
            return
        command = self._commands.get(packet.method, self._hooks.unknown_command)
        command.calls += 1
        if command.native is None and not (command.known or command.disabled):
            text = f"{packet.method} is an invalid command."
            self._hooks.report(client, Schema, InvalidCommand, packet.method, text)
            client.session.close(CloseCode.CLOUD_ERROR, "There is no such method")
        elif command.disabled:
            self._hooks.run(self._hooks.disabled_command.get(Schema), client, packet.method)
        elif self._hooks.packet_policy is not None and packet.method != "handshake":
            self._run_judged(self._hooks.packet_policy, command, client, packet, line)
        else:
            self._run(command, client, packet, line)

    def _run(self, command: Command, client: Client, packet: Packet, line: bytes) -> None:
        hooks, message = self._hooks, None
        try:
            if command.handlers or hooks.message:
                # Before the method runs, so that a message that cannot be decoded has no effect.
                message = jsontext.loads(line)
            if command.native is not None:
                command.native(client, packet)
        except Ignored as ignored:
            if ignored.args:
                client.session.log_limit(ignored.args[0])
            return
        except Violation as violation:
            if client.session.should_log_refusal():
                logger.info("%s is disconnected: %s.", client, violation.reason, extra={"event": "refused"})
            hooks.report(client, Schema, ValidationError, {"": [violation.reason]}, violation.reason)
            client.session.close(violation.code, violation.reason)
            return
        except jsontext.JSONTextError as error:
            self._close_unreadable(client, error)
            return
        except Exception as error:  # noqa: BLE001  # one client's packet must not harm another
            hooks.failed(command.native, client, packet, self, error)
        if message is not None:
            hooks.run_command(command, client, message, self)
            hooks.run(hooks.message, client, message)

    def _run_judged(
        self, policy: Policy, command: Command, client: Client, packet: Packet, line: bytes
    ) -> None:
        """Run a command as far as the rules of the host let it pass; clients of the cloud get no reason."""
        room = client.state.room
        try:
            verdict = policy.judge(
                client,
                () if room is None else (room.id,),
                bytes(packet.value),
                "variables",
                lambda: jsontext.loads(line),
                "value",
            )
        except jsontext.JSONTextError as error:
            self._close_unreadable(client, error)
            return
        if verdict is None:
            self._run(command, client, packet, line)
        elif verdict.val and not verdict.hidden:
            changed = jsontext.dumps({**jsontext.loads(line), "value": jsontext.loads(verdict.val)})
            self._run(command, client, parse(changed), changed)

    def _close_unreadable(self, client: Client, error: jsontext.JSONTextError) -> None:
        self._hooks.report(client, Schema, JSONError, error, error)
        client.session.close(CloseCode.CLOUD_ERROR, "A message must be a JSON object with a method")

    # The methods.

    def _handshake(self, client: Client, packet: Packet) -> None:
        if client.state.room is not None:
            raise Violation(CloseCode.CLOUD_ERROR, "The handshake was done before")
        project = rules.project_id(bytes(packet.project_id))
        if project is None:
            raise Violation(CloseCode.CLOUD_ERROR, "The project id must have 1 to 999 characters")
        user = _text(packet.user)
        if not self._users.allow(user, self._longest_username):
            raise Violation(CloseCode.CLOUD_USERNAME, "This username cannot be used")
        why = self._policy.name_refusal(client, user)
        if why:
            raise Violation(CloseCode.CLOUD_USERNAME, why)
        why = self._policy.room_refusal(client, project)
        if why:
            raise Violation(CloseCode.CLOUD_PROJECT, why)
        room = self.projects.enter(project, client, client.state.address)
        client.state.room = room
        self.server.rooms_manager.subscribe(client, project)
        shown = rules.name_for_log(user, anonymous_guests=self._settings.cloud_anonymous_guests)
        write(client, "log_name", shown)
        if not client.username_set:  # a plugin may have given it a name before
            self.server.clients_manager.set_username(client, user)
        logger.debug("%s is in the cloud project %s.", client, project)
        if room.variables:
            client.session.send_frame(room.all_values())

    def _must_wait(self, client: Client, packet: Packet, line: bytes) -> bool:
        """Return whether a handshake waits for the values of a project on other nodes; it is handled when they are here."""
        project = rules.project_id(bytes(packet.project_id))
        cloud = self._cloud
        if cloud is None or project is None or client.state.room is not None:
            return False
        if project in self.projects.rooms or cloud.is_ready(project):
            return False
        client.state.waiting = [line]
        client.outbox.connection.hold()
        cloud.open(project, lambda _values: self._go_on(client, project))  # at once if no other node has it
        return True

    def _go_on(self, client: Client, project: str) -> None:
        """Handle the packets that have waited."""
        state = client.state
        lines, state.waiting = state.waiting, None
        client.outbox.connection.release()
        for line in lines:
            if client.open:
                self._receive_object(client, line)
        if self._cloud is not None and project not in self.projects.rooms:
            self._cloud.close(project)  # the client has left, or was turned away

    def _set(self, client: Client, packet: Packet) -> None:
        state: CloudState = client.state
        room = state.room or self._joined_room(client)
        name, value = packet.name, bytes(packet.value)
        settings = self._settings
        if name is None:
            raise Ignored
        longest = self._limits.variable_name_max_length
        if len(name) > longest:
            raise Ignored(f"A variable name can have at most {longest} characters.")
        longest = settings.cloud_value_max_length
        if not is_value(value, longest, text_allowed=settings.cloud_text_values):
            raise Ignored(*_of_length(value, longest))
        self.projects.keep(room, name, value, state.address)
        delay = self._delay_for(client, state)
        if delay or name in room.pending:
            self._hold_back(room, name, client, delay)
        else:
            self._emit(room, name, client)

    def _rename(self, client: Client, packet: Packet) -> None:
        room = self._joined_room(client)
        if not self._settings.cloud_rename_delete:
            raise Ignored
        name, new_name = packet.name, _text(packet.new_name)
        if name is None or name not in room.variables:
            raise Violation(CloseCode.CLOUD_ERROR, "There is no such variable")
        if new_name is None or not rules.is_new_name(new_name, self._limits.variable_name_max_length):
            raise Violation(CloseCode.CLOUD_ERROR, "A variable cannot have this name")
        self.projects.rename(room, name, new_name, client.state.address)

    def _delete(self, client: Client, packet: Packet) -> None:
        room = self._joined_room(client)
        if not self._settings.cloud_rename_delete:
            raise Ignored
        name = packet.name
        if name is None or name not in room.variables:
            raise Violation(CloseCode.CLOUD_ERROR, "There is no such variable")
        self.projects.delete(room, name, client.state.address)

    def _joined_room(self, client: Client) -> CloudRoom:
        room: CloudRoom | None = client.state.room
        if room is None:
            raise Violation(CloseCode.CLOUD_ERROR, "The handshake comes first")
        return room

    # Sending to others.

    def _delay_for(self, sender: Client, state: CloudState) -> float:
        """Return for how many seconds to hold back the update of a sender, 0 to send it at once."""
        settings = self._settings
        if settings.cloud_batch_interval:
            return settings.cloud_batch_interval
        rate = settings.cloud_updates_per_second
        if not rate or not settings.limits:
            return 0.0
        updates = state.updates
        if updates is None:
            updates = state.updates = Bucket(rate, settings.cloud_update_burst)
        if updates.tokens > 0:  # the usual case, without a call
            updates.tokens -= 1
            return 0.0
        if updates.take():
            return 0.0
        sender.session.log_limit(f"More than {rate:g} cloud updates a second; the latest are passed on.")
        return 1.0 / rate

    def _hold_back(self, room: CloudRoom, name: str, sender: Client | None, delay: float) -> None:
        if room.hold_back(name, sender):
            self.server.later(delay, lambda: self._send_pending(room))

    def _send_pending(self, room: CloudRoom) -> None:
        for name, sender in room.take_pending().items():
            self._emit(room, name, sender, "" if sender is not None or self._cloud is None else VIA)

    def _emit(self, room: CloudRoom, name: str, sender: Client | None, via: str = "") -> None:
        """Send a variable's value to all clients of the project except its sender (decision D8)."""
        origin = sender.user if sender is not None else None
        event = Variable(room.json_names[name], room.variables[name], origin, via)
        if sender is not None and sender.open:
            members = sender.joined.get(room.id)  # spared the look-up of the room
        else:
            members = self.server.rooms_manager.members(room.id, Schema)
        if members is None:
            self._hub.emit_to(room.id, Schema, event)
        else:
            self._hub.emit(members, event, sender, to_sender=False)

    # Changes from outside.

    def is_played(self, project: str) -> bool:
        """Return whether a project is loaded, here or on another node, so that `change` can be called."""
        return project in self.projects.rooms or (self._cloud is not None and self._cloud.is_open(project))

    def change(self, project: str, name: str, value: bytes, via: str) -> None:
        """Change a variable of a loaded project without a sender, and send it to all clients of the project.

        If only other nodes have loaded it, they check the limits.

        Args:
            project: The project id; see `is_played`.
            name: The variable's name.
            value: JSON text of the new value.
            via: Name of the bridge that the change came through. All of its changes are charged to one
                address.

        Raises:
            Violation: The change would exceed a limit.
        """
        room = self.projects.rooms.get(project)
        if room is None and self._cloud is not None:
            self._cloud.pass_on(project, name, value)
        elif room is not None:
            self.projects.keep(room, name, value, writer=via)
            self._emit(room, name, None, via)

    def put(self, project: str, name: str, value: bytes) -> str:
        """Set a variable on behalf of the host, and send it to all clients of the project.

        Args:
            project: The project id; the project need not be in memory.
            name: The variable's name.
            value: JSON text of the new value.

        Returns:
            Why the project cannot have it; empty if it has it now.
        """
        settings = self._settings
        if not is_value(value, settings.cloud_value_max_length, text_allowed=settings.cloud_text_values):
            kind = "text" if settings.cloud_text_values else "a number"
            return f"a value is {kind} of at most {settings.cloud_value_max_length} characters"
        try:
            room = self.projects.enter(project)
        except Violation as violation:
            return violation.reason
        try:
            self.projects.keep(room, name, value)
            self._emit(room, name, None)
        except Violation as violation:
            return violation.reason
        finally:
            self.projects.leave(room)
        return ""

    def remove(self, project: str, name: str) -> bool:
        """Delete a variable on behalf of the host; return whether there was one. Players keep it until they leave."""
        if name not in self.projects.variables(project):
            return False
        room = self.projects.enter(project)
        try:
            self.projects.delete(room, name)
        finally:
            self.projects.leave(room)
        return True

    def variables(self, project: str) -> dict[str, bytes]:
        """Return a project's variables, name to JSON text; empty if it has none."""
        return self.projects.variables(project)

    def _document(self, project: str) -> bytes | None:
        variables = self.variables(project)
        if not variables:
            return None
        members = (b"%b:%b" % (jsontext.dumps(name), value) for name, value in variables.items())
        return b"{%b}" % b",".join(members)

    def _changed_in_store(self, project: str, name: str, value: bytes | None) -> None:
        room = self.projects.rooms.get(project)
        if room is None or not self.projects.take_over(room, name, value) or value is None:
            return
        delay = self._settings.cloud_batch_interval
        if self._cloud is None:
            self._emit(room, name, None)
        elif delay or name in room.pending:
            self._hold_back(room, name, None, delay)
        else:
            self._emit(room, name, None, VIA)  # the node that the value comes from has bridged it

    # Server events.

    def _refuse_login_token(self, client: Client) -> None:
        if client.request_headers.get("Cookie", "").startswith(_COOKIE):
            text = "%s sent the login token of a Scratch account and was turned away."
            if client.session.should_log_refusal():
                logger.warning(text, client, extra={"event": "refused"})
            client.session.send_text(_COOKIE_WARNING.encode())
            client.session.close(CloseCode.CLOUD_SECURITY, "A login token was sent")

    def _open_store(self, call_soon: Callable[..., object]) -> None:
        vars(self).pop("_real_address", None)  # the settings may have changed since
        cluster = self.server.cluster
        self._cloud = cluster.cloud
        self.projects.start(call_soon, self._changed_in_store, self._cloud, cluster.store)


def _user_rules(settings: Settings) -> rules.UserRules:
    blocklist = settings.cloud_blocklist
    return rules.UserRules.from_file(Path(blocklist) if blocklist else None)


def _lines(data: bytes) -> Iterator[bytes]:
    """Yield the non-blank lines lazily, because processing stops at the first invalid line."""
    return (match[0] for match in _LINE.finditer(data))


def _of_length(value: bytes, longest: int) -> tuple[str, ...]:
    """Return the log text for an invalid value, empty unless the value is too long."""
    quotes = 2 if value.startswith(b'"') else 0
    if len(value) <= longest + quotes or value[0] not in b'"-0123456789':
        return ()
    return (f"A value can have at most {longest} characters.",)


def _text(raw: msgspec.Raw) -> str | None:
    """Return a JSON string decoded, None for anything else."""
    encoded = bytes(raw)
    return jsontext.loads(encoded) if encoded.startswith(b'"') else None
