"""Servers that others join: batches and records of a cluster's nodes, and records of bridges; and their proof.

A message for a cluster begins with `R` (a record that an authentic node sends) or `B` (a batch of a stranger). A bridge
gets messages as they are.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from cloudlink.bridge.peer import GONE_AFTER
from cloudlink.cluster.records import VERSION
from tests.bridge.memory import Host
from tests.bridge.test_hostile import FIRST, Attack
from tests.bridge.test_upstream import Relay
from tests.fuzz.grammar import SURPRISES, TEXTS, VALUES, dumps
from tests.fuzz.search import Messages, Target
from tests.legacy.shapes import strict
from tests.support.clock import FakeClock
from tests.support.clusters import MemoryCluster
from tests.support.memoryclients import MemoryClient, named
from tests.support.strategies import cut, damaged

# Clusters.


class _Club:
    """Three nodes, of which the last says what a test wants."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster({"storage": ""}, count=3)
        *self.servers, self.evil = self.cluster.servers
        self.players = [named(server, f"p{number}") for number, server in enumerate(self.servers)]
        self.clouds = [
            MemoryClient(server, f'{{"method":"handshake","project_id":"104","user":"c{number}"}}')
            for number, server in enumerate(self.servers)
        ]
        named(self.evil, "evil")
        self.cluster.wait(0.5)

    def say(self, message: bytes) -> None:
        node = self.evil.cluster.node
        if message.startswith(b"R"):
            for link in tuple(node.others):
                node._streams.collect(link, [message[1:]], may_drop=False)
            node.flush()
        else:
            for carrier in self.cluster.carriers:
                if carrier.id != node.id:
                    carrier.inbox.append(message[1:])
        self.cluster.settle()

    def check(self) -> None:
        self.cluster.wait(1)
        first, second = self.players
        first.heard()
        second.heard()
        first.say({"cmd": "gmsg", "val": "still here"})
        self.cluster.wait(0.5)
        assert "still here" in [each["val"] for each in _packets(second)], "the nodes lost each other"
        for player in (*self.players, *self.clouds):
            assert player.closed is None


def _packets(client: MemoryClient) -> list[dict[str, Any]]:
    client.server.delivery.flush()
    found = []
    for frame in client.connection.take():
        try:
            found.append(json.loads(frame))
        except ValueError:
            continue  # nodes trust each other's JSON
    return found


def _play_cluster(messages: Messages) -> None:
    club = _Club()
    for message in messages:
        club.say(message)
    club.check()


def _sendable(text: str) -> str:
    """A text without halves of surrogate pairs, which msgpack cannot hold."""
    return text.encode(errors="replace").decode()


_IDS = st.sampled_from(["1", "2", "", "evil", "0000000000000000", "9" * 40]) | TEXTS.map(_sendable)
_PROTOCOLS = st.sampled_from(["cl4", "scratch", "bridge", "", "CloudLink 4", "nonsense"])
_STAMPS = st.tuples(st.integers(-(2**63), 2**63 - 1) | st.just(1 << 52), _IDS)
_users = st.tuples(_IDS, _IDS, _IDS, st.none() | _IDS)
_vals = st.sampled_from([b"1", b'"x"', b"", b"{", b"\xff", b'{"a":[1]}'])
_events = st.one_of(
    st.tuples(st.just("Message"), _vals, st.none() | _users, _IDS, st.booleans(), st.lists(_IDS, max_size=2)),
    st.tuples(st.just("Variable"), _vals, _vals, st.none() | _users),
    st.tuples(
        st.sampled_from(["PrivateMessage", "Direct", "Custom", "Nonsense", "LinkedMessage"]), _vals, _users
    ),
    st.tuples(st.just("PrivateVariable"), _vals, _vals, _users),
    st.tuples(st.just("Custom"), _IDS, _vals, _users),
).map(msgspec.msgpack.encode) | st.binary(max_size=20)
_rooms = st.lists(_IDS | st.just("default"), max_size=3)
_rows = st.tuples(st.just(2), _IDS, _IDS, st.none() | _IDS, _STAMPS, _PROTOCOLS, _rooms)
_room = _IDS | st.just("default")
_projects = st.sampled_from(["104", "", "x"]) | _IDS
_records = st.one_of(
    st.tuples(st.just(1), _IDS, st.integers(-1, 2**40), st.booleans(), st.integers(-1, 2**40)),
    _rows,
    st.tuples(st.just(3), st.lists(_rows, max_size=3), st.lists(_projects, max_size=2), st.booleans()),
    st.tuples(st.just(4), _IDS, _room),
    st.tuples(st.just(5), _IDS),
    st.tuples(st.just(6), _room, _PROTOCOLS, _events),
    st.tuples(st.just(7), _room, _PROTOCOLS, _vals, _STAMPS, _events),
    st.tuples(st.just(8), _IDS, _room, _events),
    st.tuples(st.just(9), _IDS | st.sampled_from(["admin", "sanctions", "bans", "counts"]), _vals),
    st.tuples(st.just(10), _events, st.booleans()),
    st.tuples(st.sampled_from([11, 12]), _projects),
    st.tuples(
        st.just(13),
        _projects,
        st.lists(st.tuples(st.sampled_from(["☁ a", "", "x" * 2000]), st.none() | _vals, _STAMPS), max_size=3),
        st.booleans(),
    ),
    st.tuples(st.just(14), _events),
    st.lists(st.integers(0, 20) | _IDS, max_size=5),
).map(msgspec.msgpack.encode)
_batches = st.builds(
    lambda version, sender, epoch, seq, hears, records: msgspec.msgpack.encode(
        (version, sender, epoch, seq, hears, [msgspec.Raw(record) for record in records])
    ),
    st.sampled_from([VERSION, VERSION, VERSION + 1, 0, -1]) | _IDS,
    _IDS,
    st.integers(-2, 3) | st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 3),
    st.dictionaries(_IDS, st.tuples(st.integers(-1, 5), st.integers(-1, 5), st.integers(-1, 5)), max_size=2),
    st.lists(_records, max_size=3),
)
_for_clusters = st.one_of(
    st.builds(bytes.__add__, st.just(b"R"), _records),
    st.builds(bytes.__add__, st.just(b"R"), _records),
    st.builds(bytes.__add__, st.just(b"R"), damaged(_records)),
    st.builds(
        bytes.__add__, st.just(b"B"), _batches | damaged(_batches) | cut(_batches) | st.binary(max_size=30)
    ),
)

# Bridges.

_KINDS = ["shares", "user", "gone", "gmsg", "gvar", "pmsg", "pvar", "set", "ping", "nonsense"]
_NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 2**53, 2**53 + 1, 2**63, 10**30, 1.5, "1", None])
_VALS: st.SearchStrategy[Any] = VALUES | st.sampled_from(
    [
        {"rooms": [["arena"], ["lobby"]], "projects": [["104"]]},
        {"rooms": [["arena", "elsewhere"]], "projects": [["104", "205"]]},
        {"rooms": "arena", "projects": {}},
        {"rooms": [[]], "projects": [[1]]},
        {},
    ]
)
_bridge_records = st.fixed_dictionaries(
    {"type": st.sampled_from(_KINDS)},
    optional={
        "room": st.sampled_from(["arena", "lobby", "104", "default", "", 1, None]) | TEXTS,
        "user": _NUMBERS,
        "to": _NUMBERS,
        "name": st.sampled_from(["bob", "alice", "☁ a", "n" * 101, "b/x"]) | TEXTS,
        "val": _VALS,
        "at": _NUMBERS,
        "by": TEXTS,
        "except": st.lists(_NUMBERS, max_size=3) | VALUES,
    },
)
_lists = st.lists(_bridge_records, max_size=5).map(dumps)
_surprising = st.builds(
    lambda kind, name, value: (
        b'[{"type":"%b","room":"arena","user":1,"%b":%b}]' % (kind.encode(), name, value)
    ),
    st.sampled_from(_KINDS),
    st.sampled_from([b"val", b"name", b"at", b"by", b"except", b"user"]),
    SURPRISES,
)
_for_bridges = _lists | _lists | _surprising | damaged(_lists) | cut(_lists) | SURPRISES | VALUES.map(dumps)


def _play_bridge(messages: Messages) -> None:
    attack = Attack()
    for message in messages:
        if attack.wire.closed is None and _is_text(message):
            attack.raw(message)
        attack.wait()
        _check_player(attack.alice)
        attack.theirs.arrived.clear()
    attack.alice.say({"cmd": "gmsg", "val": 1})
    assert attack.alice.closed is None
    attack.bridge.disconnected(attack.link)
    attack.wait(GONE_AFTER)
    assert attack.names == ["alice"], "users of a bridge that is down are still shown"


def _check_player(player: MemoryClient) -> None:
    player.server.delivery.flush()
    for frame in player.connection.take():
        packet = strict(frame)
        assert isinstance(packet["cmd"], str), packet


@functools.cache
def _host() -> tuple[Host, MemoryClient]:
    """A server and a player; made once, because making a key of a secret is slow on purpose."""
    host = Host("a", "b", FakeClock())
    assert host.bridges.bridges["b"].key  # a bridge without one cannot be called yet
    return host, host.join("alice", "arena")


def _play_proof(messages: Messages) -> None:
    host, alice = _host()
    wild = MemoryClient(host.server)
    for message in [FIRST.encode(), *messages]:
        if wild.closed is None:
            (wild.session.receive if _is_text(message) else wild.session.receive_binary)(message)
    host.server.delivery.flush()
    for frame in wild.connection.take():
        assert json.loads(frame).keys() <= {"nonce", "proof"}, frame
    wild.leave()
    assert host.names("arena") == ["alice"]
    assert alice.closed is None


def _play_upstream(messages: Messages) -> None:
    relay = Relay()
    for message in messages:
        if _is_text(message):
            relay.core.received(message.decode())
            relay.core.outgoing.clear()
        relay.clock.now += 1
    relay.core.closed(1006, "")


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


_words = st.sampled_from(["", "a" * 32, "b" * 64, "\u00e9" * 32, "A" * 32]) | TEXTS
_proofs = st.dictionaries(
    st.sampled_from(["bridge", "nonce", "proof", "trial"]), _words | VALUES, max_size=3
).map(dumps)
_upstream_packets = st.builds(
    lambda cmd, rest: dumps({"cmd": cmd, **rest}),
    st.sampled_from(
        ["ulist", "gmsg", "gvar", "pmsg", "pvar", "statuscode", "server_version", "client_obj", "direct"]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "val": VALUES
            | st.sampled_from(
                [[], {"id": "2", "uuid": "u2", "username": "olaf"}, [{"id": "2", "username": 1}]]
            ),
            "mode": st.sampled_from(["set", "add", "remove", "x"]) | VALUES,
            "rooms": st.sampled_from(["hall", ["hall"], "default"]) | VALUES,
            "name": TEXTS,
            "origin": VALUES | st.just({"id": "2", "uuid": "u2", "username": "olaf"}),
            "listener": VALUES,
            "code_id": VALUES,
            "code": VALUES,
        },
    ),
)


def _several(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[Messages]:
    return st.lists(messages, min_size=1, max_size=8)


TARGETS = {
    "cluster": Target(_several(_for_clusters), _play_cluster),
    "bridge": Target(_several(_for_bridges), _play_bridge),
    "proof": Target(_several(_proofs | damaged(_proofs) | SURPRISES), _play_proof),
    "upstream": Target(_several(_upstream_packets | damaged(_upstream_packets) | SURPRISES), _play_upstream),
}
