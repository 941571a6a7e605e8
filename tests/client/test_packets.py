"""From frames to events and back."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudlink.client import events, packets

ALICE = {"id": "7", "uuid": "u7", "username": "alice"}
USER = events.User("7", "u7", "alice")


@pytest.mark.parametrize(
    ("packet", "event"),
    [
        ({"cmd": "gmsg", "val": [1], "rooms": "r"}, events.GlobalMessage([1], "r")),
        ({"cmd": "gmsg", "val": 1, "listener": 0}, events.GlobalMessage(1, "default", 0)),
        ({"cmd": "gvar", "name": "n", "val": None, "rooms": "r"}, events.GlobalVariable("n", None, "r")),
        ({"cmd": "pmsg", "val": 1, "origin": ALICE, "rooms": "r"}, events.PrivateMessage(1, USER, "r")),
        (
            {"cmd": "pvar", "name": "n", "val": 1, "origin": ALICE, "rooms": "r"},
            events.PrivateVariable("n", 1, USER, "r"),
        ),
        ({"cmd": "direct", "val": 1, "origin": {"id": "7", "uuid": "u7"}, "listener": "l"},
         events.DirectMessage(1, events.User("7", "u7"), "l")),
        ({"cmd": "ulist", "mode": "set", "val": [ALICE], "rooms": "r"}, events.UserList((USER,), "r")),
        ({"cmd": "ulist", "mode": "add", "val": ALICE, "rooms": "r"}, events.UserJoined(USER, "r")),
        ({"cmd": "ulist", "mode": "remove", "val": ALICE, "rooms": "r"}, events.UserLeft(USER, "r")),
        ({"cmd": "statuscode", "code": "E:103 | x", "code_id": 103, "details": "d", "listener": "l"},
         events.StatusCode("E:103 | x", 103, "d", "l")),
        ({"cmd": "motd", "val": "hello"}, events.MessageOfTheDay("hello")),
    ],
)  # fmt: skip
def test_each_packet_is_its_event(packet, event):
    assert packets.read(json.dumps(packet)) == (event, packet)


@pytest.mark.parametrize(
    "packet",
    [
        {"cmd": "plugin's own", "val": 1},
        {"cmd": "gmsg"},
        {"cmd": "gvar", "val": 1, "name": 5},
        {"cmd": "pmsg", "val": 1, "origin": "alice"},
        {"cmd": "ulist", "mode": "set", "val": "alice;bob;"},
        {"cmd": "ulist", "mode": "set", "val": ["alice"]},
        {"cmd": "ulist", "mode": "shake", "val": []},
        {"cmd": "statuscode", "code": "I:100 | OK"},
    ],
)
def test_an_unknown_packet_is_handed_on_as_it_came(packet):
    assert packets.read(json.dumps(packet)) == (events.OtherPacket(packet), packet)


@pytest.mark.parametrize("text", ["", "Server is full!", "[]", "5", "{}", '{"cmd":5}', '{"cmd":"gmsg"'])
def test_text_that_is_not_a_packet_is_reported(text):
    assert packets.read(text) == (events.Unreadable(text), None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
KEYS = st.sampled_from(["val", "name", "rooms", "origin", "mode", "code", "code_id", "listener", "id"])


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text of a run builds a table
@given(cmd=st.sampled_from([*packets._READERS, "other"]), rest=st.dictionaries(KEYS, JSON, max_size=3))
def test_no_packet_is_too_odd(cmd, rest):
    assert isinstance(packets.read(json.dumps({"cmd": cmd, **rest}))[0], events.Event)


@given(text=st.text())
def test_no_text_is_too_odd(text):
    assert isinstance(packets.read(text)[0], events.Event)


@given(value=JSON)
def test_values_come_through(value):
    sent = json.loads(packets.encode("gmsg", {"val": value, "rooms": None}))
    assert sent == {"cmd": "gmsg", "val": value}


def test_a_value_that_json_has_not_is_refused():
    with pytest.raises(TypeError):
        packets.encode("gmsg", {"val": object()})


def test_a_status_is_ok_by_its_letter():
    assert events.StatusCode("I:100 | OK", 100).ok
    assert not events.StatusCode("E:103 | ID not found", 103).ok


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": 1}, events.User("1", "")),
        ({"uuid": "u"}, events.User("", "u")),
        ({"id": "1", "uuid": "u", "username": 5}, events.User("1", "u", "5")),
    ],
)
def test_a_user_needs_one_of_both_ids(value, expected):
    assert packets.user(value) == expected


@pytest.mark.parametrize("value", [{}, {"username": "x"}, [], "id", None])
def test_what_has_neither_is_no_user(value):
    with pytest.raises(ValueError):
        packets.user(value)
