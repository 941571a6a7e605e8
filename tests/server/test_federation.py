"""Users of other servers are listed, found and addressed like those of this one."""

from __future__ import annotations

import pytest

from cloudlink.server.events import User
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.protocols.scratch import Scratch
from tests.support.memoryclients import EraClient, MemoryClient, codes, named
from tests.support.servers import build

CL4 = Clpv4.schema


def user(number, name=None, node="n2"):
    return User(node, str(number), f"uuid-{number}", name)


ZOE = user(7000, "zoe")


class RecordingBroker:
    """Carries the users of some nodes, and records what it is told."""

    def __init__(self, *nodes):
        self.nodes = nodes
        self.told = []

    def carries(self, node):
        return node in self.nodes

    def refusal(self, user, event):
        return f"{user.username} cannot be reached." if user.username == "hermit" else ""

    def __getattr__(self, name):
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def server():
    return build()


def changes(client):
    """The changes of user lists that a client is sent: mode, name or names, and room."""
    found = []
    for packet in client.heard():
        assert packet["cmd"] == "ulist"
        value = packet["val"]
        names = [each["username"] for each in value] if packet["mode"] == "set" else value["username"]
        found.append((packet["mode"], names, packet["rooms"]))
    return found


def test_a_remote_user_is_listed_and_announced_once(server):
    alice = named(server, "alice")
    alice.heard()
    assert server.federation.join(ZOE, CL4, ["default"])
    assert server.federation.join(ZOE, CL4, ["default"])
    assert changes(alice) == [("add", "zoe", "default")]
    (listed,) = [
        packet
        for packet in named(server, "bob").ask({"cmd": "link", "val": "default"})
        if packet["cmd"] == "ulist"
    ]
    assert [each["username"] for each in listed["val"]] == ["alice", "zoe", "bob"]
    assert listed["val"][1] == {"id": "7000", "username": "zoe", "uuid": "uuid-7000"}


def test_a_remote_user_without_a_name_is_known_but_not_listed(server):
    alice = named(server, "alice")
    alice.heard()
    server.federation.join(user(1), CL4, ["default"])
    assert changes(alice) == []
    server.federation.rename("1", "carl")
    server.federation.rename("1", "carla")
    server.federation.rename("1", "carla")
    server.federation.rename("1", None)
    assert changes(alice) == [
        ("add", "carl", "default"),
        ("remove", "carl", "default"),
        ("add", "carla", "default"),
        ("remove", "carla", "default"),
    ]
    assert server.directory.by_name("carl", CL4) == server.directory.by_name("carla", CL4) == []
    assert server.directory.by_id("uuid-1", CL4) == user(1)


def test_leaving_is_announced_where_the_user_was(server):
    alice = named(server, "alice")
    alice.say({"cmd": "link", "val": ["den", "hall"]})
    server.federation.join(ZOE, CL4, ["den", "hall"])
    alice.heard()
    server.federation.leave("7000", ["den", "nowhere"])
    server.federation.leave("nobody", ["den"])
    assert changes(alice) == [("remove", "zoe", "den")]
    assert server.directory.rooms_of(ZOE) == {"hall"}
    server.federation.remove(["7000", "7000"])
    assert changes(alice) == [("remove", "zoe", "hall")]
    assert server.directory.rooms_of(ZOE) == set()
    assert server.directory.by_id("7000", CL4) is None
    assert not server.directory.remote


def test_a_room_with_remote_users_only_is_a_room_with_users(server):
    server.federation.join(ZOE, CL4, ["den"])
    alice = named(server, "alice")
    (listed,) = [packet for packet in alice.ask({"cmd": "link", "val": "den"}) if packet["cmd"] == "ulist"]
    assert [each["username"] for each in listed["val"]] == ["zoe", "alice"]
    alice.leave()
    assert server.directory.presence("den", CL4).listed() == [ZOE]
    server.federation.remove_node("n2")
    assert server.directory.presence("den", CL4) is None


def test_private_packets_go_to_the_broker_of_the_node(server):
    broker, other = RecordingBroker("n2"), RecordingBroker("n3")
    server.federation.add_broker(other)
    server.federation.add_broker(broker)
    server.federation.join(ZOE, CL4, ["default"])
    alice = named(server, "alice")
    broker.told.clear()
    for recipient in ("zoe", "7000", "uuid-7000", {"id": "7000"}):
        assert codes(alice.ask({"cmd": "pmsg", "id": recipient, "val": 1, "listener": "L"})) == [100]
    alice.say({"cmd": "direct", "id": "zoe", "val": 2, "listener": "d"})
    assert [call[:3] for call in broker.told] == [("send", ZOE, "default")] * 4 + [("send", ZOE, "")]
    assert broker.told[-1][3].listener == b'"d"'
    assert not [call for call in other.told if call[0] == "send"]


def test_a_packet_is_refused_if_the_broker_cannot_carry_it(server):
    server.federation.add_broker(RecordingBroker("n2"))
    server.federation.join(user(7001, "hermit"), CL4, ["default"])
    alice = named(server, "alice")
    for cmd in ("pmsg", "direct"):
        packets = alice.ask({"cmd": cmd, "id": "hermit", "val": 1, "listener": "L"})
        (answer,) = [packet for packet in packets if packet["cmd"] == "statuscode"]
        assert (answer["code_id"], answer["details"]) == (108, "hermit cannot be reached.")


def test_two_bearers_of_a_name_on_different_servers_are_ambiguous(server):
    named(server, "zoe")
    server.federation.join(ZOE, CL4, ["default"])
    alice = named(server, "alice")
    (answer,) = [
        packet
        for packet in alice.ask({"cmd": "pmsg", "id": "zoe", "val": 1})
        if packet["cmd"] == "statuscode"
    ]
    assert answer["code_id"] == 104
    assert "found 2 matches" in answer["details"]


def test_a_name_in_use_elsewhere_is_taken():
    server = build({"unique_usernames": True})
    server.federation.join(ZOE, CL4, ["den"])
    visitor = MemoryClient(server, {"cmd": "handshake"})
    assert codes(visitor.ask({"cmd": "setid", "val": "zoe", "listener": "L"})) == [112]


def test_users_of_another_protocol_are_kept_apart(server):
    server.federation.join(ZOE, Scratch.schema, ["default"])
    assert server.directory.by_name("zoe", CL4) == []
    assert server.directory.by_name("zoe", Scratch.schema) == [ZOE]
    assert server.directory.presence("default", CL4) is None
    assert not server.federation.join(ZOE, CL4, ["default"])


def test_nobody_takes_over_a_user_of_others(server):
    alice = named(server, "alice").client
    server.federation.join(ZOE, CL4, ["default"])
    for stolen in (
        User("n2", alice.snowflake, "new", "mallory"),
        User("n2", "1", alice.uuid, "mallory"),
        User("n2", alice.uuid, "new", "mallory"),
        User("n3", ZOE.id, ZOE.uuid, "mallory"),
        User("n3", "1", ZOE.uuid, "mallory"),
        User("", "1", "new", "mallory"),
    ):
        assert not server.federation.join(stolen, CL4, ["default"])
    assert server.directory.by_name("mallory", CL4) == []
    assert server.directory.presence("default", CL4).listed() == [alice.user, ZOE]


def test_of_a_snapshot_only_the_difference_is_announced(server):
    alice = named(server, "alice")
    everybody = {str(number): (user(number, f"user{number}"), CL4, ["default"]) for number in range(10, 20)}
    server.federation.replace("n2", everybody)
    server.federation.join(user(99, "other", "n3"), CL4, ["default"])
    alice.heard()
    server.federation.replace("n2", dict(everybody))
    assert changes(alice) == []
    del everybody["10"]
    everybody["11"] = (user(11, "renamed"), CL4, ["default"])
    everybody["12"] = (user(12, "user12"), CL4, ["den"])
    everybody["13"] = (User("n2", "13", "another connection", "user13"), CL4, ["default"])
    everybody["20"] = (user(20, "user20"), CL4, ["default"])
    server.federation.replace("n2", everybody)
    assert sorted(changes(alice)) == sorted(
        [
            ("remove", "user10", "default"),
            ("remove", "user11", "default"),
            ("add", "renamed", "default"),
            ("remove", "user12", "default"),
            ("remove", "user13", "default"),
            ("add", "user13", "default"),
            ("add", "user20", "default"),
        ]
    )
    assert server.directory.rooms_of(user(12)) == {"den"}
    server.federation.remove_node("n2")
    assert [each.username for each in server.directory.presence("default", CL4).listed()] == [
        "alice",
        "other",
    ]


def test_many_removals_are_one_list(server):
    alice = named(server, "alice")
    many = [user(1000 + number, f"user{number}") for number in range(1000)]
    for each in many:
        server.federation.join(each, CL4, ["default"])
    old = EraClient(server, "CL4 0.1.8", "olga")
    for client in (alice, old):
        client.heard()
    server.federation.remove([each.id for each in many[:100]])  # below 64 KiB
    assert len(changes(alice)) == 100
    old.heard()
    server.federation.remove_node("n2")
    assert changes(alice) == [("set", ["alice", "olga"], "default")]
    (last,) = old.heard()[-1:]
    assert [each["username"] for each in last["val"]] == ["alice", "olga"]


def test_removals_that_are_shorter_than_the_list_stay_removals(server):
    alice = named(server, "alice")
    for number in range(3000):
        node = "n2" if number < 600 else "n3"
        server.federation.join(user(1000 + number, f"user{number}", node), CL4, ["default"])
    alice.heard()
    server.federation.remove_node("n2")
    assert [mode for mode, *_ in changes(alice)] == ["remove"] * 600


def test_other_brokers_hear_of_remote_users_and_their_own_does_not(server):
    own, other = RecordingBroker("n2"), RecordingBroker("bridge")
    server.federation.add_broker(own)
    server.federation.add_broker(other)
    server.federation.join(ZOE, CL4, ["default"])
    server.federation.rename("7000", "zora")
    server.federation.leave("7000", ["default"])
    server.federation.remove(["7000"])
    zora = user(7000, "zora")
    assert own.told == []
    assert other.told == [
        ("joined", ZOE, "default", CL4),
        ("renamed", zora),
        ("left", zora, "default"),
        ("gone", zora),
    ]


def test_the_nodes_of_a_room_are_counted(server):
    remote = server.directory.remote
    for number, node in ((1, "n2"), (2, "n2"), (3, "n3")):
        server.federation.join(user(number, node=node), CL4, ["default"])
    assert remote.nodes_in(CL4, "default") == {"n2": 2, "n3": 1}
    assert len(remote) == 3
    server.federation.remove(["1", "3"])
    assert remote.nodes_in(CL4, "default") == {"n2": 1}
    server.federation.remove_node("n2")
    assert remote.nodes_in(CL4, "default") == remote.nodes_in(None, "default") == {}
