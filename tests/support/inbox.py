"""Received frames of a test client: the part that clients in memory and over sockets share."""

from __future__ import annotations


class Inbox:
    """The frames that a client has received, and the close code and reason if the server closed."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.closed: tuple[int, str] | None = None

    def take(self) -> list[str]:
        frames, self.frames = self.frames, []
        return frames
