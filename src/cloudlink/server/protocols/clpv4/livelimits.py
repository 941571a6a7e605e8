"""Applies changed settings to the limits that CloudLink 4 itself enforces, also for connected clients.

The session enforces the limits that all protocols share; see `cloudlink.server.livesettings` for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.server.limits import LIMITS

from .schema import Schema

if TYPE_CHECKING:
    from cloudlink.server.api import PluginAPI

_MEASURED = {"limits", *(name for name in LIMITS if name.startswith(("identity_", "user_list_")))}


def follow_settings(server: PluginAPI) -> None:
    """Update the buckets of connected clients when a limit changes; what was used remains used."""
    limits, clients = server.limits, server.clients_manager

    def apply(name: str) -> None:
        if name not in _MEASURED:
            return
        for client in clients.protocols.get(Schema, ()):
            if client.state.identity_bucket is not None:
                client.state.identity_bucket.change(limits.identity_rate, limits.identity_burst)
            if client.state.user_list_bucket is not None:
                client.state.user_list_bucket.change(limits.user_list_rate, limits.user_list_burst)

    server.settings.on_change(apply)
