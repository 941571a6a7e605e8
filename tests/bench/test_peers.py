"""Which servers can be measured, and when one is ready."""

from __future__ import annotations

import socket
import sys

import pytest

from bench.measures import all_measures
from bench.peers import PEERS
from bench.plan import FULL
from bench.processes import listeners
from cloudlink.version import __version__


def test_cloudlink_itself_is_measured():
    assert PEERS["cloudlink"].prepare() == __version__


@pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")
def test_several_processes_are_measured():
    pytest.importorskip("nats")
    for name in ("workers-2", "workers-4", "cluster-2"):
        assert PEERS[name].prepare() == __version__
        assert PEERS[name].processes == int(name[-1])


def test_every_server_of_the_measures_exists():
    groups = ["workers", "cluster"]
    named = {name for measure in all_measures(FULL, groups) for name in measure.servers}
    assert named <= PEERS.keys()
    assert {"cloudlink", "workers-2", "workers-4", "cluster-2", "upstream", "uws", "uws-2", "uws-4"} == named


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux knows of sockets")
def test_a_server_is_ready_when_all_its_processes_listen():
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        other.bind(("127.0.0.1", port))
        assert listeners(port) == 0
        one.listen()
        assert listeners(port) == 1
        other.listen()
        assert listeners(port) == 2
