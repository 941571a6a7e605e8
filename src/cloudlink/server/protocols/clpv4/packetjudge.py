"""Judges packets by the rules of the host before their commands run: mutes, rules of rooms, filters.

Only packets that reach others are judged. Greeting, name, rooms and user lists go on for a muted client.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cloudlink import jsontext

from .dialects.cl2_early import (
    CHANNEL_MESSAGE,
    CHANNEL_VARIABLE,
    JOIN_CHANNEL,
    LEAVE,
    LEAVE_CHANNEL,
    LINKED_MESSAGE,
    LINKED_VARIABLE,
    REFRESH,
)
from .packet import SyntaxProblem
from .statuscodes import Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.admin.filters import Scope
    from cloudlink.admin.policy import Policy, Verdict
    from cloudlink.server.client import Client
    from cloudlink.server.hooks import Command
    from cloudlink.server.shadowhub import ShadowHub

    from .addressing import Addressing
    from .answers import Answers
    from .commands import Commands
    from .legacycommands import LegacyCommands
    from .packet import Packet

    Handler = Callable[[Client, Packet], None]

_FREE = frozenset({"handshake", "link", "unlink"})
_FREE_IN_ERA = frozenset({REFRESH, LEAVE, JOIN_CHANNEL, LEAVE_CHANNEL, "ulist"})
"""Commands of older eras that reach nobody else."""
_VARIABLES = frozenset({"gvar", "pvar", CHANNEL_VARIABLE, LINKED_VARIABLE})
_OUTSIDE_ROOMS = frozenset({"direct", CHANNEL_MESSAGE, CHANNEL_VARIABLE, LINKED_MESSAGE, LINKED_VARIABLE})


class PacketJudge:
    """Judges the packets of one server's clients.

    Args:
        answers: Sends the refusals.
        addressing: Finds the rooms of a packet.
        hub: The hub of hidden mutes, which `commands` and `legacy` use.
        commands: The built-in commands for senders with a hidden mute.
        legacy: The commands of older eras for them.
    """

    def __init__(
        self,
        answers: Answers,
        addressing: Addressing,
        hub: ShadowHub,
        commands: Commands,
        legacy: LegacyCommands,
    ) -> None:
        self._answers = answers
        self._addressing = addressing
        self._hub = hub
        self._commands: dict[str, Handler] = commands.handlers()
        self._legacy = legacy

    def admits(
        self, policy: Policy, client: Client, packet: Packet, command: Command, run: Callable[..., None]
    ) -> bool:
        """Return whether a packet passes; filters may have changed its value. If not, it has been answered.

        Args:
            policy: The rules.
            client: The sender.
            packet: The packet.
            command: Its command.
            run: Runs a handler and answers its refusals.
        """
        cmd, dialect = packet.cmd, client.dialect
        if cmd == "setid":
            return self._settle(
                client, packet, partial(policy.judge_name, client, packet.message), command, run
            )
        if cmd in _FREE or (cmd == "ping" and not (packet.id and dialect.own_commands)):
            return True
        if cmd in _FREE_IN_ERA and cmd in dialect.own_commands:
            return True
        scope: Scope = "variables" if cmd in _VARIABLES else "messages"
        rooms = self._rooms_of(client, packet) if len(policy.rooms) else ()
        judge = partial(policy.judge, client, rooms, packet.val, scope, packet.message)
        return self._settle(client, packet, judge, command, run)

    def _settle(
        self,
        client: Client,
        packet: Packet,
        judge: Callable[[], Verdict | None],
        command: Command,
        run: Callable[..., None],
    ) -> bool:
        """Do what a verdict says; return whether the packet passes."""
        try:
            verdict = judge()
        except jsontext.JSONTextError as error:  # no filter can look at it
            self._answers.json_error(client, error, packet.listener)
            return False
        if verdict is None:
            return True
        if verdict.val:
            packet.amend(val=verdict.val)
        if verdict.hidden:
            self._run_hidden(client, packet, command, run)
        elif verdict.val:
            return True
        elif packet.listener or client.session.take_answer():
            self._answers.status(client, StatusCodes.refused, packet.listener, jsontext.dumps(verdict.text))
        return False

    def _run_hidden(self, client: Client, packet: Packet, command: Command, run: Callable[..., None]) -> None:
        """Answer and echo a packet as if it was sent. A plugin's command is silent, since its answer is not known."""
        self._hub.sender = client
        handler = None
        dialect = client.dialect
        if dialect.own_commands or dialect.routes_unknown:
            handler = self._legacy.find(dialect, packet, is_known=command.known)
        if handler is None and command.native is not None:
            handler = self._commands.get(packet.cmd)
        if handler is not None:
            run(handler, client, packet)

    def _rooms_of(self, client: Client, packet: Packet) -> Iterable[str]:
        if packet.cmd in _OUTSIDE_ROOMS:
            return ()
        try:
            return self._addressing.room_ids(client, packet)
        except (Refusal, SyntaxProblem, jsontext.JSONTextError):  # the command answers that
            return client.joined
