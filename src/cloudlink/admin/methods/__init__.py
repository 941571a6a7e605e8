"""The methods of the admin socket, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import accounts, logins, players, rooms, sanctions, server, subscriptions

if TYPE_CHECKING:
    from cloudlink.admin.core import Method

METHODS: dict[str, Method] = {
    **logins.METHODS,
    **accounts.METHODS,
    **subscriptions.METHODS,
    **players.METHODS,
    **rooms.METHODS,
    **sanctions.METHODS,
    **server.METHODS,
}
"""All methods."""
