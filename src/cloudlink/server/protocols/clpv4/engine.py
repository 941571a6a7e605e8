"""The engine of CloudLink 4: parses messages, runs commands and answers errors.

A packet is parsed and checked, its command is looked up in the hooks, the built-in handler is called, and
the plugins' handlers are called or started. Errors are answered with the packet's listener.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.admin.actors import AdminError
from cloudlink.closecodes import CloseCode
from cloudlink.server.client import write
from cloudlink.server.exceptions import Overloaded

from .answers import listener_of
from .dialects import DEFAULT_ROOM
from .packet import SyntaxProblem, parse
from .schema import Schema
from .statuscodes import Dropped, Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client
    from cloudlink.server.events import User
    from cloudlink.server.hooks import Command

    from .answers import Answers
    from .greeting import Greeter
    from .legacycommands import LegacyCommands
    from .packet import Packet
    from .packetjudge import PacketJudge
    from .userlists import UserLists
    from .usernames import UsernameRules

logger = logging.getLogger("cloudlink.admin")

_OPCODE_START = b"<%"
_MODERATE = "moderate"


class Clpv4Engine:
    """Serves the clients of CloudLink 4 and of all older eras; see `cloudlink.server.engine.Engine`."""

    schema = Schema
    label = "cl4"
    slow_reader_code = CloseCode.TRY_AGAIN_LATER

    def __init__(
        self,
        server: PluginAPI,
        answers: Answers,
        lists: UserLists,
        greeter: Greeter,
        usernames: UsernameRules,
        legacy: LegacyCommands,
        judge: PacketJudge,
    ) -> None:
        self._hooks = server.hooks
        self._settings = server.settings
        self._rooms = server.rooms_manager
        self._commands = server.hooks.commands.setdefault(Schema, {})
        self._unknown = server.hooks.unknown_command
        self._answers = answers
        self._lists = lists
        self._greeter = greeter
        self._usernames = usernames
        self._legacy = legacy
        self._judge = judge

    def identify(self, client: Client, data: bytes, packet: object) -> bool:  # noqa: ARG002  # the protocol of Engine
        """Return whether a first message is an object with a text `cmd`, or an opcode of CloudLink 2.

        Other errors in such a message are answered and do not close the connection.
        """
        if self._settings.legacy and data.startswith(_OPCODE_START):
            return True
        return isinstance(packet, dict) and isinstance(packet.get("cmd"), str)

    def on_attach(self, client: Client) -> None:
        """Add a new client to the default room without notifying others. Its `state` is the meter of what it may still send."""
        write(client, "dialect", self._greeter.initial_dialect)
        write(client, "state", client.session.meter)
        self._rooms.subscribe(client, DEFAULT_ROOM)

    def on_detach(self, client: Client) -> None:
        """Tell the members of the client's rooms that it disconnected."""
        self._legacy.forget(client)
        self._lists.announce_left(client, sorted(client.joined))

    def check_username(self, client: Client, username: str) -> None:
        """Raise `ValueError`, with the reason, if a client may not be given this name."""
        try:
            self._usernames.check(client, username)
        except Refusal as refusal:
            raise ValueError(refusal.details) from None

    def on_rename(self, client: Client, former: User) -> None:
        """Notify the members of the client's rooms, and send the client its user lists."""
        self._lists.announce_named(client, former)
        for room_id in sorted(client.joined):
            self._lists.show(client, room_id)

    def receive_binary(self, client: Client, data: bytes) -> None:
        """Treat a binary message as text."""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            self._greeter.greet_implicitly(client)
            self._answers.json_error(client, error)
        else:
            self.receive(client, data)

    def receive(self, client: Client, data: bytes) -> None:  # noqa: C901  # each packet is spared further calls
        """Handle one text message."""
        if not client.dialect.is_settled:
            self._greeter.decide(client, data)
        try:
            packet = client.dialect.read(data)
        except (SyntaxProblem, Refusal, jsontext.JSONTextError) as mistake:
            self._answer_unreadable(client, data, mistake)
            return
        if packet is None:  # it has no meaning in the client's dialect
            return
        if not client.handshake and packet.cmd != "handshake":
            self._greeter.greet_implicitly(client)
        command = self._commands.get(packet.cmd, self._unknown)
        command.calls += 1
        native = command.native
        dialect = client.dialect
        if dialect.own_commands or dialect.routes_unknown:
            native = self._legacy.find(dialect, packet, is_known=command.known) or native
        if command.disabled:
            self._answers.disabled(client, packet)
        elif native is None and not command.handlers:
            self._answer_unknown(client, packet)
        elif self._hooks.packet_policy is not None and not self._judge.admits(
            self._hooks.packet_policy, client, packet, command, self._run_native
        ):
            pass
        elif command.handlers or self._hooks.message:
            self._run_all(command, native, client, packet)
        elif native is not None:
            self._run_native(native, client, packet)

    def _run_all(
        self,
        command: Command,
        native: Callable[[Client, Packet], None] | None,
        client: Client,
        packet: Packet,
    ) -> None:
        """Call a command's native handler, then those of plugins."""
        try:
            # Before the command runs, so that a message that cannot be decoded has no effect.
            message = packet.message()
        except jsontext.JSONTextError as error:
            self._answers.json_error(client, error, packet.listener)
            return
        if native is not None:
            self._run_native(native, client, packet)
        self._hooks.run_command(command, client, message, self)
        self._hooks.run(self._hooks.message, client, message)

    def _run_native(self, native: Callable[[Client, Packet], None], client: Client, packet: Packet) -> None:
        try:
            native(client, packet)
        except Dropped:
            pass
        except Refusal as refusal:
            self._answers.refusal(client, packet, refusal)
        except SyntaxProblem as problem:
            self._answers.syntax(client, problem)
        except jsontext.JSONTextError as error:  # JSON that cannot be decoded
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

    def tell_undelivered(self, client: Client, listener: bytes, why: str) -> None:
        """Answer a message that a recipient did not get with E:108."""
        self._answers.status(client, StatusCodes.refused, listener, jsontext.dumps(why))

    def internal_error(self, client: Client, request: Packet | dict[str, Any]) -> None:
        """Answer a request whose handler raised."""
        self._answers.status(client, StatusCodes.internal_error, listener_of(request))

    # A command that nobody has registered.

    def _answer_unknown(self, client: Client, packet: Packet) -> None:
        """Run the command with which players moderate if an owner lets them; for all others, it does not exist."""
        moderation = self._hooks.moderation
        if moderation is None or packet.cmd != _MODERATE or not moderation.may_moderate(client):
            self._answers.invalid(client, packet)
            return
        try:
            result = moderation.run(client, jsontext.loads(packet.val) if packet.val else None)
        except AdminError as error:
            self._refuse_moderation(client, packet.listener, error)
        except jsontext.JSONTextError as error:
            self._answers.json_error(client, error, packet.listener)
        else:
            if isinstance(result, Future):
                result.add_done_callback(partial(self._answer_moderation, client, packet.listener))
            else:
                self._answers.status(client, StatusCodes.ok, packet.listener, val=jsontext.dumps(result))

    def _answer_moderation(self, client: Client, listener: bytes, later: Future[dict[str, Any]]) -> None:
        """Answer a player who moderates once the other processes of the server have acted."""
        error = later.exception()
        if error is None:
            self._answers.status(client, StatusCodes.ok, listener, val=jsontext.dumps(later.result()))
        elif isinstance(error, AdminError):
            self._refuse_moderation(client, listener, error)
        else:
            logger.error("A player's command moderate failed.", exc_info=error)
            self._answers.status(client, StatusCodes.internal_error, listener)

    def _refuse_moderation(self, client: Client, listener: bytes, error: AdminError) -> None:
        self._answers.status(client, StatusCodes.refused, listener, jsontext.dumps(error.message))

    # Errors.

    def _answer_unreadable(self, client: Client, data: bytes, mistake: Exception) -> None:
        if isinstance(mistake, Refusal):
            self._answers.refusal(client, None, mistake)
        elif isinstance(mistake, SyntaxProblem):
            self._greeter.greet_implicitly(client)
            self._answers.syntax(client, mistake)
        elif data:
            self._answers.json_error(client, mistake)
        else:
            self._answers.empty(client)
