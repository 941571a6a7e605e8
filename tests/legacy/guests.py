"""A client in memory that speaks the words of its era, and hears them byte for byte."""

from __future__ import annotations

from typing import Any

from tests.eras import ERAS, opening
from tests.server.visitor import Visitor

KINDS = (*ERAS, "CL3 0.1.7 in Python", "Scratch")
"""Every era, and the two variants of one: 0.1.7 for Python, and 0.2.0 for clients that say they are Scratch."""


class Guest(Visitor):
    """A client of an era, shown to be of it, with a name if it has one."""

    def __init__(self, server: Any, era: str, name: str = "") -> None:
        super().__init__(server, *opening(era, name))
        self.era = era
        self.name = name
        expected = {"Scratch": "CL4 0.2.0", "CL3 0.1.7 in Python": "CL3 0.1.7"}.get(era, era)
        assert str(self.client.dialect) == expected

    def frames(self) -> list[str]:
        """Return what has come since the last time, as it stood on the wire."""
        self.server.delivery.flush()
        return self.connection.take()

    def tell(self, *messages: str) -> list[str]:
        """Say something, as it stands on the wire, and return what comes of it."""
        for message in messages:
            self.session.receive(message.encode())
        return self.frames()
