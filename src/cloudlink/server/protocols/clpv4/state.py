"""CloudLink 4's state of a client, stored as `client.state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.server.allowances import Allowance

    from .channels import Channel


class ClientState:
    """Per-client state.

    Attributes:
        allowance: What the client may still send, and cause in user lists.
        channel: The linked channel that the client is in, None for none.
    """

    __slots__ = ("allowance", "channel")

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.channel: Channel | None = None
