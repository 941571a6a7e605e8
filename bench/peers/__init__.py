"""The servers under test, in the order of the table. Each module says how one is set up and started."""

from bench.peers.base import Peer, UnavailableError
from bench.peers.cloudlink import CloudLink, Cluster, Workers
from bench.peers.colyseus import ColyseusServer
from bench.peers.socketio import SocketIOServer
from bench.peers.upstream import Upstream
from bench.peers.uws import UWebSockets
from bench.peers.ws import NodeWs

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        CloudLink(),
        Upstream(),
        SocketIOServer(),
        ColyseusServer(),
        NodeWs(),
        UWebSockets(),
        UWebSockets(2),
        UWebSockets(4),
        Workers(2),
        Workers(4),
        Cluster(2),
    )
}

__all__ = ["PEERS", "Peer", "UnavailableError"]
