"""Commands of older eras: what they may cost, and what they leave behind."""

from __future__ import annotations

import json

import pytest

from cloudlink.server.events import (
    ChannelMessage,
    ChannelVariable,
    Custom,
    LinkedMessage,
    LinkedVariable,
    Message,
    PrivateMessage,
)
from cloudlink.server.protocols.clpv4.dialects import DIALECTS
from cloudlink.server.protocols.clpv4.dialects.cl2_late import CL2_LATE
from cloudlink.server.protocols.clpv4.schema import Schema
from tests.support.eras import opening
from tests.support.memoryclients import MemoryClient
from tests.support.servers import build

KIB = 1 << 10
MIB = 1 << 20


@pytest.fixture
def server():
    return build()


def guest(server, era, name=""):
    visitor = MemoryClient(server, *opening(era, name))
    visitor.heard()
    return visitor


def arrived(visitor):
    """The packets that a visitor has received, except user lists."""
    return [
        packet for packet in visitor.heard() if "ul" not in (packet.get("type"), packet.get("cmd", "")[:2])
    ]


def channels(server):
    return server.hooks.engines[Schema]._legacy._channels


def crowd(server, count):
    """Late clients of CL2, all in the channel `host`."""
    members = [guest(server, "CL2 late", f"m{number}") for number in range(count)]
    for member in members:
        member.say("<%rl>\nme\nhost")
    for member in members:
        member.heard()
    return members


def counted(monkeypatch, dialect, kind):
    """Count how often a dialect writes events of a kind."""
    calls = []
    write = dialect.writers[kind]

    def call(event, *args):
        calls.append(args)
        return write(event, *args)

    monkeypatch.setitem(dialect.writers, kind, call)
    return calls


# Channels.


@pytest.mark.parametrize(
    "leave",
    [
        lambda visitor: visitor.leave(),
        lambda visitor: visitor.say("<%ds>\nme"),
        lambda visitor: visitor.say("<%rt>\nme"),
        lambda visitor: visitor.say('{"cmd":"handshake"}'),
    ],
    ids=["lost", "says so", "leaves", "becomes CL4"],
)
def test_nothing_is_left_of_a_channel_that_nobody_is_in(server, leave):
    members = crowd(server, 3)
    members[0].say("<%l_g>\n0\nme\nkept")
    for member in members:
        leave(member)
    assert channels(server)._channels == {}
    assert channels(server)._channel_of == {}


def test_a_client_that_changes_channels_leaves_nothing_behind(server):
    visitor = guest(server, "CL2 late", "alice")
    for number in range(200):
        visitor.say(f"<%rl>\nme\nhost {number}")
    assert list(channels(server)._channels) == ["host 199"]


def test_the_name_of_a_channel_has_an_end(server):
    visitor = guest(server, "CL2 late", "alice")
    assert visitor.ask("<%rl>\nme\n" + "x" * 1001) == []
    assert channels(server)._channels == {}
    assert visitor.ask("<%rl>\nme\n" + "x" * 1000) != []


def test_much_data_is_not_kept_for_newcomers(server):
    first, second = crowd(server, 1)[0], guest(server, "CL2 late", "b")
    text = "x" * 17 * KIB
    assert first.ask(f"<%l_g>\n0\nme\n{text}")[-1]["data"]["data"] == text
    second.say("<%rl>\nme\nhost")
    assert [packet["data"]["data"] for packet in arrived(first)] == [""]


def test_large_channel_data_is_sent_to_a_newcomer_alone(server):
    members = crowd(server, 9)
    members[0].say(f"<%l_g>\n0\nme\n{'x' * 7 * KIB}")
    for member in members:
        member.heard()
    newcomer = guest(server, "CL2 late", "new")
    assert newcomer.ask("<%rl>\nme\nhost")[0]["data"]["data"] == "x" * 7 * KIB
    assert [arrived(member) for member in members] == [[]] * 9


@pytest.mark.parametrize(("size", "arrives"), [(64 * KIB, True), (66 * KIB, False)])
def test_copies_that_nobody_shares_are_bounded(server, size, arrives):
    members = crowd(server, 63)
    sender = guest(server, "CL4 0.2.0", "sender")
    text = "x" * size
    for cmd in ("pmsg", "pvar"):
        names = [f"m{number}" for number in range(63)]
        answers = sender.ask({"cmd": cmd, "id": names, "name": "v", "val": text, "listener": "L"})
        assert [answer["code_id"] for answer in answers] == [100 if arrives else 113]
        assert [len(arrived(member)) for member in members] == [arrives] * 63
    members[0].say(f"<%l_g>\n0\nme\n{text}")
    members[0].say(f"<%l_p>\n0\nme\n{json.dumps(names)}\n{text}")
    members[0].say(f"<%l_p>\n2\nme\n{json.dumps(names)}\nv\n{text}")
    assert [len(member.heard()) for member in members[1:]] == [3 * arrives] * 62


def test_a_single_copy_may_be_as_long_as_any_message(server):
    receiver = guest(server, "CL2 early", "bob")
    guest(server, "CL4 0.2.0", "sender").say({"cmd": "pmsg", "id": "bob", "val": "x" * (MIB - 100)})
    assert [len(packet["data"]) for packet in arrived(receiver)] == [MIB - 100]


def test_a_variable_of_a_channel_is_written_once(server, monkeypatch):
    members = crowd(server, 5)
    calls = counted(monkeypatch, CL2_LATE, ChannelVariable)
    members[0].say("<%l_g>\n2\nme\nv\n1")
    assert [len(member.heard()) for member in members[1:]] == [1] * 4
    assert len(calls) == 1


def test_nobody_but_cl2_can_be_sent_what_is_linked(server, caplog):
    sender, *others = (
        guest(server, era, era) for era in ("CL2 late", "CL3 0.1.7", "CL4 0.1.8", "CL4 0.2.0", "CL2 early")
    )
    sender.say("<%rl>\nme\nhost")
    for other in others:
        sender.say(
            f"<%l_p>\n0\nme\n{other.client.username}\nx", f"<%l_p>\n2\nme\n{other.client.username}\nv\nx"
        )
        other.heard()
        assert other.heard() == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_every_dialect_can_be_asked_for_its_words_of_a_channel(server):
    recipient = guest(server, "CL2 late", "alice").client.user
    name, val = b'"v"', b"1"
    events = (ChannelMessage(val), ChannelVariable(name, val), LinkedMessage(val), LinkedVariable(name, val))
    for event in events:
        spoken = {dialect.name for dialect in DIALECTS if dialect.write(event, "", b"", recipient)}
        assert spoken == {"CL2 late"}


# 0.1.5 and 0.1.7.


def test_clear_is_written_once_for_each_dialect(server, monkeypatch):
    clearing = guest(server, "CL3 0.1.5", "alice")
    others = [guest(server, "CL3 0.1.7", f"c{number}") for number in range(5)]
    for visitor in others:
        visitor.heard()
    messages = counted(monkeypatch, others[0].client.dialect, Message)
    private = counted(monkeypatch, others[0].client.dialect, PrivateMessage)
    clearing.say({"cmd": "clear"})
    for visitor in others:
        assert visitor.heard() == [
            {"cmd": "gmsg", "val": ""},
            {"cmd": "pmsg", "val": "", "origin": "alice"},
        ]
    assert (len(messages), len(private)) == (1, 1)


def test_a_command_of_the_projects_own_is_written_once(server, monkeypatch):
    sender, *others = (guest(server, "CL3 0.1.7", f"c{number}") for number in range(5))
    calls = counted(monkeypatch, others[0].client.dialect, Custom)
    names = [visitor.client.username for visitor in others]
    assert sender.ask({"cmd": "wave", "id": names, "val": 1})[-1]["val"] == "I:100 | OK"
    for visitor in others:
        assert visitor.heard()[-1] == {"cmd": "wave", "val": 1, "origin": "c0"}
    assert len(calls) == 1


@pytest.mark.parametrize(
    "cmd", ["ulist", "statuscode", "ds", "direct", "client_ip", "server_version", "motd"]
)
def test_nobody_speaks_for_the_server(server, cmd):
    sender, receiver = guest(server, "CL3 0.1.7", "alice"), guest(server, "CL3 0.1.7", "bob")
    sender.say(json.dumps({"cmd": cmd, "id": "bob", "val": {"cmd": "vers"}}))
    text = {"cmd": "direct", "val": '{"cmd": "vers"}'}  # a text, which clients do not take for the server's
    assert receiver.heard() == ([text] if cmd == "direct" else [])


@pytest.mark.parametrize("era", ["CL3 0.1.5", "CL3 0.1.7"])
def test_a_late_handshake_is_answered_with_its_listener(server, era):
    visitor = guest(server, era, "alice")
    answers = visitor.ask({"cmd": "handshake", "listener": "h"})
    assert [answer["cmd"] for answer in answers] == [
        "client_ip",
        "server_version",
        "client_obj",
        "ulist",
        "statuscode",
    ]
    assert answers[-1]["listener"] == "h"


@pytest.mark.parametrize(
    ("val", "fits"),
    [
        ("x" * 1000, True),
        ("x" * 1001, False),
        ("\n" * 1000, True),  # written as an escape each
        ("\N{GRINNING FACE}" * 1000, True),
        ("\N{GRINNING FACE}" * 1001, False),
        ("x" * 20_000, False),
        ([0] * 400, False),
        ([0] * 300, True),
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_the_limit_of_017_is_one_of_characters(server, val, fits, escaped):
    visitor = guest(server, "CL3 0.1.7", "alice")
    answers = visitor.ask(json.dumps({"cmd": "gmsg", "val": val}, ensure_ascii=escaped))
    assert answers[-1]["val"] == ("I:100 | OK" if fits else "E:107 | Packet too large")


@pytest.mark.parametrize("text", ["\u00a01", "\u20281", "\x1f1", "1\u3000"])
def test_text_that_only_looks_like_json_stays_text(server, text):
    visitor = guest(server, "CL3 0.1.7", "alice")
    assert visitor.ask({"cmd": "gvar", "name": "v", "val": text})[0]["val"] == text


# Rooms of those who have none.


@pytest.mark.parametrize("era", ["CL2 late", "CL3 0.1.5", "CL3 0.1.7"])
def test_a_client_without_rooms_stays_where_a_plugin_puts_it(server, era):
    moved, inside, outside = (
        guest(server, era, "alice"),
        guest(server, "CL4 0.2.0", "bob"),
        guest(server, "CL4 0.2.0", "carol"),
    )
    server.rooms_manager.subscribe(moved.client, "r")
    server.rooms_manager.unsubscribe(moved.client, "default")
    inside.say({"cmd": "link", "val": "r"})
    for visitor in (moved, inside, outside):
        visitor.heard()

    moved.say("<%gs>\nme\nhi" if era == "CL2 late" else {"cmd": "gmsg", "val": "hi", "rooms": "default"})
    assert inside.heard() == [{"cmd": "gmsg", "val": "hi", "rooms": "r"}]
    if era == "CL3 0.1.5":
        moved.say({"cmd": "clear"})
        assert [packet["val"] for packet in inside.heard()] == ["", ""]
    assert outside.heard() == []


def test_a_name_of_separators_leaves_no_gap_in_a_list(server):
    guest(server, "CL4 0.2.0", ";;")
    visitor = MemoryClient(server)
    assert visitor.ask("<%sh>")[-1] == {"type": "ul", "data": ""}


@pytest.mark.parametrize("era", ["CL4 0.1.8", "CL3 0.1.5"])
def test_an_unknown_command_is_routed_only_in_the_eras_that_did(server, era):
    bob = guest(server, "CL3 0.1.7", "bob")
    visitor = guest(server, era, "mia")
    bob.heard()
    answers = visitor.ask({"cmd": "spell", "id": "bob", "val": "abracadabra", "listener": "l"})
    assert bob.heard() == []
    assert all("abracadabra" not in json.dumps(answer) for answer in answers)


@pytest.mark.parametrize("without", ["id", "val"])
def test_an_unknown_command_is_routed_only_with_an_id_and_a_value(server, without):
    bob = guest(server, "CL3 0.1.7", "bob")
    visitor = guest(server, "CL3 0.1.7", "mia")
    bob.heard()
    packet = {"cmd": "spell", "id": "bob", "val": "abracadabra"}
    (answer,) = visitor.ask(
        {key: value for key, value in packet.items() if key != without} | {"listener": "l"}
    )
    assert answer == {"cmd": "statuscode", "val": "E:101 | Syntax"}
    assert bob.heard() == []
    visitor.say(packet)
    assert "abracadabra" in json.dumps(bob.heard())
