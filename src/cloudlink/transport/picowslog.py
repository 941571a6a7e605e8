"""Replaces picows' logger, whose reports contain addresses and whole requests that the log must not hold."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from cloudlink.addresses import for_log

if TYPE_CHECKING:
    from .connection import WebSocketConnection

logger = logging.getLogger("cloudlink.transport")
_picows = logging.getLogger("picows")


class PicowsLog:
    """The logger that picows uses for one connection.

    Reports of new connections and of bad frames are dropped. picows reports a bad frame nowhere
    else, so the connection is notified. Errors inside picows are logged.
    """

    __slots__ = ("connection",)

    def __init__(self) -> None:
        self.connection: WebSocketConnection | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: ARG002, N802  # logging's signature
        """Return False, so that picows produces no debug reports; they hold whole requests."""
        return False

    def info(self, message: str, *arguments: object) -> None:
        """Ignore a report."""

    log = debug = warning = info

    def error(self, message: str, *arguments: object) -> None:  # noqa: ARG002  # logging's signature
        """Notify the connection that the peer broke the protocol."""
        if self.connection is not None:
            self.connection.on_protocol_error()

    def exception(self, message: str, *arguments: object) -> None:  # logging's signature
        """Log an unexpected error."""
        logger.error(message, *arguments, exc_info=sys.exception())


class OpenPicowsLog(PicowsLog):
    """Also passes picows' reports on to the logger `picows`, with addresses as `log_addresses` allows."""

    __slots__ = ("_mode",)

    def __init__(self, log_addresses: str) -> None:
        """Args: log_addresses: see the setting."""
        super().__init__()
        self._mode = log_addresses

    def info(self, message: str, *arguments: object) -> None:
        """Pass on a report."""
        self._pass_on(logging.INFO, message, arguments)

    def warning(self, message: str, *arguments: object) -> None:
        """Pass on a warning."""
        self._pass_on(logging.WARNING, message, arguments)

    def error(self, message: str, *arguments: object) -> None:
        """Pass on an error of the peer."""
        self._pass_on(logging.WARNING, message, arguments)
        super().error(message, *arguments)

    def _pass_on(self, level: int, message: str, arguments: tuple[object, ...]) -> None:
        _picows.log(level, message, *map(self._shown, arguments))

    def _shown(self, argument: object) -> object:
        # Addresses are tuples that begin with host and port.
        match argument:
            case (str(host), int(port), *_):
                return for_log(host, self._mode), port
            case _:
                return argument
