"""Stands in for picows' logger, which tells more than the log may hold and is told more than it logs."""

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
    """What picows of one connection takes for its logger.

    Its reports of every connection and of bad frames are dropped. That a frame was bad is reported nowhere
    else, so the connection is told. What goes wrong inside picows is logged.
    """

    connection: WebSocketConnection | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: ARG002, N802  # logging's signature
        """Tell picows to spare itself the work of debug reports; they hold whole requests."""
        return False

    def info(self, message: str, *arguments: object) -> None:
        """Take a report."""

    log = debug = warning = info

    def error(self, message: str, *arguments: object) -> None:  # noqa: ARG002  # logging's signature
        """Pass on that the peer broke the protocol."""
        if self.connection is not None:
            self.connection.on_protocol_error()

    def exception(self, message: str, *arguments: object) -> None:  # logging's signature
        """Log what nobody expected."""
        logger.error(message, *arguments, exc_info=sys.exception())


class OpenPicowsLog(PicowsLog):
    """Passes picows' reports on to the logger `picows` too, their addresses as the log may hold them."""

    def __init__(self, log_addresses: str) -> None:
        """Args: log_addresses: see the setting."""
        self._mode = log_addresses

    def info(self, message: str, *arguments: object) -> None:
        """Pass on a report."""
        self._pass_on(logging.INFO, message, arguments)

    def warning(self, message: str, *arguments: object) -> None:
        """Pass on a warning."""
        self._pass_on(logging.WARNING, message, arguments)

    def error(self, message: str, *arguments: object) -> None:
        """Pass on a mistake of the peer."""
        self._pass_on(logging.WARNING, message, arguments)
        super().error(message, *arguments)

    def _pass_on(self, level: int, message: str, arguments: tuple[object, ...]) -> None:
        _picows.log(level, message, *map(self._shown, arguments))

    def _shown(self, argument: object) -> object:
        # Addresses come as what sockets call them, tuples that begin with host and port.
        match argument:
            case (str(host), int(port), *_):
                return for_log(host, self._mode), port
            case _:
                return argument
