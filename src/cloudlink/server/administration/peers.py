"""Carries the questions of the administration between the processes of a server, as records of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.cluster import Cluster
    from cloudlink.server.part import Part

_TOPIC = ":admin"


class ClusterCarrier:
    """Implements `cloudlink.admin.asking.Carrier`."""

    def __init__(self, cluster: Cluster, part: Part | None) -> None:
        """Set up.

        Args:
            cluster: The cluster of the server, which may still join one.
            part: What this process is of a server of several processes, None for a server of one.
        """
        self._cluster = cluster
        self._part = part

    def on_receive(self, receive: Callable[[str, bytes], None]) -> None:
        """Have a function called with the id of a process and what it has sent."""
        self._cluster.on_record(_TOPIC, receive)

    @property
    def name(self) -> str:
        """The name of this process, as others know it."""
        return self._cluster.node_name

    @property
    def others(self) -> dict[str, str]:
        """The names of the other processes that can be reached now, by id."""
        return self._cluster.others

    @property
    def expected(self) -> list[str]:
        """The names of the other workers of this server: they differ in the number at the end."""
        part, own = self._part, self._cluster.node_name
        if part is None or not own:
            return []
        name = own.rpartition("-")[0]
        return [f"{name}-{number + 1}" for number in range(part.count) if number != part.number]

    def send(self, process: str, text: bytes) -> None:
        """Send a text to a process, by its id."""
        self._cluster.send_record(process, _TOPIC, text)
