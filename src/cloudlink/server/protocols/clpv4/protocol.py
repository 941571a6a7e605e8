"""The CloudLink 4 protocol object: connects its parts, and offers helpers to plugins (protocol, section 2.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.server.schemas import validation_errors
from cloudlink.server.shadowhub import ShadowHub

from .addressing import USERNAME_REQUIRED, Addressing
from .answers import Answers, listener_of
from .channels import Channels
from .commands import Commands
from .dialects import user_object
from .engine import Clpv4Engine
from .greeting import Greeter
from .legacycommands import LegacyCommands
from .packet import SyntaxProblem, as_name
from .packetjudge import PacketJudge
from .roomstates import RoomStates
from .schema import Schema
from .statuscodes import Refusal, StatusCodes
from .userlists import UserLists
from .usernames import UsernameRules

if TYPE_CHECKING:
    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client

    from .packet import Details
    from .statuscodes import StatusCode


class Clpv4:
    """CloudLink 4 on a server; plugins create it with `clpv4(server)` (protocol, section 2.5).

    Attributes:
        schema: The protocol's identity and its Cerberus rules.
        statuscodes: All status codes.
        real_ip_header: Header whose first address is shown to a client as its own, None for none.
        enable_motd: Whether the message of the day is sent in the handshake.
        motd_message: The message of the day.
        warn_if_multiple_username_matches: Whether a private message is refused if several clients have the
            recipient's name; otherwise all of them get it.
    """

    schema = Schema
    statuscodes = StatusCodes

    def __init__(self, server: PluginAPI) -> None:
        """Register CloudLink 4 and its commands with a server."""
        hooks = server.hooks
        self.server = server
        self._settings = server.settings
        self._answers = Answers(hooks)
        channels = Channels()
        lists = UserLists(server.rooms_manager, server.hub, server.delivery, server.later, server.limits)
        states = self._room_states = RoomStates(server, lists)
        self._greeter = Greeter(server, lists, states, channels)
        usernames = UsernameRules(server)
        addressing = Addressing(server, lists)
        commands = Commands(server, addressing, lists, states, self._greeter, usernames)
        legacy = LegacyCommands(server, addressing, lists, commands, channels)
        shadow = ShadowHub(server.hub, server.clients_manager, server.delivery)
        hidden = Commands(server, addressing, lists, states, self._greeter, usernames, shadow)
        hidden_legacy = LegacyCommands(server, addressing, lists, hidden, channels, shadow)
        judge = PacketJudge(self._answers, addressing, shadow, hidden, hidden_legacy)
        for name, handler in commands.handlers().items():
            hooks.bind_native(Schema, name, handler)
        self._disabled: set[str] = set()
        self._apply_disabled_commands()
        server.settings.on_change(self._follow_setting)
        hooks.protocol_tick.append(lists.forget_encoded)
        server.cluster.share(Schema, "cl4")
        hooks.engines[Schema] = Clpv4Engine(
            server, self._answers, lists, self._greeter, usernames, legacy, judge
        )

    def _apply_disabled_commands(self) -> None:
        """Disable the commands of the setting, and enable those that it no longer names."""
        names = set(self._settings.disabled_commands)
        for name in self._disabled ^ names:
            self.server.hooks.command(Schema, name).disabled = name in names
        self._disabled = names

    def _follow_setting(self, name: str) -> None:
        if name == "disabled_commands":
            self._apply_disabled_commands()
        elif name == "motd" and self._settings.origins[name] != "code":
            # In CloudLink 0.2.0 a program switches the message on by `enable_motd`, not by its text.
            self._greeter.enable_motd = bool(self._settings.motd)

    # Settings that CloudLink 0.2.0 has as attributes.

    @property
    def enable_motd(self) -> bool:
        """Whether the message of the day is sent in the handshake."""
        return self._greeter.enable_motd

    @enable_motd.setter
    def enable_motd(self, value: bool) -> None:
        self._greeter.enable_motd = value

    @property
    def motd_message(self) -> str:
        """The message of the day."""
        return self._settings.motd

    @motd_message.setter
    def motd_message(self, value: str) -> None:
        self._settings.set("motd", value)

    @property
    def real_ip_header(self) -> str | None:
        """Header whose first address is shown to a client as its own."""
        return self._settings.real_ip_header or None

    @real_ip_header.setter
    def real_ip_header(self, value: str | None) -> None:
        self._settings.set("real_ip_header", value or "")

    @property
    def warn_if_multiple_username_matches(self) -> bool:
        """Whether a private message is refused if several clients have the recipient's name."""
        return self._settings.warn_ambiguous_names

    @warn_if_multiple_username_matches.setter
    def warn_if_multiple_username_matches(self, value: bool) -> None:
        self._settings.set("warn_ambiguous_names", value)

    # Helpers for plugins.

    def valid(
        self, client: Client, message: dict[str, Any], schema: dict[str, Any], allow_unknown: bool = True
    ) -> bool:
        """Return whether a message satisfies Cerberus rules; if not, answer it with E:101.

        The answer is sent like those of `send_statuscode`.

        Args:
            client: The sender of the message.
            message: The message.
            schema: The rules, such as `clpv4.schema.gmsg` or a plugin's own.
            allow_unknown: Whether keys without a rule are allowed.
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

        A client that has not sent anything yet is treated as a CloudLink 4 client. A client of another
        protocol gets nothing, which is logged.

        Args:
            client: The recipient.
            code: One of `clpv4.statuscodes`.
            details: Explanation: text, or a dict of lists of texts.
            message: The request to answer; its listener is echoed.
            val: Payload.
        """
        encoded_details = jsontext.dumps(details) if details else b""
        encoded_val = jsontext.dumps(val) if val is not None else b""
        self._answers.status(client, code, listener_of(message), encoded_details, encoded_val)

    def send_message(
        self, client: Client, payload: dict[str, Any], message: dict[str, Any] | None = None
    ) -> None:
        """Send a packet with the listener of the request that it answers."""
        if message is not None and "listener" in message:
            payload = {**payload, "listener": message["listener"]}
        self.server.send_packet(client, payload)

    def require_username_set(self, client: Client, message: dict[str, Any]) -> bool:
        """Return whether the client has a username; if not, answer it with E:111."""
        if not client.username_set:
            self._answers.refusal(client, message, Refusal(StatusCodes.id_required, USERNAME_REQUIRED))
        return client.username_set

    def gather_rooms(self, client: Client, message: dict[str, Any]) -> set[str]:
        """Return the rooms that a message names, or otherwise all rooms that the client is in."""
        if "rooms" not in message:
            return set(client.rooms)
        rooms = message["rooms"]
        return {as_name(room) for room in (rooms if isinstance(rooms, (list, set, tuple)) else [rooms])}

    def generate_user_object(self, obj: Client) -> dict[str, str]:
        """Return a client's user object: `id`, `uuid` and, if set, `username`."""
        user: dict[str, str] = jsontext.loads(user_object(obj.user))
        return user

    def get_client_ip(self, client: Client) -> str | None:
        """Return the address that is shown to a client as its own, None if it is unknown."""
        return self._greeter.shown_address(client)
