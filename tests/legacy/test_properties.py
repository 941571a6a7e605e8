"""Properties that hold whatever clients of all eras do together, in any order.

1. All have the same idea of who is there, each keeping its list the way its era's clients do.
2. Anything whatever, said by a client of any era, leaves the server up, others served, and nothing behind.

Both run in memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudlink.server.protocols.clpv4.schema import Schema
from tests.support import strategies
from tests.support.eras import opening
from tests.support.memoryclients import KINDS, MemoryClient
from tests.support.servers import build

from .shapes import check

# User lists.
#
# Everybody is in one room at a time, so that the one list that an old client keeps is that room's:
#
# * CL2 and CL3 replace their list by each text they are sent, and are in `default`;
# * 0.1.8 and clients in safe mode replace it by each list;
# * S4.0 of 0.1.9 heeds `mode`: it skips an `add` of a name and id that it has, and a `remove` takes away everybody of
#   that name or that id. Of namesakes it may lose some, but it never lists anybody who is not there;
# * 0.2.0 removes by uuid, and what says it is Scratch never does: it relies on the whole list that follows.

NAMES = ["ann", "ben", "eve", "a;b", "%MS%", "z\u00f6e", ";"]
ROOMS = ["default", "r1", "r2"]
HANDSHAKES = ("CL4 0.1.9", "CL4 0.2.0", "Scratch")
REPLACES = ("CL4 0.1.8", "CL4 0.1.9")


@dataclass
class Player:
    """One client: what it has been told, and where it really is."""

    kind: str
    visitor: MemoryClient
    number: int
    name: str = ""
    shook_hands_as: str = ""
    room: str = "default"
    listed: list[Any] = field(default_factory=list)

    @property
    def era(self) -> str:
        """What it is told in, which changes when it says more about itself."""
        return str(self.visitor.client.dialect)

    @property
    def is_s40(self) -> bool:
        """Whether it keeps its list as S4.0 does; a client of 0.1.8 has to, as its list has no uuids."""
        return self.era == "CL4 0.1.9" or self.kind == "CL4 0.1.8"

    def tell(self, message: dict[str, Any] | str) -> None:
        data = message if isinstance(message, str) else json.dumps(message)
        self.visitor.session.receive(data.encode())
        self.visitor.server.delivery.flush()
        self.read()  # at once: the next message may change its era

    def read(self) -> None:
        for frame in self.visitor.connection.take():
            packet = check(self.era, frame)
            if packet.get("cmd") == "ulist" or packet.get("type") == "ul":
                self._keep(packet)

    def _keep(self, packet: dict[str, Any]) -> None:
        val = packet.get("val", packet.get("data"))
        if isinstance(val, str):
            self.listed = val.split(";")[:-1]
        elif packet.get("mode", "set") == "set":
            self.listed = list(val)
        elif packet["mode"] == "add":
            if not (self.is_s40 and any(_same(user, val, all) for user in self.listed)):
                self.listed.append(val)
        elif self.is_s40:
            self.listed = [user for user in self.listed if not _same(user, val, any)]
        elif self.kind != "Scratch":
            self.listed = [user for user in self.listed if user["uuid"] != val["uuid"]]


def _same(user: dict[str, str], other: dict[str, str], how: Any) -> bool:
    return how((user["username"] == other["username"], user["id"] == other["id"]))


class World:
    """A server, its players, and a plain account of who is where."""

    def __init__(self, undecided_clients: str) -> None:
        self.server = build({"undecided_clients": undecided_clients})
        self.players: list[Player] = []
        self.has_namesakes = False
        self.count = 0

    # What can happen. A number stands for one of the players present.

    def connect(self, kind: str) -> None:
        visitor = MemoryClient(self.server)
        self.count += 1
        player = Player(kind, visitor, self.count)
        player.shook_hands_as = kind if kind in HANDSHAKES else ""
        self.players.append(player)
        if kind == "nobody knows":
            player.tell({"cmd": "gmsg", "val": 1})
        elif kind not in ("CL4 safe mode", "CL4 0.1.8"):  # which their names tell
            for message in opening(kind):
                player.tell(message)

    def setid(self, number: int, name: str) -> None:
        player = self._player(number)
        may_rename = player.era == "CL3 0.1.5" or not player.name
        if player.era.startswith("CL2"):
            player.tell(f"<%sn>\n{name}")
        else:
            tag = {"listener": "setusername"} if player.kind in ("CL4 safe mode", "CL4 0.1.8") else {}
            player.tell({"cmd": "setid", "val": name, **tag})
        if player.kind == "CL4 0.1.8" and player.era == "CL4 safe mode":
            player.tell({"cmd": "link", "val": f'["{player.room}"]'})
        taken = any(other.name == name for other in self.players if other is not player)
        if may_rename and not (player.era == "CL3 0.1.7" and taken):
            self.has_namesakes = self.has_namesakes or taken
            player.name = name

    def move(self, number: int, room: str) -> None:
        player = self._player(number)
        if player.name and not player.era.startswith(("CL2", "CL3")):
            if player.era not in REPLACES:
                player.tell({"cmd": "unlink", "val": ""})
            player.tell({"cmd": "link", "val": f'["{room}"]' if player.era == "CL4 0.1.8" else [room]})
            player.room = room

    def go_home(self, number: int) -> None:
        player = self._player(number)
        player.tell({"cmd": "unlink", "val": ""})
        if player.name:
            player.room = "default"

    def link_without_rooms(self, number: int) -> None:
        player = self._player(number)
        if player.era.startswith(("CL2", "CL3")):
            player.tell({"cmd": "link", "val": ["r1"]})

    def ask_for_features(self, number: int) -> None:
        player = self._player(number)
        if player.era.startswith("CL2"):
            player.tell("<%sh>\n")

    def refresh(self, number: int) -> None:
        player = self._player(number)
        player.tell("<%rf>\n" if player.era.startswith("CL2") else {"cmd": "ulist", "val": ""})

    def shake_hands(self, number: int, kind: str) -> None:
        player = self._player(number)
        player.shook_hands_as = player.shook_hands_as or kind  # no program is of two kinds
        player.tell(opening(player.shook_hands_as)[0])
        if player.kind != "CL4 0.1.8":
            player.kind = player.shook_hands_as

    def disconnect(self, number: int) -> None:
        player = self._player(number)
        self.players.remove(player)
        player.visitor.leave()

    def _player(self, number: int) -> Player:
        return self.players[number % len(self.players)]

    # What must be true.

    def check(self) -> None:
        self.server.delivery.flush()
        for player in self.players:
            player.read()
        for player in self.players:
            self._check_list(player)

    def _check_list(self, player: Player) -> None:
        if not player.visitor.client.handshake:
            return  # it has not been told anything so far
        there = [other for other in self.players if other.room == player.room and other.name]
        if player.era.startswith(("CL2", "CL3")):
            names = [other.name.replace(";", "") for other in there]
            if player.era == "CL3 0.1.7":
                names = [name for name in names if not (name[:1] == name[-1:] == "%")]
            assert sorted(player.listed) == sorted(name for name in names if name), player
        else:
            ids = sorted(other.visitor.client.snowflake for other in there)
            listed = sorted(user["id"] for user in player.listed)
            if player.is_s40 and player.era != "CL4 0.1.8" and self.has_namesakes:
                assert {*listed} <= {*ids}, player
                assert len({*listed}) == len(listed), player
            else:
                assert listed == ids, player


someone = st.integers(0, 9)
kinds = st.sampled_from([*KINDS, "nobody knows"])
events = st.one_of(
    st.tuples(st.just("connect"), kinds),
    st.tuples(st.just("setid"), someone, st.sampled_from(NAMES)),
    st.tuples(st.just("move"), someone, st.sampled_from(ROOMS)),
    st.tuples(st.just("shake_hands"), someone, st.sampled_from(HANDSHAKES)),
    *(
        st.tuples(st.just(event), someone)
        for event in ("go_home", "link_without_rooms", "ask_for_features", "refresh", "disconnect")
    ),
)


@settings(max_examples=300)
@given(
    undecided=st.sampled_from(["cl4", "cl3"]),
    crowd=st.lists(st.tuples(kinds, st.none() | st.sampled_from(NAMES)), min_size=2, max_size=7),
    happened=st.lists(events, min_size=5, max_size=30),
)
@example(
    undecided="cl4",
    crowd=[(kind, name) for kind, name in zip(KINDS, [*NAMES, "x", "y", "z"], strict=True)],
    happened=[("setid", 2, "other"), ("move", 4, "r1"), ("move", 5, "r1"), ("move", 7, "r1"), ("go_home", 4)]
    + [("shake_hands", number, "CL4 0.2.0") for number in range(10)]
    + [("disconnect", 0)] * 9,
)
def test_all_clients_have_the_same_user_list(undecided, crowd, happened):
    world = World(undecided)
    for number, (kind, name) in enumerate(crowd):
        world.connect(kind)
        if name is not None:
            world.setid(number, name)
        world.check()
    for event, *details in happened:
        if event == "connect" or world.players:
            getattr(world, event)(*details)
            world.check()


def test_the_account_can_tell_a_false_list():
    world = World("cl4")
    world.connect("CL3 0.1.7")
    world.setid(0, "ann")
    world.check()
    world.players[0].listed.append("eve")
    with pytest.raises(AssertionError):
        world.check()


# Any messages.

OPCODES = [
    "<%sh>",
    "<%sn>",
    "<%gs>",
    "<%ps>",
    "<%rf>",
    "<%ds>",
    "<%l_g>",
    "<%l_p>",
    "<%rl>",
    "<%rt>",
    "<%ftp>",
    "<%",
]
COMMANDS = [
    "handshake",
    "setid",
    "gmsg",
    "gvar",
    "pmsg",
    "pvar",
    "direct",
    "link",
    "unlink",
    "clear",
    "ulist",
]
COMMANDS += ["ping", "statuscode", "custom", "ds", ""]
KEYS = ["val", "name", "id", "rooms", "listener", "origin", "code", "mode"]
texts = st.text(max_size=6) | st.sampled_from(
    ["0", "1", "2", "wild", "CL2 late", "CL3 0.1.7", '["r1"]', "%a%", ";", "null"]
)
values = strategies.values(texts | st.just("\ud83d"))
about = st.fixed_dictionaries({"cmd": st.sampled_from(["type", "ip", "vers"])}, optional={"val": values})
packets = st.builds(
    lambda keys, cmd: {**keys, "cmd": cmd},
    st.dictionaries(st.sampled_from(KEYS), values | about, max_size=5),
    st.sampled_from(COMMANDS) | values,
).map(lambda packet: json.dumps(packet).encode())
lines = st.builds(
    lambda opcode, rest: "\n".join([opcode, *rest]), st.sampled_from(OPCODES), st.lists(texts, max_size=6)
)
nested = st.builds(
    lambda depth, key: b'{"cmd":"direct","id":"wild","%b":' % key + b"[" * depth + b"]" * depth + b"}",
    st.integers(900, 5000),
    st.sampled_from([b"val", b"id", b"rooms", b"origin", b"listener"]),
)
numbers = st.sampled_from(
    [b'{"cmd":"gmsg","val":1e400}', b'{"cmd":"direct","val":{"cmd":"type","val":1e400}}']
)
anything = packets | lines.map(str.encode) | st.text(max_size=20).map(str.encode) | nested | numbers


@settings(max_examples=400)
@given(
    undecided=st.sampled_from(["cl4", "cl3"]),
    wild=st.sampled_from([*KINDS, "fresh"]),
    messages=st.lists(anything, min_size=1, max_size=8),
)
@example(
    undecided="cl4", wild="CL2 late", messages=[b"<%rl>\n\n", b"<%l_p>\n0\nx\n[]\ny", b"<%l_g>\n2\n\n\n\n"]
)
@example(
    undecided="cl4", wild="CL3 0.1.5", messages=[b'{"cmd":"clear","val":{}}', b'{"cmd":"setid","val":";"}']
)
@example(
    undecided="cl4", wild="CL4 0.1.8", messages=[b'{"cmd":"statuscode","id":"CL4 0.1.8","val":{"a":[]}}']
)
def test_anything_leaves_the_server_up(undecided, wild, messages):
    server = build({"undecided_clients": undecided})
    others = _crowd(server)
    attacker = MemoryClient(server)
    if wild != "fresh":
        attacker.say(*opening(wild, "wild"))
    for visitor in others.values():
        visitor.heard()

    for message in messages:
        attacker.session.receive(message)
        server.delivery.flush()
        frames = attacker.connection.take()
        if attacker.client.dialect is None:
            assert frames in ([], [attacker.closed[1]]), "a fresh client is turned away at most"
        else:
            _check_all(attacker, frames)
        for visitor in others.values():
            _check_all(visitor, visitor.connection.take())

    for kind, visitor in others.items():
        told = visitor.ask(f"<%gs>\nme\n{kind}" if kind.startswith("CL2") else {"cmd": "gmsg", "val": kind})
        assert any(kind in json.dumps(packet) for packet in told), "others are served"
    for visitor in (*others.values(), attacker):
        visitor.leave()
    channels = server.hooks.engines[Schema]._legacy._channels
    assert (len(server.clients_manager), server.rooms_manager.rooms, channels._channels) == (0, {}, {})


def _crowd(server: Any) -> dict[str, MemoryClient]:
    others = {kind: MemoryClient(server, *opening(kind, kind)) for kind in KINDS}
    others["CL2 late"].say("<%rl>\nme\nwild")
    return others


def _check_all(visitor: MemoryClient, frames: list[str]) -> None:
    for frame in frames:
        check(str(visitor.client.dialect), frame)
