"""Outgoing frames: encoded once, queued per client, written once per turn of the event loop."""

from __future__ import annotations

from .coalescer import Coalescer, ConstantWait, WriteCoalescer
from .delivery import Audience, Delivery
from .frames import as_update, join, joined_text_frame, text_frame, update_frame
from .outbox import Connection, Outbox

__all__ = [
    "Audience",
    "Coalescer",
    "Connection",
    "ConstantWait",
    "Delivery",
    "Outbox",
    "WriteCoalescer",
    "as_update",
    "join",
    "joined_text_frame",
    "text_frame",
    "update_frame",
]
