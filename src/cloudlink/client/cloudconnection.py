"""`connect_cloud`: the cloud variables of a Scratch project, for asyncio programs and bots.

async with cloudlink.connect_cloud("ws://127.0.0.1:3000/", "104", "bot") as cloud:
    await cloud.set("☁ score", cloud.get("☁ score", 0) + 1)
    async for change in cloud:
        print(change.name, change.value)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloudlink.client.cloudsession import CloudSession, same
from cloudlink.client.errors import StaleValueError
from cloudlink.client.events import CloudChange
from cloudlink.client.reconnecting import MAX_QUEUE, MAX_QUEUE_BYTES, ReconnectingClient
from cloudlink.client.retries import is_final_for_cloud, shortest_delay_for_cloud
from cloudlink.client.socket import Options
from cloudlink.cloudvalues import PREFIXES, check
from cloudlink.text import printable

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Mapping, Sequence

    from cloudlink.client.errors import ClientError
    from cloudlink.cloudvalues import Value

logger = logging.getLogger("cloudlink.client")


def connect_cloud(
    url: str,
    project_id: str | int,
    username: str,
    *,
    text_values: bool = False,
    timeout: float = 10.0,
    wait: bool = False,
    reconnect: bool = True,
    max_queue: int = MAX_QUEUE,
    max_queue_bytes: int = MAX_QUEUE_BYTES,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> CloudConnection:
    """Describe a connection to the variables of a project; `async with` opens it.

    Args:
        url: The ws or wss address of the server, CloudLink's or any other cloud host.
        project_id: The project, such as 104.
        username: 1 to 20 letters, digits, `_` and `-`.
        text_values: Whether the host accepts any text as a value (setting `cloud_text_values`).
        timeout: Seconds for connecting and for the initial values.
        wait: Whether to wait for a server that is not running yet; as for `connect`.
        reconnect: Whether to connect again when the connection breaks.
        max_queue: Changes that may wait in the queue before reading pauses.
        max_queue_bytes: Bytes that these may have, before reading pauses; as for `connect`.
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
        wait=wait,
        reconnect=reconnect,
        max_queue=max_queue,
        max_queue_bytes=max_queue_bytes,
    )


class CloudConnection(ReconnectingClient[CloudSession, CloudChange]):
    """A connection to the cloud variables of a project, made by `connect_cloud`.

    Iterating yields the changes that other clients make. After a reconnection the values are those of the server;
    values that differ from before are yielded as changes.
    """

    def __init__(
        self,
        url: str,
        project_id: str,
        username: str,
        options: Options,
        *,
        text_values: bool,
        wait: bool,
        reconnect: bool,
        max_queue: int,
        max_queue_bytes: int,
    ) -> None:
        super().__init__(
            url,
            options,
            wait=wait,
            reconnect=reconnect,
            max_queue=max_queue,
            max_queue_bytes=max_queue_bytes,
        )
        self.project_id = project_id
        self.username = username
        self._text_values = text_values
        self._prefix_warned = False

    @property
    def variables(self) -> dict[str, Value]:
        """The current values of all variables, by full name."""
        return {} if self._session is None else dict(self._session.variables)

    def get(self, name: str, default: Value | None = None) -> Value | None:
        """Return the current value of a variable, or the default if the variable does not exist."""
        self._warn_without_prefix("get", name)
        return self._value(name, default)

    async def set(self, name: str, value: Value) -> None:
        """Set a variable; it is created if it does not exist.

        During a disconnection this waits for the reconnection, and then sets the variable only if the server still has
        the value that was known here: a value computed from an old one does not overwrite a newer one.

        Args:
            name: The full name, such as `☁ score`. Without the cloud and the space in front, Scratch projects do not see the variable;
                the first such name is logged as a warning.
            value: A finite number, or text of digits with at most one `.` and an optional `-`.

        Raises:
            StaleValueError: Another client changed it during the disconnection.
            TypeError, ValueError: A variable cannot have such a value.
            ClientError: The connection has ended for good.
        """
        check(value, text_allowed=self._text_values)
        self._warn_without_prefix("set", name)
        known = self._value(name)
        session = await self._connected_session()
        if not same(session.variables.get(name), known):
            raise StaleValueError(name, session.variables.get(name))
        session.set(name, value)
        await self._flush()

    def _new_session(self, *, again: bool) -> CloudSession:
        return CloudSession(self.project_id, self.username, self.variables if again else None)

    def _is_final(self, error: ClientError) -> bool:
        return is_final_for_cloud(error)

    def _shortest_delay(self, error: ClientError) -> float:
        return shortest_delay_for_cloud(error)

    def _disconnect_events(self, error: ClientError, retry_in: float) -> Sequence[CloudChange]:  # noqa: ARG002  # none
        return ()

    def _value(self, name: str, default: Value | None = None) -> Value | None:
        return default if self._session is None else self._session.variables.get(name, default)

    def _warn_without_prefix(self, method: str, name: str) -> None:
        """Log a name that no Scratch project has, once per connection; a variable may have it on other hosts."""
        if self._prefix_warned or name.startswith(PREFIXES) or name in self.variables:
            return
        self._prefix_warned = True
        shown = printable(name)
        logger.warning(
            'Scratch projects do not see the cloud variable "%s", because its name does not begin with "%s"; '
            'write %s("%s%s", ...).',
            shown,
            PREFIXES[0],
            method,
            PREFIXES[0],
            shown,
        )
