"""What the methods need of the server that they administer.

`cloudlink.server` implements it, and the tests do without a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloudlink.admin.host import Away, Player
    from cloudlink.slices import Slices


class Sample(NamedTuple):
    """The state of a server at one moment; messages, frames and bytes are totals since its start.

    Attributes:
        clients: Number of connected clients.
        rooms: Number of rooms, those of other processes included.
        messages_in: Messages from clients.
        bytes_in: Bytes of these messages.
        frames_out: Frames to clients, one for each recipient.
        bytes_out: Bytes of these frames.
        memory: Memory of the process, in bytes; 0 if unknown.
        loop_delay: Seconds by which the event loop ran late, at most, since the last sample.
    """

    clients: int
    rooms: int
    messages_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int
    memory: int
    loop_delay: float


class ServerView(Protocol):
    """One server."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function in the server's thread, from any thread."""
        ...

    def sample(self) -> Slices[Sample]:
        """Return the state of the server now."""
        ...

    # Clients.

    def players(self, *, after: int | None = None, reverse: bool = False) -> Iterator[Player]:
        """Yield the connected clients, the earliest first; they may come and go meanwhile.

        Args:
            after: The id of the client after which to begin, None for the beginning. It need not be connected.
            reverse: Whether to begin with the latest.
        """
        ...

    def label(self, player: Player) -> str:
        """Return the word for a client's protocol: `cl4`, `scratch`, `other` or `unidentified`."""
        ...

    def count_players(self) -> int:
        """Return the number of connected clients."""
        ...

    def player(self, client_id: str) -> Player | None:
        """Return the client of that id, None if it is not connected."""
        ...

    def away(self, client_id: str) -> Away | None:
        """Return the client of another process of that id, None if it is not known here."""
        ...

    def all_away(self) -> Iterator[Away]:
        """Yield the clients of other processes; they may come and go meanwhile."""
        ...

    def describe(self, player: Player, *, in_full: bool) -> dict[str, Any]:
        """Return what is known about a client.

        Args:
            player: The client.
            in_full: Whether to name all its rooms, instead of the first few, and its origin.

        Returns:
            `id uuid name protocol dialect rooms rooms_total since messages_in bytes_in queued_bytes`, and `origin` if
            `in_full`.
        """
        ...

    # Rooms and cloud variables.

    def rooms(self) -> list[str]:
        """Return the names of the rooms of all protocols."""
        ...

    def count_in(self, room: str) -> int | None:
        """Return the number of clients in a room, None if there is no such room."""
        ...

    def projects(self) -> list[str]:
        """Return the ids of the cloud projects in memory."""
        ...

    def describe_project(self, project: str) -> dict[str, Any] | None:
        """Return `project clients variables bytes` of a cloud project, None if it is not in memory."""
        ...

    def variables(self, project: str) -> dict[str, bytes]:
        """Return the cloud variables of a project, name to JSON text; empty if it has none."""
        ...

    def is_open(self, project: str) -> bool:
        """Return whether a cloud project is in memory."""
        ...

    def set_variable(self, project: str, name: str, value: str | float) -> None:
        """Set a cloud variable, also for its players. Raises `AdminError`: `invalid unavailable`."""
        ...

    def delete_variable(self, project: str, name: str) -> None:
        """Delete a cloud variable. Raises `AdminError`: `not_found unavailable`."""
        ...

    # The server itself.

    def plugins(self) -> list[dict[str, Any]]:
        """Return `name commands events` of each plugin that has handlers."""
        ...

    def settings(self) -> list[dict[str, Any]]:
        """Return `name value unit origin` of each setting; secrets are hidden."""
        ...

    def reload(self) -> dict[str, Any]:
        """Read certificates and settings again; `{changed, needs_restart}`. Raises `AdminError`: `invalid`."""
        ...

    def bridges(self) -> list[dict[str, Any]]:
        """Return `name kind url up paused reason users received sent dropped rooms projects rate byte_rate` of each bridge."""
        ...

    def set_bridge(self, name: str, *, paused: bool) -> None:
        """Pause or resume a bridge. Raises `AdminError`: `not_found conflict`."""
        ...

    def commands(self) -> list[dict[str, Any]]:
        """Return `name protocol disabled builtin` of each command."""
        ...

    def set_command(self, name: str, *, disabled: bool) -> None:
        """Disable or enable a command of CloudLink 4. Raises `AdminError`: `not_found conflict`."""
        ...

    def switched_commands(self) -> dict[str, bool]:
        """Return the commands that `set_command` has disabled (True) or enabled (False) since the start."""
        ...


class NoServerView:
    """Replaces the server in a program that administers the file without one; nobody is connected, and nothing is set."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function."""
        callback()

    def sample(self) -> Slices[Sample]:
        """Return nothing but zeros."""
        yield from ()
        return Sample(0, 0, 0, 0, 0, 0, 0, 0.0)

    def player(self, client_id: str) -> None:
        """Return None."""

    def count_players(self) -> int:
        """Return 0."""
        return 0
