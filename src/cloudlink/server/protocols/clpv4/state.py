"""CloudLink 4's state of a client, stored as `client.state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.buckets import Bucket

    from .channels import Channel


class ClientState:
    """Per-client state; the buckets are created on first use, because most clients never need them.

    Attributes:
        identity_bucket: Limits changes of name and rooms, None before the first change.
        user_list_bucket: Limits the bytes of user lists that the client causes, None before the first list.
        channel: The linked channel that the client is in, None for none.
    """

    __slots__ = ("channel", "identity_bucket", "user_list_bucket")

    def __init__(self) -> None:
        self.identity_bucket: Bucket | None = None
        self.user_list_bucket: Bucket | None = None
        self.channel: Channel | None = None
