"""The interface of a protocol: joining a room, a message to it, and a player's variable in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.load.job import Client, Job

Kind = Literal["message", "variable", "nothing"]
"""The packet that a client sends in the measured interval: a message to its room, its variable there, or none."""


class Protocol(ABC):
    """One way to talk to a server. Every measured packet holds `bench.load.job.TEXT` once, and so does each copy."""

    @abstractmethod
    def client(self, number: int, room: str, kind: Kind) -> Client:
        """Return a client that joins a room (where its number is its name) and then sends packets of a kind."""

    def admit(self, job: Job, port: int) -> Job:  # noqa: ARG002  # for protocols that ask over HTTP first
        """Prepare the server for the clients of this job, and return the job to run.

        Raises:
            LoadError: the server refused.
        """
        return job
