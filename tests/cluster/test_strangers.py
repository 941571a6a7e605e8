"""What strangers who know the password of NATS, but not the secret, can do to two real nodes: nothing that clients see."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import sys
import time
import urllib.request

import msgspec
import pytest

from cloudlink.cluster.records import Gone, Hello, encode, seal
from tests.support.nodes import SECRET
from tests.support.pairs import PASSWORD, Nodes, started
from tests.support.servers import HOST
from tests.support.visitors import Visitor, exchanged, fresh, until

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

HELLO = "cloudlink.pair.hello"
STRANGER = "f" * 16
WRONG = b"not the secret of the tests"
THROTTLED = "A batch that does not belong to this cluster was ignored"


class Stranger:
    """Somebody who knows the password of NATS, with a connection of its own."""

    def __init__(self, nats):
        self._socket = socket.create_connection((HOST, nats.port))
        self._socket.settimeout(10)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()  # what the server says of itself
        self._send(f'CONNECT {{"user":"u","pass":"{PASSWORD}","verbose":false}}\r\n'.encode())

    def publish(self, subject, *messages):
        """Send messages, and return when NATS has them."""
        self._send(b"".join(_message(subject, each) for each in messages) + b"PING\r\n")
        while self._lines.readline() != b"PONG\r\n":
            pass

    def flood(self, subject, message, seconds):
        """Send a message as often as NATS takes it; return how often."""
        data, count = _message(subject, message), 0
        at_once = max(1, 65_536 // len(data))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._send(data * at_once)
            count += at_once
        return count

    def overhear(self, subject, count):
        """Return the next messages of a subject, each with the subject that it was sent to."""
        self._send(f"SUB {subject} 1\r\n".encode())
        found = []
        while len(found) < count:
            words = self._lines.readline().split()
            if words[0] == b"MSG":
                found.append((words[1].decode(), self._lines.read(int(words[-1]) + 2)[:-2]))
            elif words[0] == b"PING":
                self._send(b"PONG\r\n")
        self._send(b"UNSUB 1\r\n")
        return found

    def close(self):
        self._lines.close()
        self._socket.close()

    def _send(self, data):
        self._socket.sendall(data)


def _message(subject, message):
    return f"PUB {subject} {len(message)}\r\n".encode() + message + b"\r\n"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    began = time.monotonic()
    with started(Nodes(tmp_path_factory.mktemp("nodes"), "--no-limits")) as pair:
        yield pair
    minutes = 1 + int((time.monotonic() - began) / 60)
    for server in pair.servers:
        assert 1 <= server.log.read_text().count(THROTTLED) <= minutes  # although there was much to log


@pytest.fixture
def stranger(nodes):
    with contextlib.closing(Stranger(nodes.nats)) as found:
        yield found


def invalid(server):
    """How much a node has ignored."""
    with urllib.request.urlopen(f"http://{HOST}:{server.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    [line] = [line for line in text.splitlines() if line.startswith("cloudlink_cluster_invalid_total ")]
    return float(line.split()[1])


def play(nodes, scenario):
    """Run a scenario with alice on the first node and bob on the second; afterwards they see each other as before."""

    async def main():
        room = fresh("arena")
        alice = await Visitor.named(nodes.places[0], fresh("alice"), room)
        bob = await Visitor.named(nodes.places[1], fresh("bob"), room)
        await until(1.0, lambda: alice.lists(room, "add"))
        alice.forget()
        await scenario(alice, bob, room)
        await exchanged(alice, bob, room=room)
        assert {each["cmd"] for who in (alice, bob) for each in who.packets} == {"gmsg"}
        assert (alice.closed, bob.closed) == (None, None)
        await alice.leave()
        await bob.leave()

    asyncio.run(main())


def nodes_of(stranger):
    """The ids of the nodes, which anybody reads who reads what they send."""
    return {msgspec.msgpack.decode(batch[32:])[1]: batch for _, batch in stranger.overhear(HELLO, 4)}


def test_what_a_stranger_says_is_counted_and_has_no_effect(nodes, stranger):
    async def scenario(alice, bob, room):
        ids = await asyncio.to_thread(nodes_of, stranger)
        before = [invalid(server) for server in nodes.servers]
        hostile = [
            b"",
            b"hello",
            b"\x91" * 100_000,
            bytes(600_000),  # longer than any batch
            seal(b"", STRANGER, 0, 1, {}, [encode(Hello("n3", 1000))]),
            seal(WRONG, STRANGER, 0, 1, {}, [encode(Hello("n1", 1000))]),
            *(seal(WRONG, node, 0, 1 << 40, {}, [encode(Hello("n2", 0, True))]) for node in ids),
            *(seal(WRONG, node, 1 << 30, 1, {}, [encode(Gone("1"))]) for node in ids),
        ]
        subjects = (HELLO, *(f"cloudlink.pair.node.{node}" for node in ids))
        for subject in subjects:
            await asyncio.to_thread(stranger.publish, subject, *hostile)
        await exchanged(alice, bob, room=room)
        sent = 2 * len(hostile)  # to all, and to each
        await until(
            1.0,
            lambda: [invalid(server) for server in nodes.servers] == [each + sent for each in before],
            "all is counted",
        )
        assert [server.health()["clients"] for server in nodes.servers] == [2, 2]

    play(nodes, scenario)


def test_what_a_stranger_repeats_has_no_effect(nodes, stranger):
    async def scenario(alice, bob, room):
        overheard = asyncio.ensure_future(asyncio.to_thread(stranger.overhear, "cloudlink.pair.>", 40))
        alice.say({"cmd": "gmsg", "val": "once", "rooms": room})
        await until(1.0, lambda: bob.of("gmsg", val="once"))
        while not overheard.done():
            await exchanged(alice, bob, room=room)
        again = overheard.result()
        assert any(".node." in subject for subject, _ in again)
        for _ in range(3):
            for subject, batch in again:
                await asyncio.to_thread(stranger.publish, subject, batch)
            for node in {subject for subject, _ in again}:  # also to somebody else
                await asyncio.to_thread(stranger.publish, node, *(batch for _, batch in again))
        await exchanged(alice, bob, room=room)
        assert len(bob.of("gmsg", val="once")) == 1
        values = [each["val"] for each in bob.of("gmsg")]
        assert len(values) == len(set(values))

    play(nodes, scenario)


def test_other_versions_do_not_see_each_other(nodes, stranger):
    async def scenario(alice, bob, room):
        content = msgspec.msgpack.encode((2, STRANGER, 0, 1, {}, [[1, "n3", 5, False, 7]]))
        batch = hmac.digest(SECRET.encode(), content, "sha256") + content
        await asyncio.to_thread(stranger.publish, HELLO, *[batch] * 100)
        line = "Node 'n3' speaks cluster protocol 2, this one 1: they do not see each other."
        for server in nodes.servers:
            await until(1.0, lambda server=server: line in server.log.read_text())
            assert server.log.read_text().count(line) == 1
            assert server.health()["cluster"]["nodes"] == 2

    play(nodes, scenario)


def test_a_stolen_name_is_refused(nodes):
    """A third node with the secret and the name of the first one: those who are there do not see it."""

    async def scenario(alice, bob, room):
        thief = nodes.another("n1")
        try:
            await thief.logged("connect to ws")
            line = "Another node is called 'n1', too, and is ignored; give each node its own node_name."
            for server in nodes.servers:
                await until(2.0, lambda server=server: line in server.log.read_text(), "the line")
                assert server.health()["cluster"]["nodes"] == 2
            await exchanged(alice, bob, room=room)
        finally:
            thief.end()

    play(nodes, scenario)


@pytest.mark.parametrize("size", [20, 1000, 100_000])
def test_a_flood(nodes, stranger, size):
    """Clients of a node play on while a stranger sends as much as NATS takes, and the nodes find each other afterwards."""

    async def main():
        room = fresh("arena")
        alice = await Visitor.named(nodes.places[0], fresh("alice"), room)
        carol = await Visitor.named(nodes.places[0], fresh("carol"), room)
        bob = await Visitor.named(nodes.places[1], fresh("bob"), room)
        memory = [server.memory() for server in nodes.servers]
        flooding = asyncio.ensure_future(asyncio.to_thread(stranger.flood, HELLO, b"x" * size, 2.0))
        while not flooding.done():
            await exchanged(alice, carol, room=room)
        assert flooding.result() > 100
        for sender, receiver in ((alice, bob), (bob, alice)):
            await until(10.0, lambda sender=sender, receiver=receiver: crosses(sender, receiver, room))
        assert (alice.closed, bob.closed, carol.closed) == (None, None, None)
        after = [server.memory() for server in nodes.servers]
        assert all(new - old < 96 << 20 for new, old in zip(after, memory, strict=True))
        for each in (alice, bob, carol):
            await each.leave()

    asyncio.run(main())


def crosses(sender, receiver, room):
    """Send one more message, and return whether one of these has arrived."""
    mark = f"from {id(sender)}"
    sender.say({"cmd": "gmsg", "val": mark, "rooms": room})
    return any(mark in frame for frame in receiver.frames)
