"""CloudLink 4's state of a client, stored as `client.state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.server.meter import Meter

    from .channels import Channel


class ClientState:
    """Per-client state.

    Attributes:
        meter: What the client may still send, and cause in user lists.
        channel: The linked channel that the client is in, None for none.
    """

    __slots__ = ("channel", "meter")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.channel: Channel | None = None
