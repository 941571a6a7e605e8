"""The errors of a client, each with a sentence that a person can act on.

All of them are `ClientError`. Those for which Python has a class derive from that too (`ConnectionError`,
`TimeoutError`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.text import printable

if TYPE_CHECKING:
    from cloudlink.client.events import StatusCode


class ClientError(Exception):
    """Any error of a client; `str(error)` says what happened.

    Control characters in what a server said are made visible, because errors are printed in terminals.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class ConnectError(ClientError, ConnectionError):
    """The server could not be reached.

    Attributes:
        problem: One sentence that says what is wrong.
        remedy: How to fix it, one or two sentences; may be empty.
        status: The HTTP status of the answer to the upgrade request; None if there was no such answer.
        close_code: The close code, if the server closed the connection before the session began; else None.
        permanent: Whether waiting does not help, because the address, a certificate or a setting has to change.
    """

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        status: int | None = None,
        *,
        close_code: int | None = None,
        permanent: bool = False,
    ) -> None:
        super().__init__(f"{problem} {remedy}".rstrip())
        self.problem = printable(problem)
        self.remedy = printable(remedy)
        self.status = status
        self.close_code = close_code
        self.permanent = permanent


class WrongServerError(ConnectError):
    """Something answers at that address, but not a CloudLink server, or one of another generation."""


class ServerFullError(ConnectError):
    """The server accepts no more clients at the moment."""


class NameRefusedError(ClientError):
    """The server refuses the username.

    Attributes:
        username: The name.
        code: The number of the status code (protocol, section 1.3) or the close code (3.1).
    """

    def __init__(self, username: str, code: int, why: str) -> None:
        super().__init__(f"The server refuses the username {username}: {why}")
        self.username = username
        self.code = code


class RequestError(ClientError):
    """The server answered a request with an error.

    Attributes:
        status: The answer.
    """

    def __init__(self, request: str, status: StatusCode) -> None:
        details = f" ({status.details})" if status.details else ""
        super().__init__(f"{request} was answered with {status.code}{details}")
        self.status = status


class WaitTimeoutError(ClientError, TimeoutError):
    """An answer did not come in time."""


class DisconnectedError(ClientError, ConnectionError):
    """The connection has ended.

    Attributes:
        code: The close code (RFC 6455, section 7.4.1); 1006 if the connection ended without a close frame.
        reason: The reason in the close frame; may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        words = f"with {code}" + (f" ({reason})" if reason else "")
        super().__init__(f"The connection was closed {words}.")
        self.code = code
        self.reason = reason


class StaleValueError(ClientError):
    """Another client changed a cloud variable during a disconnection, so `set` did not set it.

    Attributes:
        name: The variable.
        current: Its value now; None if the server does not have it any more.
    """

    def __init__(self, name: str, current: Any) -> None:
        super().__init__(f"{name} has become {current!r} in the meantime and was not set.")
        self.name = name
        self.current = current
