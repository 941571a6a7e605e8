"""Everything that reads what strangers send, by name."""

from __future__ import annotations

from tests.fuzz.targets import administration, clients, configuration, peers, server, sockets

TARGETS = {
    **server.TARGETS,
    **sockets.TARGETS,
    **administration.TARGETS,
    **peers.TARGETS,
    **configuration.TARGETS,
    **clients.TARGETS,
}
