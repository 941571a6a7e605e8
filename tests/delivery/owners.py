"""An owner of an outbox that calls functions, instead of a session."""

from __future__ import annotations


class Owner:
    """Calls `overflow()` and `undelivered(tag)`; a missing one does nothing."""

    def __init__(self, overflow=lambda: None, undelivered=lambda tag: None):
        self.close_for_reading_slowly = overflow
        self.tell_undelivered = undelivered
