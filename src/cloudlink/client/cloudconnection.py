"""`connect_cloud`: the cloud variables of a Scratch project, for asyncio programs and bots.

async with cloudlink.connect_cloud("ws://127.0.0.1:3000/", "104", "bot") as cloud:
    await cloud.set("☁ score", cloud.get("☁ score", 0) + 1)
    async for change in cloud:
        print(change.name, change.value)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.client.backoff import Backoff
from cloudlink.client.cloudsession import CloudSession, is_final, same
from cloudlink.client.errors import StaleValueError
from cloudlink.client.events import CloudChange
from cloudlink.client.reconnecting import ReconnectingClient
from cloudlink.client.socket import Options
from cloudlink.cloudvalues import check

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Iterable, Mapping

    from cloudlink.client.errors import ClientError
    from cloudlink.cloudvalues import Value


def connect_cloud(
    url: str,
    project_id: str | int,
    username: str,
    *,
    text_values: bool = False,
    timeout: float = 10.0,
    reconnect: bool = True,
    max_queue: int = 1000,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> CloudConnection:
    """Describe a connection to the variables of a project; `async with` opens it.

    Args:
        url: The ws or wss address of the server, CloudLink's or any other cloud host.
        project_id: The project, such as 104.
        username: 1 to 20 letters, digits, `_` and `-`.
        text_values: Whether the host takes any text as a value (setting `cloud_text_values`).
        timeout: Seconds for connecting and for the values of the beginning.
        reconnect: Whether to come back when the connection breaks.
        max_queue: Changes that may wait to be looked at before reading pauses.
        ssl: The TLS context of a wss address; None trusts what this machine trusts.
        proxy: The address of a proxy to go through, such as `socks5://127.0.0.1:1080`.
        headers: Further headers of the request.
    """
    options = Options(ssl=ssl, proxy=proxy, headers=headers or {}, timeout=timeout)
    return CloudConnection(
        url,
        str(project_id),
        username,
        options,
        text_values=text_values,
        reconnect=reconnect,
        max_queue=max_queue,
    )


class CloudConnection(ReconnectingClient[CloudSession, CloudChange]):
    """A connection to the cloud variables of a project, made by `connect_cloud`.

    Iterating gives the changes that others make. When the connection has been away, the values are those that the
    server has then; those that differ come as changes.
    """

    def __init__(
        self,
        url: str,
        project_id: str,
        username: str,
        options: Options,
        *,
        text_values: bool,
        reconnect: bool,
        max_queue: int,
    ) -> None:
        super().__init__(url, options, reconnect=reconnect, max_queue=max_queue, backoff=Backoff())
        self.project_id = project_id
        self.username = username
        self._text_values = text_values

    @property
    def variables(self) -> dict[str, Value]:
        """All values as they are now, by full name."""
        return {} if self._session is None else dict(self._session.variables)

    def get(self, name: str, default: Value | None = None) -> Value | None:
        """Return the value that a variable has now, or the default if there is no such variable."""
        return default if self._session is None else self._session.variables.get(name, default)

    async def set(self, name: str, value: Value) -> None:
        """Set a variable, making it if there is none.

        While the connection is away this waits until it is back, and then sets the variable only if it still has
        the value it had here: what was worked out from an old value does not overwrite a newer one.

        Args:
            name: The full name, such as `☁ score`.
            value: A finite number, or text of digits with at most one `.` and an optional `-`.

        Raises:
            StaleValueError: Somebody else has changed it while the connection was away.
            TypeError, ValueError: A variable cannot have such a value.
            ClientError: The connection has ended and does not come back.
        """
        check(value, text_allowed=self._text_values)
        known = self.get(name)
        was_away = not self.is_connected
        session = await self._session_in_place()
        if was_away and not same(session.variables.get(name), known):
            raise StaleValueError(name, session.variables.get(name))
        session.set(name, value)
        await self._flush()

    def _new_session(self, *, again: bool) -> CloudSession:
        return CloudSession(self.project_id, self.username, self.variables if again else None)

    def _is_final(self, error: ClientError) -> bool:
        return is_final(error)

    def _events_of_end(self, error: ClientError, retry_in: float) -> Iterable[CloudChange]:  # noqa: ARG002
        return ()
