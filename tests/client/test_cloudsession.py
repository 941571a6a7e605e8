"""A cloud session, by its frames alone."""

import json

import pytest

from cloudlink.client import errors
from cloudlink.client.cloudsession import CloudSession, same
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


def test_the_handshake_names_user_and_project():
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


def test_after_a_reconnection_differences_are_reported():
    cloud = session(known={"☁ a": 1, "☁ b": 2, "☁ gone": 3})
    cloud.received(frame(a=1, b="2", new=4))
    assert cloud.ponged() == [CloudChange("☁ b", "2"), CloudChange("☁ new", 4)]
    assert "☁ gone" not in cloud.variables


def test_a_set_value_is_known_at_once():
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
def test_a_line_that_is_not_a_change_is_ignored(line):
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
    assert isinstance(cloud.closed(1000, ""), error)
    assert cloud.ponged() == []
    assert isinstance(cloud.failure, error)
    assert not cloud.ready


def test_the_first_foreign_text_counts():
    cloud = session()
    cloud.received("Server is full!")
    cloud.received("Good bye")
    assert isinstance(cloud.closed(1000, ""), errors.ServerFullError)


@pytest.mark.parametrize(
    ("answer", "values"),
    [("", {}), ('{"method":"set","name":"☁ x","value":1}', {"☁ x": 1})],
    ids=["no values", "values"],
)
def test_a_server_may_introduce_itself_after_its_answer(answer, values):
    """As the cloud server of scratchattach does."""
    cloud = session()
    cloud.received(answer)
    cloud.received("This server uses something")
    cloud.ponged()
    assert cloud.ready
    assert cloud.variables == values
    assert isinstance(cloud.closed(1006, ""), errors.DisconnectedError)


def test_a_code_counts_for_more_than_the_text_before_it():
    """Cloud servers explain in a text why they close with 4005."""
    cloud = session()
    cloud.received("The cloud data library you are using is putting your Scratch account at risk.")
    ended = cloud.closed(4005, "A login token was sent")
    assert isinstance(ended, errors.DisconnectedError)
    assert (ended.code, ended.reason) == (4005, "A login token was sent")


@pytest.mark.parametrize("ready", [False, True], ids=["before the values", "after them"])
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (1000, errors.DisconnectedError, "with 1000 (why)"),
        (1006, errors.DisconnectedError, "with 1006 (why)"),
        (4000, errors.DisconnectedError, "with 4000 (why)"),
        (4002, errors.NameRefusedError, "refuses the username bot: why. A username has 1 to 20"),
        (4003, errors.ServerFullError, "no room for this client (why)"),
        (4004, errors.DisconnectedError, "with 4004 (why)"),
        (4005, errors.DisconnectedError, "with 4005 (why)"),
    ],
)
def test_the_error_of_a_close_code_says_why(code, error, words, ready):
    cloud = session()
    if ready:
        cloud.ponged()
    ended = cloud.closed(code, "why")
    assert isinstance(ended, error)
    assert words in str(ended)


@pytest.mark.parametrize("code", [4002, 4003])
def test_a_close_code_without_a_reason_is_explained_too(code):
    assert "None" not in str(session().closed(code, ""))
    assert "()" not in str(session().closed(code, ""))


def test_types_make_values_different():
    assert same(1, 1)
    assert same(None, None)
    assert not same(1, "1")
    assert not same(1, 1.0)
