"""What a client of the tests has received: the part that clients in memory and over sockets share."""

from __future__ import annotations


class Inbox:
    """What one client has received, and how its connection ended if the server ended it."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.closed: tuple[int, str] | None = None

    def take(self) -> list[str]:
        frames, self.frames = self.frames, []
        return frames
