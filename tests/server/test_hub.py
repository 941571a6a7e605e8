"""Events reach local audiences, subscribers and the broker, each once."""

from __future__ import annotations

import pytest

from cloudlink.server.app import Server
from cloudlink.server.events import Joined, Left, Message, PrivateMessage, User, Variable
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.settings import Settings
from tests.support.memoryclients import MemoryClient, named

CL4 = Clpv4.schema
ELSEWHERE = User("n2", "7000", "0-0-0", "zoe")


class RecordingBroker:
    """A broker that carries the users of the node n2, and records its calls."""

    def __init__(self):
        self.published, self.sent, self.users = [], [], []

    def carries(self, node):
        return node == "n2"

    def publish(self, room, protocol, event):
        self.published.append((room, protocol, event))

    def send(self, user, room, event):
        self.sent.append((user, room, event))

    def joined(self, user, room, protocol):
        self.users.append(("joined", user.username, room, protocol))

    def left(self, user, room):
        self.users.append(("left", user.username, room))

    def renamed(self, user):
        self.users.append(("renamed", user.username))

    def gone(self, user):
        self.users.append(("gone", user.username))


@pytest.fixture
def broker():
    return RecordingBroker()


@pytest.fixture
def server(broker):
    server = Server(Settings(storage=""))
    server.federation.add_broker(broker)
    Clpv4(server)
    return server


def test_a_command_is_one_event_for_everybody(server, broker):
    heard = []
    alice, bob = named(server, "alice"), named(server, "bob")
    bob.heard()
    broker.published.clear()
    server.hub.subscribe(Message, lambda *told: heard.append(told))
    alice.say('{"cmd":"gmsg","val":1.0,"listener":"L"}')
    event = Message(b"1.0", alice.client.user)
    assert heard == [("default", CL4, event, alice.client.outbox)]
    assert broker.published == [("default", CL4, event)]
    assert bob.heard() == [{"cmd": "gmsg", "val": 1.0, "rooms": "default"}]


def test_events_from_another_process_do_not_go_out_again(server, broker):
    heard = []
    alice = named(server, "alice")
    alice.heard()
    broker.published.clear()
    server.hub.subscribe(Message, lambda *told: heard.append(told))
    event = Message(b'"hi"', ELSEWHERE)
    assert server.hub.deliver("default", CL4, event) > 0
    assert server.hub.deliver("nowhere", CL4, event) == 0
    assert alice.heard() == [{"cmd": "gmsg", "val": "hi", "rooms": "default"}]
    assert [told[0] for told in heard] == ["default", "nowhere"]
    assert broker.published == []


def test_a_room_without_members_here_is_published_all_the_same(server, broker):
    event = Variable(b'"n"', b"1")
    assert server.hub.emit_to("nowhere", CL4, event) == 0
    assert broker.published == [("nowhere", CL4, event)]


def test_the_last_member_here_is_missed_elsewhere(server, broker):
    alice = named(server, "alice")
    broker.published.clear()
    alice.leave()
    assert broker.published == [("default", CL4, Left(alice.client.user))]


def test_the_broker_hears_who_is_in_which_room_under_which_name(server, broker):
    alice = MemoryClient(server, {"cmd": "handshake"})
    alice.say({"cmd": "setid", "val": "alice"}, {"cmd": "link", "val": ["den", "hall"]})
    alice.say({"cmd": "unlink", "val": "den"})
    alice.leave()
    assert broker.users == [
        ("joined", None, "default", CL4),
        ("renamed", "alice"),
        ("left", "alice", "default"),
        ("joined", "alice", "den", CL4),
        ("joined", "alice", "hall", CL4),
        ("left", "alice", "den"),
        ("gone", "alice"),
    ]


def test_a_broker_that_was_removed_hears_nothing(server, broker):
    server.federation.remove_broker(broker)
    named(server, "alice").say({"cmd": "gmsg", "val": 1})
    assert (broker.users, broker.published) == ([], [])


def test_a_user_elsewhere_is_sent_to_by_the_broker(server, broker):
    alice = named(server, "alice")
    alice.heard()
    event = PrivateMessage(b"1", alice.client.user)
    gone = User("", "1", "2", "gone")
    copies = [("default", ELSEWHERE), ("default", alice.client.user), ("default", gone)]
    assert server.hub.send(copies, event) == 2
    assert broker.sent == [(ELSEWHERE, "default", event)]
    assert [packet["cmd"] for packet in alice.heard()] == ["pmsg"]


def test_a_subscriber_that_fails_keeps_nothing_from_anybody(server, broker, caplog):
    heard = []
    alice = named(server, "alice")
    alice.heard()
    server.hub.subscribe(Message, lambda *_: 1 / 0)
    server.hub.subscribe(Message, lambda room, *_: heard.append(room))
    alice.say({"cmd": "gmsg", "val": 1})
    assert heard == ["default"]
    assert "A subscriber of Message events failed." in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_subscribers_hear_of_their_kind_only(server):
    heard = []
    for kind in (Joined, Left):
        server.hub.subscribe(kind, lambda _room, _protocol, event, _skip: heard.append(event))
    alice = named(server, "alice")
    alice.say({"cmd": "gmsg", "val": 1}, {"cmd": "link", "val": "den"})
    user = alice.client.user
    assert heard == [Joined(user), Left(user), Joined(user)]


def test_the_size_of_all_copies_is_returned(server):
    alice = named(server, "alice")
    one = server.hub.emit(alice.client.joined["default"], Message(b"1"))
    named(server, "bob")
    alice.heard()
    assert server.hub.emit(alice.client.joined["default"], Message(b"1")) == 2 * one
    assert [len(packet) for packet in alice.heard()] == [3]


# Leaving users out.


def test_users_left_out_are_named_in_the_event_so_that_other_processes_leave_them_out_too(server, broker):
    heard = []
    alice, bob, carol = (named(server, name) for name in ("alice", "bob", "carol"))
    for each in (alice, bob, carol):
        each.heard()
    broker.published.clear()
    server.hub.subscribe(Message, lambda *told: heard.append(told))
    alice.say({"cmd": "gmsg", "val": 1, "id": {"except": ["bob", "alice"]}})
    event = Message(b"1", alice.client.user, left_out=(bob.client.snowflake, alice.client.snowflake))
    assert heard == [("default", CL4, event, alice.client.outbox)]
    assert broker.published == [("default", CL4, event)]
    assert [each.heard() for each in (alice, bob)] == [[], []]
    assert carol.heard() == [{"cmd": "gmsg", "val": 1, "rooms": "default"}]


def test_an_event_of_another_process_leaves_out_users_here(server):
    alice, bob = named(server, "alice"), named(server, "bob")
    alice.heard(), bob.heard()
    event = Variable(b'"x"', b"1", ELSEWHERE, left_out=(alice.client.snowflake, ELSEWHERE.id))
    assert server.hub.deliver("default", CL4, event) > 0
    assert alice.heard() == []
    assert bob.heard() == [{"cmd": "gvar", "name": "x", "val": 1, "rooms": "default"}]


def test_a_message_with_exceptions_is_written_once_for_each_dialect(server, monkeypatch):
    alice, *others = (named(server, f"user{number}") for number in range(5))
    written = []
    dialect = alice.client.dialect
    write = dialect.writers[Message]
    monkeypatch.setitem(dialect.writers, Message, lambda *told: written.append(told) or write(*told))
    alice.say({"cmd": "gmsg", "val": 1, "id": {"except": "me"}})
    assert len(written) == 1
    assert [other.heard()[-1]["val"] for other in others] == [1] * 4
