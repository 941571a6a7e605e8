"""The part of the administration that every process of a server has; only one of them has the accounts and the sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudlink.admin.grants import Grants

if TYPE_CHECKING:
    from cloudlink.admin.audit import Audit
    from cloudlink.admin.peers import Peers
    from cloudlink.admin.sanctions import Sanctions
    from cloudlink.admin.serverview import ServerView
    from cloudlink.admin.statistics import Statistics
    from cloudlink.admin.topics import Topics


@dataclass(kw_only=True)
class Process:
    """One process, which may be the whole server.

    Attributes:
        server: The server, as far as it is this process.
        sanctions: What is done against players, and the audit.
        statistics: The state of this process over time.
        topics: Sends events to those who have subscribed to them.
        grants: Players of this process who may moderate.
    """

    server: ServerView
    sanctions: Sanctions
    statistics: Statistics
    topics: Topics
    grants: Grants = field(default_factory=Grants)

    def tick(self) -> None:
        """Keep a state of this process for the history, and drop grants that have ended; to be called once a second."""
        self.grants.keep(lambda client_id: self.server.player(client_id) is not None)
        self.sanctions.slices.start(self.statistics.tick())

    @property
    def audit(self) -> Audit:
        """The audit."""
        return self.sanctions.audit

    @property
    def peers(self) -> Peers:
        """The other processes of the server."""
        return self.sanctions.peers
