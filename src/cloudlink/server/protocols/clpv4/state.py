"""What CloudLink 4 keeps about each of its clients, as `client.state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.buckets import Bucket

    from .channels import Channel


class ClientState:
    """Per-client state; what most clients never need is made when it is needed.

    Attributes:
        identity_bucket: How often the client may still change its name and rooms, None before the first time.
        user_list_bucket: How many bytes of user lists it may still cause, None before the first ones.
        channel: The linked channel it is in, None for none.
    """

    __slots__ = ("channel", "identity_bucket", "user_list_bucket")

    def __init__(self) -> None:
        self.identity_bucket: Bucket | None = None
        self.user_list_bucket: Bucket | None = None
        self.channel: Channel | None = None
