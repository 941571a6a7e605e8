"""The messages of simulated clients to each kind of server; one module per protocol. Opens no client connection."""

from bench.protocols.base import Kind, Protocol
from bench.protocols.broadcast import Broadcast
from bench.protocols.cloudlink import CloudLink4
from bench.protocols.colyseus import Colyseus
from bench.protocols.socketio import SocketIO

__all__ = ["Broadcast", "CloudLink4", "Colyseus", "Kind", "Protocol", "SocketIO"]
