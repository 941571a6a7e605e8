"""CloudLink 4: identifies clients, answers their packets, and lends plugins its tools.

The way of a packet: parsed and checked, its command looked up in the hooks, the built-in handler run in
place, plugins' handlers started beside it. Mistakes are answered here, with the packet's listener.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudlink import addresses, jsontext
from cloudlink.server.exceptions import Overloaded
from cloudlink.server.hooks import Command
from cloudlink.server.schemas import validation_errors

from .answers import Answers, listener_of
from .commands import USERNAME_REQUIRED, Commands
from .dialects import CL4, DEFAULT_ROOM, DIALECTS, MODERN, UNDECIDED, Greeting, detect, user_object
from .legacycommands import LegacyCommands
from .packet import Packet, SyntaxProblem, as_name, parse
from .schema import Schema
from .statuscodes import Dropped, Refusal, StatusCodes
from .userlists import UserLists

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.api import PluginAPI
    from cloudlink.server.clients import Client

    from .dialects import Dialect
    from .packet import Details
    from .statuscodes import StatusCode

logger = logging.getLogger("cloudlink.server")

_OPCODE_START = b"<%"
_UNKNOWN_COMMAND = Command()


class Clpv4:
    """CloudLink 4 on a server; plugins know it as `clpv4(server)` (protocol, section 2.5).

    Attributes:
        schema: The protocol's identity and its Cerberus rules.
        statuscodes: Every status code.
        variable_listeners: Called with room, name and value (JSON texts) of each gvar, once per room.
        real_ip_header: Header whose first address a client is shown as its own, None for none.
        enable_motd: Whether the message of the day is sent in the handshake.
        motd_message: The message of the day.
        warn_if_multiple_username_matches: Whether a private message to a name that several clients
            have is refused; otherwise all of them get it.
    """

    schema = Schema
    statuscodes = StatusCodes
    slow_reader_code = 1013

    def __init__(self, server: PluginAPI) -> None:
        """Register CloudLink 4 and its commands with a server."""
        self.server = server
        self._hooks = server.hooks
        self._settings = server.settings
        self._enable_motd = bool(server.settings.motd)
        self.variable_listeners: list[Callable[[str, bytes, bytes], None]] = []
        self.userlists = UserLists(server.rooms_manager, server.delivery, server.later, server.limits)
        self._hooks.protocol_tick.append(self.userlists.forget_encoded)
        self._dialects = DIALECTS if server.settings.legacy else MODERN
        builtin = Commands(self)
        self._legacy_commands = LegacyCommands(self, builtin)
        self._answers = Answers(self._hooks)
        self._commands = self._hooks.commands.setdefault(Schema, {})
        for name, function in builtin.all().items():
            self._hooks.bind_native(Schema, name, function)
        for name in self._settings.disabled_commands:
            self._hooks.command(Schema, name).disabled = True
        self._hooks.engines[Schema] = self

    # Settings that CloudLink 0.2.0 has as attributes.

    @property
    def enable_motd(self) -> bool:
        """Whether the message of the day is sent in the handshake."""
        return self._enable_motd

    @enable_motd.setter
    def enable_motd(self, value: bool) -> None:
        self._enable_motd = value

    @property
    def motd_message(self) -> str:
        """The message of the day."""
        return self._settings.motd

    @motd_message.setter
    def motd_message(self, value: str) -> None:
        self._settings.set("motd", value)

    @property
    def real_ip_header(self) -> str | None:
        """Header whose first address a client is shown as its own."""
        return self._settings.real_ip_header or None

    @real_ip_header.setter
    def real_ip_header(self, value: str | None) -> None:
        self._settings.set("real_ip_header", value or "")

    @property
    def warn_if_multiple_username_matches(self) -> bool:
        """Whether a private message to a name that several clients have is refused."""
        return self._settings.warn_ambiguous_names

    @warn_if_multiple_username_matches.setter
    def warn_if_multiple_username_matches(self, value: bool) -> None:
        self._settings.set("warn_ambiguous_names", value)

    # The protocol's side of a session.

    def identify(self, data: bytes, packet: object) -> bool:
        """Take any object with a text `cmd`, and an opcode of CloudLink 2.

        What else is wrong with it is answered, not closed.
        """
        if self._settings.legacy and data.startswith(_OPCODE_START):
            return True
        return isinstance(packet, dict) and isinstance(packet.get("cmd"), str)

    def on_attach(self, client: Client) -> None:
        """Put a new client into the default room; nobody is told."""
        client.dialect = UNDECIDED if self._settings.legacy else CL4
        self.server.rooms_manager.subscribe(client, DEFAULT_ROOM)

    def on_detach(self, client: Client) -> None:
        """Tell the members of the client's rooms that it is gone."""
        self._legacy_commands.forget(client)
        self.userlists.announce_gone(client, sorted(client.rooms))

    def receive_binary(self, client: Client, data: bytes) -> None:
        """Treat a binary message as text."""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            self._greet_implicitly(client)
            self._answers.json_error(client, error)
        else:
            self.receive(client, data)

    def receive(self, client: Client, data: bytes) -> None:
        """Handle one message."""
        if not client.dialect.is_settled:
            self.decide(client, data)
        try:
            packet = client.dialect.read(data)
        except (SyntaxProblem, Refusal, jsontext.JSONTextError) as mistake:
            self._answer_unreadable(client, data, mistake)
            return
        if packet is None:  # it means nothing in the client's dialect
            return
        if not client.handshake and packet.cmd != "handshake":
            self._greet_implicitly(client)
        command = self._commands.get(packet.cmd, _UNKNOWN_COMMAND)
        native = command.native
        dialect = client.dialect
        if dialect.own_commands or dialect.routes_unknown:
            native = self._legacy_commands.find(dialect, packet, is_known=command.known) or native
        if command.disabled:
            self._answers.disabled(client, packet)
        elif native is None and not command.handlers:
            self._answers.invalid(client, packet)
        else:
            self._run(command, native, client, packet)

    def _run(
        self,
        command: Command,
        native: Callable[[Client, Packet], None] | None,
        client: Client,
        packet: Packet,
    ) -> None:
        hooks = self._hooks
        message = None
        if command.handlers or hooks.message:
            try:
                message = packet.message()  # before the command runs: what cannot be decoded has no effect
            except jsontext.JSONTextError as error:
                self._answers.json_error(client, error, packet.listener)
                return
        if native is not None:
            self._run_native(native, client, packet)
        if message is not None:
            hooks.run_command(command, client, message, self)
            hooks.run(hooks.message, client, message)

    def _run_native(self, native: Callable[[Client, Packet], None], client: Client, packet: Packet) -> None:
        try:
            native(client, packet)
        except Dropped:
            pass
        except Refusal as refusal:
            self._answers.refusal(client, packet, refusal)
        except SyntaxProblem as problem:
            self._answers.syntax(client, problem)
        except jsontext.JSONTextError as error:  # JSON, but beyond what can be decoded
            self._answers.json_error(client, error, packet.listener)
        except Exception as error:  # noqa: BLE001  # one client's packet must not harm another
            self._hooks.failed(native, client, packet, self, error)

    def reject_packet(self, client: Client, data: bytes, why: str) -> None:
        """Answer a packet that was not processed with E:108."""
        listener = b""
        with suppress(SyntaxProblem, jsontext.JSONTextError):
            listener = parse(data).listener
        self._answers.status(client, StatusCodes.refused, listener, jsontext.dumps(why))
        self._hooks.report(client, Schema, Overloaded, why, why)

    def internal_error(self, client: Client, request: Packet | dict[str, Any]) -> None:
        """Answer a request whose handler raised."""
        self._answers.status(client, StatusCodes.internal_error, listener_of(request))

    # Dialects and greeting.

    def decide(self, client: Client, data: bytes) -> None:
        """Let a message decide the client's dialect; one of another era is greeted in its own way."""
        former = client.dialect
        dialect = detect(data, former, self._dialects, prefers_cl3=self._settings.undecided_clients == "cl3")
        if dialect is former:
            return
        self.server.rooms_manager.change_dialect(client, dialect)
        if dialect.greets_as != former.greets_as:
            self._legacy_commands.forget(client)
            client.handshake = False
        if dialect not in MODERN:
            logger.info("%s speaks %s.", client, dialect)
        if not client.handshake and dialect.greets_as != CL4.greets_as:
            self.greet(client)

    def greet(self, client: Client) -> None:
        """Tell a client what it is told first: in CL4 what a handshake is answered with, up to the status."""
        client.handshake = True
        dialect: Dialect = client.dialect
        address = self.get_client_ip(client) if self._settings.send_client_ip else None
        facts = Greeting(
            client=client,
            address=address or "",
            version=self._settings.reported_version,
            motd=self._settings.motd if self._enable_motd else "",
            lists=self.userlists.shown(client),
        )
        for frame in dialect.greeting(facts):
            client.session.send_frame(frame)

    def _greet_implicitly(self, client: Client) -> None:
        # TurboWarp drops whatever comes before the version, and locks a username set before it.
        if self._settings.implicit_greeting and not client.handshake:
            handshake = self._commands.get("handshake")
            if handshake is None or not handshake.disabled:
                self.greet(client)

    # Mistakes, and their answers.

    def _answer_unreadable(self, client: Client, data: bytes, mistake: Exception) -> None:
        if isinstance(mistake, Refusal):
            self._answers.refusal(client, None, mistake)
        elif isinstance(mistake, SyntaxProblem):
            self._greet_implicitly(client)
            self._answers.syntax(client, mistake)
        elif data:
            self._answers.json_error(client, mistake)
        else:
            self._answers.empty(client)

    # What plugins call.

    def valid(
        self, client: Client, message: dict[str, Any], schema: dict[str, Any], allow_unknown: bool = True
    ) -> bool:
        """Validate a message against Cerberus rules; an invalid one is answered with E:101.

        The client is answered as `send_statuscode` does.

        Args:
            client: Who sent the message.
            message: The message.
            schema: The rules, such as `clpv4.schema.gmsg` or a plugin's own.
            allow_unknown: Whether keys without a rule are fine.
        """
        errors: Details = validation_errors(message, schema, allow_unknown=allow_unknown)
        if errors:
            self._answers.syntax(client, SyntaxProblem(errors, listener_of(message)))
        return not errors

    def send_statuscode(
        self,
        client: Client,
        code: StatusCode,
        details: Any = None,
        message: dict[str, Any] | None = None,
        val: Any = None,
    ) -> None:
        """Send a status code.

        A client that has not said anything yet is taken for one of CloudLink 4. One of another protocol is
        sent nothing, and the log says so.

        Args:
            client: Who gets it.
            code: One of `clpv4.statuscodes`.
            details: Explanation, text or a dict of lists of texts.
            message: The request that is answered; its listener is echoed.
            val: Payload.
        """
        encoded_details = jsontext.dumps(details) if details else b""
        encoded_val = jsontext.dumps(val) if val is not None else b""
        self._answers.status(client, code, listener_of(message), encoded_details, encoded_val)

    def send_message(
        self, client: Client, payload: dict[str, Any], message: dict[str, Any] | None = None
    ) -> None:
        """Send a packet; the listener of the request it answers is added."""
        if message is not None and "listener" in message:
            payload = {**payload, "listener": message["listener"]}
        self.server.send_packet(client, payload)

    def send_variable(self, room_id: str, name: bytes, val: bytes) -> None:
        """Send a variable to everybody in a room, on nobody's behalf.

        Args:
            room_id: The room; nothing happens if nobody is there.
            name: JSON text of the variable's name, a JSON string.
            val: JSON text of its value.
        """
        members = self.server.rooms_manager.members(room_id, Schema)
        if members is not None:
            room = self.server.rooms_manager.rooms[room_id]
            for dialect, audience in members.audiences.items():
                self.server.delivery.broadcast(audience, dialect.variable(name, val, room))

    def require_username_set(self, client: Client, message: dict[str, Any]) -> bool:
        """Tell whether the client has a username; one that has none is answered with E:111."""
        if not client.username_set:
            self._answers.refusal(client, message, Refusal(StatusCodes.id_required, USERNAME_REQUIRED))
        return client.username_set

    def gather_rooms(self, client: Client, message: dict[str, Any]) -> set[str]:
        """Return the rooms a message names, or else all the client is in."""
        if "rooms" not in message:
            return set(client.rooms)
        rooms = message["rooms"]
        return {as_name(room) for room in (rooms if isinstance(rooms, (list, set, tuple)) else [rooms])}

    def generate_user_object(self, obj: Client) -> dict[str, str]:
        """Return a client's user object: `id`, `uuid` and, if set, `username`."""
        user: dict[str, str] = jsontext.loads(user_object(obj))
        return user

    def get_client_ip(self, client: Client) -> str | None:
        """Return the address a client is shown as its own, None if it is unknown."""
        header = self._settings.real_ip_header
        return addresses.shown_address(client.remote_address, client.request_headers, header)
