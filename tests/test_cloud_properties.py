"""Properties of Scratch cloud variables that hold whatever clients do, in any order.

1. In the end everybody and the store know the same last value of each variable, whoever comes and goes meanwhile.
2. Any messages whatever of one client leave a project in order for the others.

Both run in memory. The clock that has changes collected is turned by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudlink.server.protocols import Scratch
from cloudlink.storage import MemoryStore
from tests.support import strategies
from tests.support.memoryclients import MemoryConnection
from tests.support.servers import build

# The same last value.
#
# What "know" means. A client changes its own copy when it sets a variable, and whenever it is told a value; it is
# never told its own values. Each value here is a number that no other set has, and they grow, so a value shows who
# set it and when. For each variable of a project:
#
# * the store has the value that was set last, and so has the server;
# * everybody but the one who set it last was told that value last. Whoever came afterwards was told it on arriving;
# * the one who set it last was told nothing that was set later. It knows its own value, provided that it had read what
#   was on its way when it set it: a client that reads late is told older values after its own, as on any slow line;
# * so where everybody reads at once, everybody's own copy has that value;
# * nobody is ever told a value of its own, one of another project, or an older one after a newer one.

PROJECTS = ["104", "105"]
NAMES = ["☁ a", "☁ b"]
PACES = {
    "at once": {"cloud_updates_per_second": 0.0},
    "collected": {"cloud_batch_interval": 0.1},
    "limited": {"cloud_updates_per_second": 0.001},
}


@dataclass(eq=False)
class Player:
    """One client: the values it has set and received, in order."""

    project: str
    connection: MemoryConnection
    session: object
    own: dict[str, int] = field(default_factory=dict)
    copy: dict[str, int] = field(default_factory=dict)
    told: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})
    set_by_it: set[int] = field(default_factory=set)

    def send(self, **packet) -> None:
        self.session.receive(json.dumps(packet).encode())

    def read(self) -> None:
        """Take in what the server has sent."""
        for frame in self.connection.take():
            for packet in map(json.loads, frame.split("\n")):
                assert packet.keys() == {"method", "name", "value"}
                assert packet["method"] == "set"
                self.copy[packet["name"]] = packet["value"]
                self.told[packet["name"]].append(packet["value"])


class StoreLikeAFile(MemoryStore):
    """A store in memory that keeps the variables of unloaded projects, as a file does."""

    def unload(self, room: str) -> None:
        """Do nothing: the variables stay."""


class World:
    """A server with projects, and a plain account of what was set."""

    def __init__(self, pace: dict, *, prompt: bool) -> None:
        self.server = build(pace)
        object.__setattr__(self.server.settings, "cloud_room_lifetime", -1.0)  # at once
        self.server.settings.storage = "kept"  # its limits are those of a server with a file
        self.prompt = prompt
        self.scratch = self.server.hooks.engines[Scratch.schema]
        self.scratch.projects.store = StoreLikeAFile()
        self.players: list[Player] = []
        self.timers: list = []
        self.server.later = lambda _delay, callback: self.timers.append(callback)
        self.last_set: dict[tuple[str, str], tuple[int, Player]] = {}
        self.project_of: dict[int, str] = {}

    # What can happen. A number stands for one of the players present.

    def join(self, project: str) -> None:
        connection = MemoryConnection()
        player = Player(project, connection, self.server.open_session(connection))
        self.players.append(player)
        player.send(method="handshake", project_id=project, user="player")

    def leave(self, number: int) -> None:
        player = self._player(number)
        self.players.remove(player)
        player.session.connection_lost()

    def set(self, number: int, name: str) -> None:
        player, value = self._player(number), len(self.project_of) + 1
        self.project_of[value] = player.project
        player.own[name] = player.copy[name] = value
        player.set_by_it.add(value)
        self.last_set[player.project, name] = value, player
        player.send(method="set", name=name, value=value)

    def wait(self) -> None:
        """Let the time pass for which the changes that wait longest were held back."""
        if self.timers:
            self.timers.pop(0)()

    def forget(self) -> None:
        """Let the time pass after which a project without players is in the store alone."""
        for tick in self.server.hooks.protocol_tick:
            tick()
        assert {player.project for player in self.players} == self.scratch.projects.rooms.keys()

    def deliver(self) -> None:
        self.server.delivery.flush()

    def read(self, number: int) -> None:
        self._player(number).read()

    def stop_reading(self, number: int) -> None:
        if not self.prompt:
            self._player(number).connection.congested = True

    def read_again(self, number: int) -> None:
        player = self._player(number)
        player.connection.congested = False
        player.session.writable()
        self.deliver()

    def _player(self, number: int) -> Player:
        return self.players[number % len(self.players)]

    # What must be true.

    def happened(self) -> None:
        """An event is over; those who read at once do so now."""
        if self.prompt:
            self.deliver()
            for player in self.players:
                player.read()

    def check(self) -> None:
        """Let everything arrive, and compare."""
        while self.timers:
            self.wait()
        self.deliver()
        for number, player in enumerate(self.players):
            self.read_again(number)
            player.read()
        self._check_store()
        for player in self.players:
            self._check_player(player)

    def _check_store(self) -> None:
        for project in PROJECTS:
            expected = {
                name: value for (where, name), (value, _) in self.last_set.items() if where == project
            }
            stored, served = self.scratch.projects.store.load(project), self.scratch.variables(project)
            assert {name: int(value) for name, value in stored.items()} == expected
            assert {name: int(value) for name, value in served.items()} == expected

    def _check_player(self, player: Player) -> None:
        for name in NAMES:
            told = player.told[name]
            assert told == sorted(told), "an older value after a newer one"
            assert not player.set_by_it.intersection(told), "a value of its own"
            assert {self.project_of[value] for value in told} <= {player.project}, "of another project"
            if (player.project, name) not in self.last_set:
                continue
            last, setter = self.last_set[player.project, name]
            if player is not setter:
                assert told[-1] == last
            elif told:
                assert told[-1] < last
            if self.prompt:
                assert player.copy[name] == last


someone = st.integers(0, 7)
events = st.one_of(
    st.tuples(st.just("set"), someone, st.sampled_from(NAMES)),
    st.tuples(st.just("set"), someone, st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["read", "stop_reading", "read_again", "leave"]), someone),
    st.tuples(st.sampled_from(["wait", "deliver", "forget"])),
    st.tuples(st.just("join"), st.sampled_from(PROJECTS)),
)


@settings(max_examples=300)
@given(
    pace=st.sampled_from(sorted(PACES)),
    prompt=st.booleans(),
    crowd=st.lists(st.sampled_from(PROJECTS), min_size=2, max_size=4),
    history=st.lists(events, min_size=5, max_size=40),
)
@example(  # two set the same variable while it is held back; one leaves, one comes, both before it is told
    pace="collected",
    prompt=True,
    crowd=["104", "104", "104"],
    history=[
        ("set", 0, "☁ a"),
        ("set", 1, "☁ a"),
        ("leave", 1),
        ("join", "104"),
        ("set", 0, "☁ b"),
        ("wait",),
    ],
)
@example(  # a change is held back, all leave, the project is forgotten; the old clock rings among newcomers
    pace="collected",
    prompt=True,
    crowd=["104"],
    history=[
        ("set", 0, "☁ a"),
        ("leave", 0),
        ("forget",),
        ("join", "104"),
        ("join", "104"),
        ("set", 0, "☁ a"),
        ("wait",),
    ],
)
@example(  # the third value of one waits, then another one's comes: it must not overtake
    pace="limited",
    prompt=False,
    crowd=["104", "104"],
    history=[("set", 0, "☁ a")] * 4
    + [("set", 1, "☁ a"), ("deliver",), ("stop_reading", 0), ("set", 1, "☁ a")],
)
def test_everybody_and_the_store_know_the_last_value(pace, prompt, crowd, history):
    world = World(PACES[pace], prompt=prompt)
    for project in crowd:
        world.join(project)
    for event, *details in history:
        if event in ("join", "wait", "deliver", "forget") or world.players:
            getattr(world, event)(*details)
            world.happened()
    world.check()


def _two_that_set_one_after_the_other(pace):
    world = World(PACES[pace], prompt=True)
    for event, *details in (("join", "104"), ("join", "104"), ("set", 0, "☁ a"), ("set", 1, "☁ a")):
        getattr(world, event)(*details)
        world.happened()
    world.check()
    return world


@pytest.mark.parametrize("pace", PACES)
def test_the_account_can_tell_a_false_value(pace):
    world = _two_that_set_one_after_the_other(pace)
    for told in ([], [2, 1], [1], [2, 3]):
        world.players[0].told["☁ a"] = told
        with pytest.raises((AssertionError, LookupError)):
            world.check()


def test_the_account_can_tell_a_false_store():
    world = _two_that_set_one_after_the_other("at once")
    world.scratch.projects.store.save("104", "☁ a", b"1")
    with pytest.raises(AssertionError):
        world.check()


# Any messages.

KEYS = ["method", "name", "value", "new_name", "project_id", "user", "cmd", "val"]
METHODS = ["handshake", "set", "create", "rename", "delete", "fly", ""]
HANDSHAKE = b'{"method":"handshake","project_id":"104","user":"player"}'


@dataclass(frozen=True)
class Digits:
    """A number that Python would not spell out."""

    digits: str


values = strategies.values(
    st.text(max_size=8)
    | st.sampled_from(["☁ score", "☁ other", "10", "104", "player", "1" * 5000])
    | st.sampled_from(["9" * 5000, "9" * 308, "-" + "9" * 400, "0." + "1" * 5000]).map(Digits)
)


def _encoded(value: object) -> bytes:
    if isinstance(value, Digits):
        return value.digits.encode()
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(_encoded, value))
    if isinstance(value, dict):
        return b"{%b}" % b",".join(b"%b:%b" % (_encoded(key), _encoded(item)) for key, item in value.items())
    return json.dumps(value).encode()


packets = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
requests = st.builds(lambda packet, method: {**packet, "method": method}, packets, st.sampled_from(METHODS))
changes = st.builds(
    lambda method, name, new_name, value: {
        "method": method,
        "name": name,
        "new_name": new_name,
        "value": value,
    },
    st.sampled_from(METHODS[1:5]),
    st.sampled_from(["☁ score", "☁ other", "plain"]),
    st.sampled_from(["☁ other", "☁ new", "☁ ", "plain"]) | values,
    values,
)
texts = (packets | requests | changes | values).map(_encoded)
joined = st.lists(texts, max_size=4).map(b"\n".join)
nested = st.integers(1, 5000).map(lambda depth: b'{"method":"set","name":"x","value":' + b"[" * depth)
anything = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    texts,
    joined,
    strategies.damaged(texts),
    strategies.cut(texts),
    nested,
    changes.map(_encoded),
)


@settings(max_examples=400)
@given(
    options=st.fixed_dictionaries(
        {
            "cloud_text_values": st.booleans(),
            "cloud_rename_delete": st.booleans(),
            "cloud_bridge": st.booleans(),
        }
    ),
    handshaken=st.booleans(),
    messages=st.lists(anything, min_size=1, max_size=6),
)
@example(
    options={"cloud_rename_delete": True},
    handshaken=True,
    messages=[b'{"method":"delete","name":"\xe2\x98\x81 score"}', b"\n\n", b"\xff"],
)
def test_any_message_leaves_the_project_in_order(options, handshaken, messages):
    server = build(options)
    failures = []
    for engine in server.hooks.engines.values():
        server.on_exception(server.exceptions.InternalError, engine.schema)(
            lambda _, why: failures.append(why)
        )
    (one, speak), (two, _) = _player(server), _player(server)
    wild, say = _player(server) if handshaken else _connection(server)
    speak.receive(b'{"method":"set","name":"\xe2\x98\x81 score","value":1}')

    for message in messages:
        try:
            message.decode()
        except UnicodeDecodeError:
            say.receive_binary(message)  # the transport lets no other bytes through as text
        else:
            say.receive(message)
    server.delivery.flush()

    if wild.closed is not None:
        assert wild.closed[0] in ({4000} if handshaken else {1000, 4000, 4002})
    if handshaken:
        _check_updates(wild.take(), options)
    _check_updates(one.take(), options)
    _check_updates(two.take(), options)
    assert failures == []

    speak.receive(b'{"method":"set","name":"\xe2\x98\x81 score","value":"2"}')
    server.delivery.flush()
    assert two.take() == ['{"method":"set","name":"☁ score","value":"2"}']
    newcomer, _ = _player(server)
    server.delivery.flush()
    (frame,) = newcomer.take()
    assert '{"method":"set","name":"☁ score","value":"2"}' in frame.split("\n")
    assert one.take() == []
    assert one.closed is two.closed is newcomer.closed is None


def _connection(server):
    connection = MemoryConnection()
    return connection, server.open_session(connection)


def _player(server):
    connection, session = _connection(server)
    session.receive(HANDSHAKE)
    return connection, session


def _check_updates(frames, options):
    for packet in (json.loads(line) for frame in frames for line in frame.split("\n")):
        assert packet.keys() == {"method", "name", "value"}
        assert packet["method"] == "set"
        assert isinstance(packet["name"], str)
        is_number = type(packet["value"]) in (int, float)
        if not options.get("cloud_text_values"):
            assert is_number or not set(packet["value"]) - set("-.0123456789")
        assert is_number or isinstance(packet["value"], str)
