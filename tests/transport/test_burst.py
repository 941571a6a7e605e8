"""Many sockets are written to at once, and each gets what is its own."""

import os
import socket
from contextlib import suppress

import pytest

from cloudlink.transport import write_burst

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets have no numbers to write to here")


class Connection:
    """One end of a socket, and what was left for its transport."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.descriptor = self.ours.fileno()
        self.kept = b""

    def keep(self, data):
        self.kept += data

    def fill(self):
        """Write until the socket takes no more."""
        with suppress(BlockingIOError):
            while True:
                self.ours.send(bytes(4096))

    def received(self):
        """Return all that has come."""
        self.theirs.setblocking(False)
        got = b""
        with suppress(BlockingIOError):
            while data := self.theirs.recv(65536):
                got += data
        return got

    def close(self):
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def connections():
    made = [Connection() for _ in range(5)]
    yield made
    for connection in made:
        connection.close()


def texts(connections):
    return [b"text %d" % number for number, _ in enumerate(connections)]


def test_each_socket_gets_its_own_text(connections):
    assert write_burst(connections, texts(connections))
    assert [connection.received() for connection in connections] == texts(connections)


def test_nobody_is_nobody():
    assert write_burst([], [])


@pytest.mark.parametrize("which", [0, 2, 4])
def test_a_full_socket_leaves_the_text_to_its_transport_and_the_others_theirs(connections, which):
    connections[which].fill()
    assert write_burst(connections, texts(connections))
    assert connections[which].kept == b"text %d" % which
    others = [connection for connection in connections if connection is not connections[which]]
    assert [connection.kept for connection in others] == [b""] * 4
    assert [connection.received() for connection in others] == [
        b"text %d" % number for number in range(5) if number != which
    ]


@pytest.mark.parametrize("which", [0, 2, 4])
def test_a_peer_that_is_gone_harms_nobody(connections, which):
    connections[which].theirs.close()
    assert write_burst(connections, texts(connections))
    assert [connection.kept for connection in connections] == [b""] * 5
    assert [connection.received() for connection in connections if connection is not connections[which]] == [
        b"text %d" % number for number in range(5) if number != which
    ]


def test_what_a_socket_takes_only_in_part_is_left_from_there_on(connections):
    large = os.urandom(1 << 23)
    data = [b"small", large, b"small", b"small", b"small"]
    assert write_burst(connections, data)
    kept = connections[1].kept
    assert 0 < len(kept) < len(large)
    assert connections[1].received() + kept == large
    assert connections[4].received() == b"small"


def test_nothing_is_written_where_one_needs_its_transport(connections):
    connections[3].descriptor = -1
    assert not write_burst(connections, texts(connections))
    assert [connection.received() + connection.kept for connection in connections] == [b""] * 5
