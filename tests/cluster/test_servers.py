"""Servers of a cluster are one server to their users: what A on the first one and B on the second one see."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from itertools import pairwise

import pytest

from cloudlink.server.events import Variable
from cloudlink.server.protocols.clpv4 import Clpv4
from tests.support.clock import FakeClock
from tests.support.clusters import MemoryCluster
from tests.support.memoryclients import EraClient, MemoryClient, codes, named
from tests.support.servers import build

CL4 = Clpv4.schema


@pytest.fixture
def cluster():
    # Without limits, because some tests send a whole burst at once, which a fast machine does before more is allowed.
    return MemoryCluster({"limits": False})


def people(cluster, *names, room=""):
    """Named clients, each on the next server; nobody has unread packets."""
    found = []
    for name, server in zip(names, itertools.cycle(cluster.servers)):
        found.append(named(server, name))
        if room:
            found[-1].say({"cmd": "link", "val": room})
    cluster.settle()
    for each in found:
        each.heard()
    return found


def heard(cluster, client):
    cluster.settle()
    return client.heard()


def listed(cluster, client, room="default"):
    """The names in the list that a client gets when it asks for it."""
    packets = client.ask({"cmd": "link", "val": ["default", room]})
    lists = [each["val"] for each in packets if each["cmd"] == "ulist" and each["mode"] == "set"]
    return sorted(each["username"] for each in lists[-1])


def test_a_newcomer_gets_the_list_of_all_and_others_get_one_add(cluster):
    alice, bob = people(cluster, "alice", "bob")
    alice.say({"cmd": "link", "val": "arena"})
    heard(cluster, alice)
    answers = bob.ask({"cmd": "link", "val": "arena"})
    assert [each["username"] for each in answers[-2]["val"]] == ["alice", "bob"]
    assert codes(answers) == [100]
    (added,) = heard(cluster, alice)
    assert (added["mode"], added["val"]["username"]) == ("add", "bob")
    assert heard(cluster, bob) == []


def test_messages_arrive_unchanged_in_order_and_once(cluster):
    alice, bob = people(cluster, "alice", "bob", room="arena")
    alice.session.receive(b'{"cmd":"gmsg","val":1.0,"rooms":"arena","listener":"x"}')
    cluster.settle()
    cluster.servers[1].delivery.flush()
    assert bob.connection.take() == ['{"cmd":"gmsg","val":1.0,"rooms":"arena"}']
    for number in range(1000):
        alice.session.receive(b'{"cmd":"gmsg","val":%d}' % number)
    assert [each["val"] for each in heard(cluster, bob)] == list(range(1000))
    assert len(alice.heard()) == 1001


def test_the_longest_message_passes(cluster):
    alice, bob = people(cluster, "alice", "bob")
    longest = "x" * (cluster.servers[0].settings.max_message_size - 100)
    alice.say({"cmd": "gmsg", "val": longest})
    assert heard(cluster, bob)[0]["val"] == longest


def test_link_and_message_in_one_segment_reach_all_who_were_there(cluster):
    alice, bob = people(cluster, "alice", "bob")
    bob.say({"cmd": "link", "val": "arena"})
    heard(cluster, bob)
    alice.ask({"cmd": "link", "val": "arena"}, {"cmd": "gmsg", "val": "hello"})
    assert [each["cmd"] for each in heard(cluster, bob)] == ["ulist", "gmsg"]


def test_private_messages_find_users_in_every_way(cluster):
    alice, bob = people(cluster, "alice", "bob")
    user = bob.client
    for name in (
        "bob",
        user.uuid,
        user.snowflake,
        {"id": user.snowflake, "username": "bob", "uuid": user.uuid},
    ):
        assert codes(alice.ask({"cmd": "pmsg", "id": name, "val": 1, "listener": "L"})) == [100]
        (packet,) = heard(cluster, bob)
        assert (packet["cmd"], packet["rooms"]) == ("pmsg", "default")
        assert packet["origin"] == {
            "id": alice.client.snowflake,
            "username": "alice",
            "uuid": alice.client.uuid,
        }
    assert codes(alice.ask({"cmd": "pvar", "id": "bob", "name": "v", "val": 2})) == [100]
    assert heard(cluster, bob)[0]["name"] == "v"
    alice.say({"cmd": "direct", "id": "bob", "val": 3, "listener": "back"})
    assert heard(cluster, bob)[0]["listener"] == "back"
    assert codes(alice.ask({"cmd": "pmsg", "id": "zoe", "val": 1})) == [103]


def test_two_bearers_on_different_nodes_are_both_counted(cluster):
    alice, _bob, _bob_too = people(cluster, "alice", "bob", "bob")
    (answer,) = alice.ask({"cmd": "pmsg", "id": "bob", "val": 1})
    assert answer["code_id"] == 104
    assert "found 2 matches" in answer["details"]


def test_everybody_but_some_works_across_nodes(cluster):
    alice, bob, carol, dave = people(cluster, "alice", "bob", "carol", "dave")
    assert len(alice.ask({"cmd": "gmsg", "val": 1, "id": {"except": ["bob", "carol"]}})) == 1
    assert [len(heard(cluster, each)) for each in (bob, carol, dave)] == [0, 0, 1]


def test_concurrent_variables_converge(cluster):
    alice, bob = people(cluster, "alice", "bob")
    for number in range(1000):
        alice.session.receive(b'{"cmd":"gvar","name":"v","val":"a%d"}' % number)
        bob.session.receive(b'{"cmd":"gvar","name":"v","val":"b%d"}' % number)
    last = [heard(cluster, each)[-1]["val"] for each in (alice, bob)]
    assert last[0] == last[1]


def test_variables_of_a_cut_off_node_heal(cluster):
    alice, bob = people(cluster, "alice", "bob")
    carrier = cluster.carrier_of(cluster.servers[1])
    carrier.is_cut_off = True
    cluster.wait(8)
    assert [each["mode"] for each in bob.heard()] == ["remove"]
    alice.say({"cmd": "gvar", "name": "v", "val": "alone"})
    bob.say({"cmd": "gmsg", "val": "lost"})
    carrier.is_cut_off = False
    cluster.wait(2)
    packets = heard(cluster, bob)
    assert [each["val"] for each in packets if each["cmd"] == "gvar"] == ["alone"]
    assert [each["mode"] for each in packets if each["cmd"] == "ulist"] == ["add"]
    assert listed(cluster, alice) == listed(cluster, bob) == ["alice", "bob"]


def test_users_of_a_dead_node_are_removed_and_leave_no_ghosts(cluster):
    alice, _bob, _, _dave = people(cluster, "alice", "bob", "carol", "dave")
    cluster.kill(cluster.servers[1])
    gone = [each["val"]["username"] for each in heard(cluster, alice) if each["mode"] == "remove"]
    assert gone == ["bob", "dave"]
    again = named(cluster.servers[0], "bob")
    cluster.wait(5)
    assert listed(cluster, alice) == ["alice", "bob", "carol"]
    assert listed(cluster, again) == ["alice", "bob", "carol"]


def test_a_stopped_node_comes_back_without_duplicates(cluster):
    alice, _bob = people(cluster, "alice", "bob")
    carrier = cluster.carrier_of(cluster.servers[1])
    carrier.is_cut_off = True
    cluster.carriers.remove(carrier)  # it does not run
    cluster.wait(10)
    assert [each["mode"] for each in heard(cluster, alice)] == ["remove"]
    cluster.carriers.append(carrier)
    carrier.is_cut_off = False
    cluster.wait(2)
    assert [each["mode"] for each in heard(cluster, alice)] == ["add"]


def test_a_short_break_is_not_noticed(cluster):
    alice, bob = people(cluster, "alice", "bob")
    carrier = cluster.carrier_of(cluster.servers[1])
    carrier.is_cut_off = True
    cluster.wait(1)
    carrier.is_cut_off = False
    cluster.wait(3)
    assert heard(cluster, alice) == heard(cluster, bob) == []


def test_a_node_that_stops_says_so(cluster):
    alice, bob = people(cluster, "alice", "bob")
    bob.session.close(1001, "The server is shutting down")
    cluster.servers[1].cluster.stop()
    assert [each["mode"] for each in heard(cluster, alice)] == ["remove"]
    assert cluster.servers[0].cluster.nodes == ["n1"]
    left = cluster.servers[1]
    assert (left.cluster.node, len(left.directory.remote)) == (None, 0)
    left.cluster.stop()
    assert [
        each["username"] for each in named(left, "carol").ask({"cmd": "unlink", "val": ""})[0]["val"]
    ] == ["carol"]


def test_a_name_held_elsewhere_is_taken():
    cluster = MemoryCluster({"unique_usernames": True})
    people(cluster, "alice")
    visitor = MemoryClient(cluster.servers[1], {"cmd": "handshake"})
    assert codes(visitor.ask({"cmd": "setid", "val": "alice"})) == [112]


def test_of_two_who_take_a_name_at_once_the_younger_is_closed():
    cluster = MemoryCluster({"unique_usernames": True})
    first = named(cluster.servers[0], "alice")
    cluster.clock.now += 0.001
    second = named(cluster.servers[1], "alice")
    cluster.wait(1)
    assert first.closed is None
    assert second.closed == (1008, "The username alice is taken.")
    assert listed(cluster, first) == ["alice"]


def test_snowflakes_differ_on_all_nodes():
    cluster = MemoryCluster(count=4)
    made = {next(server.gen) for server in cluster.servers for _ in range(2500)}
    assert len(made) == 10_000


def test_older_dialects_are_served_by_their_node(cluster):
    old, alice = EraClient(cluster.servers[0], "CL3 0.1.5", "olga"), named(cluster.servers[1], "alice")
    cluster.settle()
    old.heard()
    alice.heard()
    alice.say({"cmd": "gmsg", "val": "hi"})
    assert {"cmd": "gmsg", "val": "hi"}.items() <= heard(cluster, old)[-1].items()
    assert listed(cluster, alice) == ["alice", "olga"]


def test_linked_channels_cross(cluster):
    ann, ben, cid = (
        EraClient(server, "CL2 late", name)
        for server, name in zip((*cluster.servers, cluster.servers[0]), ("ann", "ben", "cid"), strict=True)
    )
    cluster.settle()
    for each, name in ((ann, "ann"), (ben, "ben")):
        each.tell(f"<%rl>\n{name}\nshow")
    cluster.settle()
    for each in (ann, ben, cid):
        each.frames()
    ann.tell(
        "<%l_g>\n0\nann\nhello",
        "<%l_g>\n2\nann\nv\nvalue",
        "<%l_p>\n0\nann\nben\nprivate",
        "<%l_p>\n2\nann\nben\nv\nown value",
        "<%l_p>\n2\nann\ncid\nv\nnot in the channel",
    )
    cluster.settle()
    assert [json.loads(frame)["data"]["data"] for frame in ben.frames()] == [
        "hello",
        "value",
        "private",
        "own value",
    ]
    assert cid.frames() == []


def test_kept_variables_reach_newcomers_on_other_nodes():
    cluster = MemoryCluster({"room_state": "memory"}, count=3)
    alice, bob, carol = people(cluster, "alice", "bob", "carol")
    alice.say({"cmd": "link", "val": "arena"}, {"cmd": "gvar", "name": "v", "val": [1]})
    cluster.wait(20)
    for newcomer in (bob, carol):
        newcomer.say({"cmd": "link", "val": "arena"})
        values = [each["val"] for each in heard(cluster, newcomer) if each["cmd"] == "gvar"]
        assert values == [[1]]
    assert [each for each in heard(cluster, alice) if each["cmd"] == "gvar"] == []


def test_plugins_publish_to_the_other_nodes():
    async def main():
        cluster = MemoryCluster(count=3)
        got = []
        for number, server in enumerate(cluster.servers):

            @server.on_cluster_message("score")
            async def note(value, number=number):
                got.append((number, value))

            @server.on_cluster_message("score")
            def note_too(value, number=number):
                got.append((number, "too"))

        cluster.servers[0].cluster.publish("score", {"alice": 1.5})
        cluster.servers[0].cluster.publish("other", None)
        cluster.settle()
        await asyncio.sleep(0)
        assert sorted(got, key=repr) == sorted(
            [(1, {"alice": 1.5}), (1, "too"), (2, {"alice": 1.5}), (2, "too")], key=repr
        )

    asyncio.run(main())


def test_a_lone_server_publishes_to_nobody(cluster):
    server = build()
    server.cluster.publish("score", 1)
    assert (server.cluster.name, server.cluster.node_name, server.cluster.nodes) == ("", "", [])
    for topic, error in ((5, TypeError), (":channels", ValueError)):
        with pytest.raises(error):
            server.cluster.publish(topic, 1)
        with pytest.raises(error):
            server.on_cluster_message(topic)
    assert cluster.servers[0].cluster.nodes == ["n1", "n2"]


def test_no_event_carries_what_clients_may_not_see(cluster):
    """Addresses and headers stay where the client is connected."""
    sent = []
    for carrier in cluster.carriers:
        move = carrier.send
        carrier.send = lambda node, batch, move=move: (sent.append(batch), move(node, batch))[1]
    visitor = MemoryClient(
        cluster.servers[0], {"cmd": "handshake"}, address="198.51.100.77", headers={"Cookie": "secret"}
    )
    visitor.say(
        {"cmd": "setid", "val": "alice"}, {"cmd": "gmsg", "val": 1}, {"cmd": "gvar", "name": "v", "val": 1}
    )
    visitor.leave()
    cluster.settle()
    assert sent
    assert not any(b"198.51.100.77" in batch or b"secret" in batch for batch in sent)


def test_a_faulty_event_is_ignored(cluster, caplog):
    alice, _bob = people(cluster, "alice", "bob")
    one, two = (server.cluster.node for server in cluster.servers)
    two.publish([one.id], "cl4", "default", b"no event")
    two.publish([one.id], "unknown", "default", json.dumps("x").encode())
    two.send(one.id, "no user", "default", b"\x90")
    assert heard(cluster, alice) == []
    assert one.counts["invalid"] == 3
    cluster.servers[1].hub.emit_to("default", CL4, Variable(b'"v"', b"1"))
    assert heard(cluster, alice)[0]["val"] == 1


def test_batches_are_spaced_when_there_is_much_to_send_and_sent_at_once_when_not(monkeypatch):
    cluster = MemoryCluster({"limits": False})  # the limits of packets have a clock of their own
    alice, bob = people(cluster, "alice", "bob")
    now = FakeClock(1e9)
    monkeypatch.setattr(time, "monotonic", now)
    scheduled = []
    monkeypatch.setattr(
        cluster.servers[0], "later", lambda delay, flush: scheduled.append((now() + delay, flush))
    )

    def say_every(seconds, times):
        """Alice speaks at equal intervals. Return when she did, when batches were sent, and how much bob has heard."""
        spoken, sent = [], []
        for _ in range(times):
            spoken.append(now())
            alice.say({"cmd": "gmsg", "val": 1})
            now.now += seconds
            while scheduled and scheduled[0][0] <= now():
                moment, flush = scheduled.pop(0)
                sent.append(moment)
                flush()
        return spoken, sent, len(heard(cluster, bob))

    _, sent, messages = say_every(0.0001, 1000)
    assert 48 <= len(sent) <= 51
    assert min(after - before for before, after in pairwise(sent)) > 0.0019
    assert messages > 950
    now.now += 1
    spoken, sent, messages = say_every(0.05, 20)
    assert sent[-20:] == spoken
    assert messages >= 20
