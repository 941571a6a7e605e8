"""What a protocol has to say for the measures: the way into a room, a message to it, a player's variable in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.load.job import Client, Job

Kind = Literal["message", "variable", "nothing"]
"""What a client sends in the measured interval: a message to its room, its own variable there, or nothing."""


class Protocol(ABC):
    """One way to talk to a server. Every measured packet holds `bench.load.job.TEXT` once, and so does each copy."""

    @abstractmethod
    def client(self, number: int, room: str, kind: Kind) -> Client:
        """Return a client that enters a room (in which its number is its name) and then sends what `kind` says."""

    def admit(self, job: Job, port: int) -> Job:  # noqa: ARG002  # for protocols that ask over HTTP first
        """Do what has to be done before the clients of this job can connect to the server; returns the job to run.

        Raises:
            LoadError: the server refused.
        """
        return job
