"""The real server with the dashboard, and players in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from cloudlink.admin.actors import SERVER
from tests.support.adminwire import FakeHasher
from tests.support.memoryclients import MemoryClient
from tests.support.sanctioning import list_mutes
from tests.support.servers import HOST, build

if TYPE_CHECKING:
    from cloudlink.server.app import Server


class Player:
    """Somebody who plays."""

    def __init__(self, server: Server, name: str, address: str, headers: dict[str, str] | None) -> None:
        self._client = MemoryClient(server, address=address, headers=headers or {})
        self._client.say({"cmd": "handshake", "val": {"language": "Python", "version": "0.2.0"}})
        if name:
            self.says({"cmd": "setid", "val": name, "listener": "name"})

    @property
    def id(self) -> str:
        return self._client.client.snowflake

    @property
    def closed(self) -> tuple[int, str] | None:
        """The code and the reason with which the server has closed the connection."""
        return self._client.connection.closed

    def says(self, packet: dict[str, Any]) -> list[Any]:
        """Send a packet and return what is heard since the last time."""
        return self._client.ask(packet)

    def leaves(self) -> None:
        """Disconnect."""
        self._client.session.connection_lost()


class RealHost:
    """The server, with its administration in memory, and without the seconds that hashes of passwords take."""

    def __init__(self, **settings: Any) -> None:
        self.server = build({"admin_storage": "", "cloud": True, **settings})

    async def __aenter__(self) -> Self:
        await self.server.start(HOST, 0)
        self.core.hasher = FakeHasher()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.server.stop()

    @property
    def core(self) -> Any:
        """The administration."""
        return self.server.administration.wire.core

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server.port}/admin"

    @property
    def url(self) -> str:
        """What players connect to."""
        return f"ws://{HOST}:{self.server.port}/"

    @property
    def link(self) -> str:
        return self.server.administration.link()

    def join(self, name: str, address: str = "203.0.113.5", headers: dict[str, str] | None = None) -> Player:
        """Let somebody play."""
        return Player(self.server, name, address, headers)

    def plays_scratch(
        self, project: str, *variables: tuple[str, str], user: str = "scratcher", address: str = "203.0.113.9"
    ) -> None:
        """Let somebody play a Scratch project and set cloud variables of it, each a name and a value."""
        about = {"user": user, "project_id": project}
        setting = [{"method": "set", **about, "name": name, "value": value} for name, value in variables]
        MemoryClient(self.server, {"method": "handshake", **about}, *setting, address=address)

    def drop_everybody(self) -> None:
        """Break all connections without a word, as a network does."""
        for connection in tuple(self.server._endpoint.connections):
            connection.abort()

    def add_account(self, name: str, password: str, role: str) -> None:
        """Make an account."""
        self.core.accounts.add(name, role, f"hash of {password}").result()

    def set_role(self, name: str, role: str) -> None:
        """Change the role of an account, which ends its sessions."""
        self.core.accounts.set(name, role=role).result()

    @property
    def accounts(self) -> dict[str, str]:
        """The roles of the accounts, by name."""
        return {account.name: account.role for account in self.core.accounts.all()}

    @property
    def bans(self) -> list[dict[str, Any]]:
        return self.server.sanctions.list_bans(SERVER)["items"]

    @property
    def mutes(self) -> list[dict[str, Any]]:
        return list_mutes(self.server.sanctions, SERVER)["items"]

    @property
    def filters(self) -> list[dict[str, Any]]:
        return self.server.sanctions.list_filters(SERVER)["items"]

    def rules(self, room: str) -> dict[str, Any]:
        """The rules of a room."""
        rules = self.server.sanctions.room_rules(room)
        return {name: rules[name] for name in ("locked", "frozen", "slow")}

    @property
    def mode(self) -> str:
        return self.server.sanctions.mode
