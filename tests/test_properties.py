"""Properties that hold whatever clients do, in any order.

1. Every client's user list is true, kept the way that client keeps it.
2. Any bytes whatever, at any time, leave the server up and others served.

Both run in memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.support import strategies
from tests.support.memoryclients import MemoryConnection
from tests.support.servers import build

# User lists.
#
# What "true" means. A JavaScript client keeps one list, whatever rooms it is in: `set` replaces it, `add` and
# `remove` change it, and none of them looks at the room. So for a client whose last `set` was for the room R:
#
# * as long as it has been in R and in no other room since that `set`, its list is exactly the named members of R,
#   each once;
# * in R and in other rooms, its list holds every named member of R, and beside them only named members of its other
#   rooms (an `add` there puts them on the same list), or of those it has left since then: nobody tells it of them any
#   more, as the protocol answers an `unlink` with a status only;
# * once it has left R but stays in another room, nothing is promised until the next `set`.
#
# The promises differ by family, because `remove` does:
#
# * TurboWarp as shipped appends on `add` without looking for duplicates and removes by uuid;
# * 0.1.2 (`cloudlink_turbowarp.js` and its kin) appends and never removes: only the `set` that follows each `remove`
#   for clients that say they are Scratch makes its list true;
# * S4.1 skips an `add` of a name and id that it has, and a `remove` takes everybody of that name or that id away: again
#   the `set` repairs it;
# * S4.0 does as S4.1, but its handshake does not say Scratch, so no `set` follows: its list is as promised as long as
#   nobody shares a name, and otherwise may lack namesakes of somebody who left. As it removes whoever leaves one of
#   its rooms although they may still be in R, the second promise is not made to it;
# * a client that heeds `rooms` keeps a list per room: each is exactly the named members of that room, always.

ROOMS = ["default", "r1", "r2", "5"]
NAMES = ["ann", "ben", "eve"]


@dataclass
class Family:
    """How one kind of client shakes hands and keeps its list."""

    name: str
    handshake: dict
    removes: str  # by "uuid", "name or id", or "never"
    skips_duplicates: bool = False

    @property
    def says_scratch(self) -> bool:
        return self.handshake.get("language") == "Scratch"


TURBOWARP = {"language": "Scratch", "version": {"editorType": "TurboWarp", "versionNumber": 2}}
FAMILIES = [
    Family("TurboWarp as shipped", TURBOWARP, removes="uuid"),
    Family("0.1.2", TURBOWARP, removes="never"),
    Family("S4.1", {"language": "Scratch", "version": "S4.1"}, removes="name or id", skips_duplicates=True),
    Family("S4.0", {}, removes="name or id", skips_duplicates=True),
    Family("Python", {"language": "Python", "version": "0.2.0"}, removes="uuid"),
]


@dataclass
class Player:
    """One client: the packets it has received, and its actual rooms."""

    family: Family
    connection: MemoryConnection
    session: object
    uuid: str = ""
    name: str | None = None
    rooms: list[str] = field(default_factory=lambda: ["default"])
    users: list[dict] = field(default_factory=list)
    users_of_room: dict[str, list[dict]] = field(default_factory=dict)
    last_set: str = "default"
    only_there: bool = True  # in the room of the last set and in no other one since then
    has_left: bool = False  # one of its rooms since then

    def send(self, **packet) -> None:
        self.session.receive(json.dumps(packet).encode())

    def read(self) -> None:
        """Take in what the server has sent."""
        for frame in self.connection.take():
            packet = json.loads(frame)
            if packet["cmd"] == "client_obj":
                self.uuid = packet["val"]["uuid"]
            elif packet["cmd"] == "ulist":
                self._keep(self.users, packet, self.family)
                heeding_rooms = self.users_of_room.setdefault(packet["rooms"], [])
                self._keep(heeding_rooms, packet, FAMILIES[0])
                if packet["mode"] == "set":
                    self.last_set = packet["rooms"]
                    self.only_there = self.rooms == [self.last_set]
                    self.has_left = False

    @staticmethod
    def _keep(users: list[dict], packet: dict, family: Family) -> None:
        val = packet["val"]
        if packet["mode"] == "set":
            users[:] = val
        elif packet["mode"] == "add":
            if not (family.skips_duplicates and any(_same(user, val, all) for user in users)):
                users.append(val)
        elif family.removes == "uuid":
            users[:] = [user for user in users if user["uuid"] != val["uuid"]]
        elif family.removes == "name or id":
            users[:] = [user for user in users if not _same(user, val, any)]


def _same(user: dict, other: dict, how) -> bool:
    return how((user["username"] == other["username"], user["id"] == other["id"]))


class World:
    """A server, its players, and a plain account of who is where."""

    def __init__(self) -> None:
        self.server = build()
        self.players: list[Player] = []
        self.names_used: list[str] = []

    # What can happen. A number stands for one of the players present.

    def connect(self, family: Family) -> None:
        connection = MemoryConnection()
        player = Player(family, connection, self.server.open_session(connection))
        self.players.append(player)
        player.send(cmd="handshake", val=family.handshake)

    def setid(self, number: int, name: str) -> None:
        player = self._player(number)
        player.send(cmd="setid", val=name)
        if player.name is None:
            player.name = name
            self.names_used.append(name)

    def link(self, number: int, rooms: list[str]) -> None:
        player = self._player(number)
        player.send(cmd="link", val=rooms)
        if player.name is None or not rooms:
            return
        kept = [room for room in player.rooms if room != "default" or "default" in rooms]
        self._moved(player, kept + [room for room in dict.fromkeys(rooms) if room not in kept])

    def unlink(self, number: int, rooms: list[str] | str) -> None:
        player = self._player(number)
        player.send(cmd="unlink", val=rooms)
        if player.name is None:
            return
        left = player.rooms if rooms == "" else rooms
        self._moved(player, [room for room in player.rooms if room not in left] or ["default"])

    def disconnect(self, number: int) -> None:
        player = self._player(number)
        self.players.remove(player)
        player.session.connection_lost()

    def _player(self, number: int) -> Player:
        return self.players[number % len(self.players)]

    @staticmethod
    def _moved(player: Player, rooms: list[str]) -> None:
        player.has_left = player.has_left or not {*player.rooms} <= {*rooms}
        player.rooms = rooms
        player.only_there = player.only_there and rooms == [player.last_set]

    # What must be true.

    def check(self) -> None:
        """Deliver what is on its way, and compare. Due after every event: only then is `only_there` exact."""
        self.check_lists_of_rooms()
        for player in self.players:
            self._check_one_list(player)

    def check_lists_of_rooms(self) -> None:
        """Deliver what is on its way, and compare what clients know of each of their rooms."""
        self.server.delivery.flush()
        for player in self.players:
            player.read()
        for player in self.players:
            self._check_lists_of_rooms(player)

    def named_in(self, *rooms: str) -> list[str]:
        return sorted(player.uuid for player in self.players if player.name and {*rooms} & {*player.rooms})

    def _check_lists_of_rooms(self, player: Player) -> None:
        for room in player.rooms:
            if room in player.users_of_room:
                assert _uuids(player.users_of_room[room]) == self.named_in(room), f"{player} about {room}"

    def _check_one_list(self, player: Player) -> None:
        listed, room = _uuids(player.users), player.last_set
        of_room = self.named_in(room)
        has_lost_namesakes = player.family.name == "S4.0" and len({*self.names_used}) < len(self.names_used)
        if player.only_there:
            if has_lost_namesakes:
                assert {*listed} <= {*of_room}, player
                assert len({*listed}) == len(listed), player
            else:
                assert listed == of_room, player
        elif room in player.rooms and player.family.says_scratch:
            assert {*of_room} <= {*listed}, player
            assert player.has_left or {*listed} <= {*self.named_in(*player.rooms)}, player


def _uuids(users: list[dict]) -> list[str]:
    return sorted(user["uuid"] for user in users)


someone = st.integers(0, 7)
some_rooms = st.lists(st.sampled_from(ROOMS), max_size=3)
events = st.one_of(
    st.tuples(st.just("connect"), st.sampled_from(FAMILIES)),
    st.tuples(st.just("setid"), someone, st.sampled_from(NAMES)),
    st.tuples(st.just("link"), someone, some_rooms),
    st.tuples(st.just("unlink"), someone, some_rooms | st.just("")),
    st.tuples(st.just("disconnect"), someone),
)


crowds = st.lists(
    st.tuples(st.sampled_from(FAMILIES), st.none() | st.sampled_from(NAMES)), min_size=2, max_size=5
)
happenings = st.lists(events, min_size=5, max_size=30)


def gathered(crowd) -> World:
    world = World()
    for number, (family, name) in enumerate(crowd):
        world.connect(family)
        if name is not None:
            world.setid(number, name)
    return world


@settings(max_examples=500)
@given(crowd=crowds, happened=happenings)
@example(  # namesakes; a client that leaves default is put back there; one of the two leaves for good
    crowd=[(family, None) for family in FAMILIES],
    happened=[("setid", 0, "ann"), ("setid", 1, "ann"), ("unlink", 0, ""), ("disconnect", 0)],
)
@example(  # somebody stays in default and leaves the room by which another one is known
    crowd=[(FAMILIES[0], "ann"), (FAMILIES[0], "ben")],
    happened=[("link", 0, ["default", "r2"]), ("link", 1, ["r2"]), ("unlink", 0, ["r2"])],
)
def test_user_lists_are_true(crowd, happened):
    world = gathered(crowd)
    for event, *details in happened:
        if event == "connect" or world.players:
            getattr(world, event)(*details)
            world.check()


@settings(max_examples=200)
@given(crowd=crowds, happened=happenings, at_once=st.integers(2, 15))
def test_user_lists_are_right_for_any_number_of_changes_at_once(crowd, happened, at_once):
    world = gathered(crowd)
    for number, (event, *details) in enumerate(happened):
        if event == "connect" or world.players:
            getattr(world, event)(*details)
        if number % at_once == 0:
            world.check_lists_of_rooms()
    world.check_lists_of_rooms()


def test_the_account_can_tell_a_false_list():
    world = World()
    world.connect(FAMILIES[0])
    world.setid(0, "ann")
    world.check()
    world.players[0].users.clear()
    with pytest.raises(AssertionError):
        world.check()


# Any messages.

BARE_TEXTS = {"Empty message", "Invalid JSON", "Unable to identify protocol"}
KEYS = ["cmd", "val", "name", "id", "rooms", "listener", "method", "origin", "user"]
COMMANDS = [
    "handshake",
    "ping",
    "setid",
    "gmsg",
    "gvar",
    "pmsg",
    "pvar",
    "direct",
    "link",
    "unlink",
    "nonsense",
    "",
]

values = strategies.values(st.text(max_size=8) | st.sampled_from(["default", "alice"]), size=4)
packets = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
commands = st.builds(lambda packet, command: {**packet, "cmd": command}, packets, st.sampled_from(COMMANDS))
encoded = (packets | commands | values).map(lambda value: json.dumps(value).encode())
nested = st.integers(1, 5000).map(lambda depth: b'{"cmd":"gmsg","val":' + b"[" * depth)
anything = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    encoded,
    strategies.damaged(encoded),
    strategies.cut(encoded),
    nested,
)


def _strict(text: str):
    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=400)
@given(
    start=st.sampled_from(["fresh", "handshaken", "named"]),
    messages=st.lists(anything, min_size=1, max_size=6),
)
@example(start="fresh", messages=[b"", b"\xff", b"null", b'{"cmd":"gmsg","val":NaN}'])
@example(start="named", messages=[b"", b"\xff\xfe", b"[]", b'{"cmd":"\\ud800","listener":"\\ud800"}'])
@example(start="fresh", messages=[b'{"method":""}'])
@example(start="named", messages=[b'{"cmd":"pmsg","val":1,"id":{"uuid":{},"id":[],"username":null}}'])
def test_any_message_leaves_the_server_up(start, messages):
    server = build()
    other, wild = MemoryConnection(), MemoryConnection()
    other_session, session = server.open_session(other), server.open_session(wild)
    other_session.receive(b'{"cmd":"setid","val":"alice"}')
    if start != "fresh":
        session.receive(b'{"cmd":"handshake"}')
    if start == "named":
        session.receive(b'{"cmd":"setid","val":"wild"}')
    server.delivery.flush()
    wild.take()

    for message in messages:
        if _is_text(message):
            session.receive(message)
        else:
            session.receive_binary(message)  # the transport lets no other bytes through as text
    server.delivery.flush()

    replies = wild.take()
    if wild.closed is not None:
        assert start == "fresh"
        if wild.closed[0] != 4000:  # a mistake in the cloud protocol is answered by the close alone
            assert wild.closed[0] == 1000
            assert wild.closed[1] == replies.pop()
            assert wild.closed[1] in BARE_TEXTS
    for reply in (*replies, *other.take()):
        packet = _strict(reply)
        assert isinstance(packet, dict)
        assert packet.get("code_id") != 105, f"{messages} made a handler raise"
        assert packet.get("val", "") is not None
    other_session.receive(b'{"cmd":"ping","listener":"still here"}')
    server.delivery.flush()
    assert [_strict(reply)["listener"] for reply in other.take()] == ["still here"]


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=300)
@given(
    value=values,
    listener=st.none() | st.text(max_size=5) | st.booleans() | st.integers(),
    ascii_only=st.booleans(),
)
def test_values_pass_through_byte_for_byte(value, listener, ascii_only):
    try:
        raw = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False)
        raw.encode()
    except (UnicodeEncodeError, ValueError):
        assume(False)
    server = build()
    sender, receiver = MemoryConnection(), MemoryConnection()
    sending, receiving = server.open_session(sender), server.open_session(receiver)
    for session in (sending, receiving):
        session.receive(b'{"cmd":"handshake"}')
    server.delivery.flush()
    receiver.take()
    tag = "" if listener is None else f',"listener":{json.dumps(listener)}'
    sending.receive(f'{{"cmd":"gmsg","val":{raw}{tag}}}'.encode())
    server.delivery.flush()
    expected = '"null"' if value is None else raw
    assert receiver.take() == [f'{{"cmd":"gmsg","val":{expected},"rooms":"default"}}']
