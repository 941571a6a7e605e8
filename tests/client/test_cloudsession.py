"""A cloud session, by its frames alone."""

import json

import pytest

from cloudlink.client import errors
from cloudlink.client.cloudsession import CloudSession, is_final, same
from cloudlink.client.events import CloudChange


def frame(**variables):
    return "\n".join(
        json.dumps({"method": "set", "name": f"☁ {name}", "value": value})
        for name, value in variables.items()
    )


def session(known=None):
    made = CloudSession("104", "bot", known)
    made.opened()
    made.outgoing.clear()
    return made


def test_the_handshake_says_who_and_where():
    made = CloudSession("104", "bot")
    made.opened()
    [text] = made.outgoing
    assert json.loads(text) == {"method": "handshake", "user": "bot", "project_id": "104"}


def test_values_before_the_pong_are_those_of_the_beginning():
    cloud = session()
    assert cloud.received(frame(a=1, b="002")) == []
    assert not cloud.ready
    assert cloud.ponged() == []
    assert cloud.ready
    assert cloud.variables == {"☁ a": 1, "☁ b": "002"}
    assert cloud.received(frame(a=2)) == [CloudChange("☁ a", 2)]
    assert cloud.ponged() == []


def test_after_a_break_what_differs_is_told():
    cloud = session(known={"☁ a": 1, "☁ b": 2, "☁ gone": 3})
    cloud.received(frame(a=1, b="2", new=4))
    assert cloud.ponged() == [CloudChange("☁ b", "2"), CloudChange("☁ new", 4)]
    assert "☁ gone" not in cloud.variables


def test_what_is_set_is_known_at_once():
    cloud = session()
    cloud.ponged()
    cloud.set("☁ a", 5)
    [text] = cloud.outgoing
    assert json.loads(text) == {
        "method": "set",
        "name": "☁ a",
        "value": 5,
        "user": "bot",
        "project_id": "104",
    }
    assert cloud.variables == {"☁ a": 5}


@pytest.mark.parametrize(
    "line",
    ["", '{"method":"ack"}', '{"method":"set","name":5,"value":1}', '{"method":"set","name":"x","value":[]}'],
)
def test_what_is_no_change_is_passed_over(line):
    cloud = session()
    assert cloud.received(line) == []
    assert cloud.failure is None
    cloud.ponged()
    assert cloud.received(f"{line}\n{frame(a=1)}\n") == [CloudChange("☁ a", 1)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Unable to identify protocol", errors.WrongServerError),
        ('{"cmd":"server_version","val":"0.2.0"}', errors.WrongServerError),
        ("Server is full!", errors.ServerFullError),
    ],
)
def test_servers_that_have_no_cloud(text, error):
    cloud = session()
    cloud.received(text)
    assert isinstance(cloud.failure, error)
    assert cloud.ponged() == []
    assert not cloud.ready
    assert cloud.closed(1000, "") is cloud.failure


@pytest.mark.parametrize(
    ("code", "error", "final"),
    [
        (4002, errors.NameRefusedError, True),
        (4003, errors.ServerFullError, False),
        (4004, errors.DisconnectedError, True),
        (4005, errors.DisconnectedError, True),
        (1000, errors.DisconnectedError, True),
        (4000, errors.DisconnectedError, False),
        (1006, errors.DisconnectedError, False),
    ],
)
def test_what_the_end_means(code, error, final):
    ended = session().closed(code, "")
    assert isinstance(ended, error)
    assert is_final(ended) == final


def test_types_make_values_different():
    assert same(1, 1)
    assert same(None, None)
    assert not same(1, "1")
    assert not same(1, 1.0)
