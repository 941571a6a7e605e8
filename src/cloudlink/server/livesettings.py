"""Applies changed settings while the server runs, and logs doubtful settings when it starts.

Most settings are read whenever they are needed. The parts named here keep copies of values, because they need
them for each packet or each write; changes are passed on to them. This module is not on the hot path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cloudlink.delivery import ConstantWait, WriteCoalescer
from cloudlink.text import did_you_mean, printable, quoted

from .limits import LIMITS

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from cloudlink.delivery import Coalescer, Delivery
    from cloudlink.settings import Settings

    from .clients import ClientsManager
    from .hooks import Hooks
    from .limits import Limits

_KEEPALIVE = ("keepalive_interval", "keepalive_timeout", "stalled_timeout")
_PROXIES = ("real_ip_header", "trusted_proxies")


class LiveSettings:
    """Passes changed settings to the parts of one server."""

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        delivery: Delivery,
        clients: ClientsManager,
        apply_keepalive: Callable[[], None],
        apply_proxies: Callable[[], None],
    ) -> None:
        """Start watching settings.

        Args:
            settings: The server's settings.
            limits: The limits for packets; changed in place.
            delivery: Keeps the write delay, and the maximum backlog of a client.
            clients: The connected clients, each of which keeps what it has used of its limits.
            apply_keepalive: Called after a keepalive setting has changed.
            apply_proxies: Called after the trusted proxies or their header have changed.
        """
        self._settings = settings
        self._limits = limits
        self._delivery = delivery
        self._clients = clients
        self._apply_keepalive = apply_keepalive
        self._apply_proxies = apply_proxies
        settings.on_change(self._apply)

    def _apply(self, name: str) -> None:
        settings, is_switch = self._settings, name == "limits"
        if name == "write_delay":
            self._delivery.coalescer = coalescer(settings.write_delay)
        if is_switch or name == "max_queued_bytes":
            self._delivery.max_queued_bytes = max_queued_bytes(settings)
        if is_switch or name in LIMITS:
            self._limits.update(settings)
            for client in self._clients:
                client.session.apply_limits()
        if name in _KEEPALIVE:
            self._apply_keepalive()
        if name in _PROXIES:
            self._apply_proxies()


def coalescer(write_delay: float | Literal["auto"]) -> Coalescer | None:
    """Return the write coalescer, None for no delay.

    Args:
        write_delay: Milliseconds, or `auto`.
    """
    if write_delay == "auto":
        return WriteCoalescer()
    return ConstantWait(write_delay / 1000) if write_delay else None


def max_queued_bytes(settings: Settings) -> int | None:
    """Return the maximum backlog of a client in bytes, None for no limit."""
    return settings.max_queued_bytes if settings.limits else None


def log_doubts(settings: Settings, hooks: Hooks, logger: logging.Logger) -> None:
    """Log settings that were ignored or have no effect, once.

    Call this after logging is set up and plugins have registered their commands.
    """
    for sentence in settings.warnings:
        logger.warning("%s", printable(sentence))
    settings.warnings.clear()
    log_unknown_commands(settings, hooks, logger)


def log_unknown_commands(settings: Settings, hooks: Hooks, logger: logging.Logger) -> None:
    """Log commands in `disabled_commands` that nobody has registered."""
    for commands in hooks.commands.values():
        # Disabling a command registers it in its own protocol, without a handler until a plugin adds one.
        known = [name for name, command in commands.items() if command.known]
        for name in settings.disabled_commands:
            if name in commands and name not in known:
                logger.warning(
                    "The setting disabled_commands (%s) names the command %s, which does not exist%s",
                    settings.origins["disabled_commands"],
                    quoted(name),
                    did_you_mean(name, known) or "; a plugin may add it later.",
                )
