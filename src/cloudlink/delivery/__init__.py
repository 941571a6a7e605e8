"""The way out: encode once, queue per client, write once per turn of the event loop."""

from __future__ import annotations

from .delivery import Audience, Delivery
from .frames import as_update, joined_text_frame, text_frame, update_frame
from .outbox import Connection, Outbox
from .pace import Pacer

__all__ = [
    "Audience",
    "Connection",
    "Delivery",
    "Outbox",
    "Pacer",
    "as_update",
    "joined_text_frame",
    "text_frame",
    "update_frame",
]
