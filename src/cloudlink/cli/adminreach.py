"""How `cloudlink admin` reaches an administration: the server that runs, or else the file `admin_storage` itself.

Both answer the same requests, because the file is administered by the same code that a server runs.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import ssl
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from cloudlink.admin import keyfile
from cloudlink.errors import StartError

if TYPE_CHECKING:
    from types import TracebackType

    from cloudlink.admin.keyfile import Key
    from cloudlink.client.socket import Socket
    from cloudlink.settings import Settings

_TIMEOUT = 10.0
"""Seconds to wait for an answer."""
_ON_THE_FILE = ("accounts.", "bans.", "mutes.", "filters.", "audit.")
"""The beginnings of the methods that work without a server."""


class RefusedError(StartError):
    """The administration refuses; the attribute `error` is the error of its answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error["message"]))
        self.error = error


class NoServerError(StartError):
    """No server runs, and the file alone is not enough."""


class Reach(Protocol):
    """An administration that can be asked."""

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a method. Raises `RefusedError`, `NoServerError`, `StartError`."""
        ...


def reach(settings: Settings, key_path: Path | None) -> Running | OnFile:
    """Return the server that runs, or the file.

    Args:
        settings: The settings of the server.
        key_path: The key file; None for the usual one of these settings.

    Raises:
        StartError: The key file cannot be used, or a server runs that does not accept it.
    """
    path = key_path or keyfile.path_of(settings)
    key = keyfile.read(path)
    if key is None and key_path is not None:
        raise NoServerError(f"There is no key file {path}: no server runs that has written it.")
    if key is not None:
        running = Running(key, path)
        is_there = False
        try:
            is_there = running.connect()
        finally:
            if not is_there:
                running.close()
        if is_there:
            return running
    return OnFile(settings, path)


class Running:
    """A server that runs."""

    def __init__(self, key: Key, path: Path) -> None:
        """Set up.

        Args:
            key: What the key file says.
            path: The key file, for messages.
        """
        self._key = key
        self._path = path
        self._runner = asyncio.Runner()
        self._answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._socket: Socket | None = None
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> bool:
        """Connect; return False if there is no server at the address. Raises `StartError`."""
        return self._runner.run(self._connect())

    async def _connect(self) -> bool:
        from cloudlink.client.errors import ConnectError  # noqa: PLC0415  # picows, which the file does without
        from cloudlink.client.socket import Options, open_socket  # noqa: PLC0415

        headers = {"Authorization": f"Bearer {self._key.key}"}
        try:
            self._socket = await open_socket(self._key.url, self, Options(ssl=self._tls(), headers=headers))
        except ConnectError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                return False
            raise StartError(
                f"The server at {self._key.url} does not accept the key in {self._path}; "
                f"if another server took its place, name its key file with --key. {error}"
            ) from None
        return True

    def _tls(self) -> ssl.SSLContext | None:
        """Return a context that accepts exactly the server's certificate, whatever name it is for."""
        if not self._key.certificate:
            return None
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(self._key.certificate)
        except OSError as error:
            raise StartError(
                f"The certificate {self._key.certificate} cannot be read: {error.strerror or error}."
            ) from None
        return context

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a method. Raises `RefusedError`, `StartError`."""
        return self._runner.run(self._ask(method, params))

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        while True:
            answer = await self._answer(method, params)
            if answer.get("error", {}).get("code") != "throttled":
                return _result(answer)
            await asyncio.sleep(answer["error"]["data"]["retry_after"])  # long lists have many pages

    async def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if self._socket is None:
            raise NoServerError("There is no connection.")
        self._last_id += 1
        self._socket.send(json.dumps({"id": self._last_id, "method": method, "params": params}))
        try:
            async with asyncio.timeout(_TIMEOUT):
                while (answer := await self._answers.get()) is not None:
                    if answer.get("id") == self._last_id:
                        return answer
        except TimeoutError:
            raise StartError(f"The server did not answer within {_TIMEOUT:g} seconds.") from None
        raise StartError("The server closed the connection.")

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._runner.run(self._socket.close())
        self._runner.close()

    # Called by the socket.

    def received(self, text: str) -> None:
        """Take a message."""
        self._answers.put_nowait(json.loads(text))

    def ponged(self) -> None:
        """Do nothing."""

    def connection_lost(self, code: int, reason: str) -> None:  # noqa: ARG002  # the socket's signature
        """Note that the connection has ended."""
        self._answers.put_nowait(None)


class OnFile:
    """The file itself, while no server runs."""

    def __init__(self, settings: Settings, key_path: Path) -> None:
        """Set up.

        Args:
            settings: The settings of the server.
            key_path: The key file that is missing, for messages.
        """
        self._settings = settings
        self._key_path = key_path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a method. Raises `RefusedError`, `NoServerError`, `StartError`."""
        if not method.startswith(_ON_THE_FILE) or not self._settings.admin_storage:
            raise NoServerError(
                f"No server runs here: there is no server behind the key file {self._key_path}. "
                "Start one, run this in its folder, or name its key file with --key."
            )
        from cloudlink.admin.offline import FileAdministration  # noqa: PLC0415  # a running server does without

        with closing(FileAdministration(self._settings)) as administration:
            return _result(administration.answer(method, params))


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise RefusedError(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result


def back_up(settings: Settings, target: Path) -> int:
    """Copy the file `admin_storage` while a server may use it; return the size of the copy in bytes.

    Raises:
        StartError: There is nothing to copy, the target exists, or one of the two cannot be used.
    """
    source = Path(settings.admin_storage)
    if not settings.admin_storage or not source.exists():
        raise StartError("There is no file to copy: the setting admin_storage names none that exists.")
    if target.exists():
        raise StartError(f"{target} exists already; name a new file.")
    try:
        target.touch(mode=0o600, exist_ok=False)
        with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
            here.backup(there)
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise StartError(f"{source} cannot be copied to {target}: {error}.") from None
    return target.stat().st_size
