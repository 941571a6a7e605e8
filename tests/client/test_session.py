"""A client's session, by its frames alone."""

import json
import re

import pytest

from cloudlink.client import errors
from cloudlink.client.events import (
    Connected,
    DirectMessage,
    GlobalMessage,
    MessageOfTheDay,
    OtherPacket,
    StatusCode,
    Unreadable,
    User,
    UserJoined,
    UserList,
)
from cloudlink.client.session import DesiredState, Session

ME = {"id": "1", "uuid": "m"}
NAMED = {**ME, "username": "bot"}
BOB = {"id": "2", "uuid": "b", "username": "bob"}


class Server:
    """The other side: what a session sends, and what a server would answer."""

    def __init__(self, session):
        self.session = session
        session.opened()

    def sent(self):
        frames = [json.loads(text) for text in self.session.outgoing]
        self.session.outgoing.clear()
        return frames

    def says(self, *packets):
        return [event for packet in packets for event in self.session.received(json.dumps(packet))]

    def greets(self, version="0.2.0"):
        [handshake] = self.sent()
        assert handshake["cmd"] == "handshake"
        return self.says(
            {"cmd": "client_ip", "val": "127.0.0.1"},
            {"cmd": "server_version", "val": version},
            {"cmd": "motd", "val": "Be kind."},
            {"cmd": "client_obj", "val": ME},
            {"cmd": "ulist", "mode": "set", "val": [BOB], "rooms": "default"},
            ok(handshake),
        )


def ok(request, **more):
    answer = {"cmd": "statuscode", "code": "I:100 | OK", "code_id": 100, **more}
    return {**answer, "listener": request["listener"]} if "listener" in request else answer


def refusal(request, code_id, text, **more):
    return ok(request, **more) | {"code": f"E:{code_id} | {text}", "code_id": code_id}


def ready(**desired):
    server = Server(Session(DesiredState(**desired)))
    server.greets()
    return server


def started():
    """A session with a name in the room `default`."""
    server = ready(username="bot")
    [setid] = server.sent()
    server.says(
        {"cmd": "ulist", "mode": "set", "val": [BOB, NAMED], "rooms": "default"}, ok(setid, val=NAMED)
    )
    return server


def test_without_wishes_the_greeting_is_all():
    server = Server(Session(DesiredState()))
    events = server.greets()
    bob = User("2", "b", "bob")
    assert events == [
        Connected(User("1", "m"), again=False, rooms=("default",)),
        UserList((bob,), "default"),
        MessageOfTheDay("Be kind."),
    ]
    assert server.session.ready
    assert server.session.version == "0.2.0"
    assert server.session.users.by_room["default"] == (bob,)


def test_name_and_rooms_are_asked_for_one_after_the_other():
    desired = DesiredState("bot", ["r1", "r2"])
    server = Server(Session(desired, again=True))
    assert server.greets() == []
    [setid] = server.sent()
    assert (setid["cmd"], setid["val"]) == ("setid", "bot")
    assert server.says(ok(setid, val=NAMED)) == []
    [link] = server.sent()
    assert (link["cmd"], link["val"]) == ("link", ["r1", "r2"])
    events = server.says(
        {"cmd": "ulist", "mode": "set", "val": [NAMED], "rooms": "r1"},
        {"cmd": "gmsg", "val": "early bird", "rooms": "r1"},
        {"cmd": "ulist", "mode": "set", "val": [NAMED, BOB], "rooms": "r2"},
        ok(link),
    )
    me, bob = User("1", "m", "bot"), User("2", "b", "bob")
    assert events == [
        Connected(me, again=True, rooms=("r1", "r2")),
        UserList((me,), "r1"),
        UserList((me, bob), "r2"),
        MessageOfTheDay("Be kind."),
        GlobalMessage("early bird", "r1"),
    ]


def test_user_lists_of_rooms_left_during_the_start_are_dropped():
    server = Server(Session(DesiredState("bot", ["r1"])))
    server.greets()  # with the user list of `default`
    [setid] = server.sent()
    server.says(ok(setid, val=NAMED))
    [link] = server.sent()
    events = server.says({"cmd": "ulist", "mode": "set", "val": [NAMED], "rooms": "r1"}, ok(link))
    assert [event.room for event in events if isinstance(event, UserList)] == ["r1"]
    assert list(server.session.users.by_room) == ["r1"]


def test_the_next_session_begins_where_this_one_ended():
    desired = DesiredState()
    server = Server(Session(desired))
    server.greets()
    server.session.command("setid", {"val": "bot"})
    server.session.command("link", {"val": ["r1", "r2"]})
    server.session.command("link", {"val": "r3"})
    server.session.command("unlink", {"val": "r1"})
    requests = server.sent()
    server.says(ok(requests[0], val=NAMED), *map(ok, requests[1:]))
    assert desired == DesiredState("bot", ["r2", "r3"])
    assert server.session.rooms == ("r2", "r3")
    again = Server(Session(desired, again=True))
    again.greets()
    [setid] = again.sent()
    again.says(ok(setid, val=NAMED))
    assert [packet["val"] for packet in again.sent()] == [["r2", "r3"]]


@pytest.mark.parametrize(
    ("commands", "rooms"),
    [
        ([("link", ["default", "r1"])], ("default", "r1")),
        ([("link", "r1"), ("link", "default")], ("r1", "default")),
        ([("link", [])], ("default",)),
        ([("link", 5)], ("5",)),
        ([("link", ["r1"]), ("unlink", "")], ("default",)),
        ([("link", ["r1"]), ("unlink", ["r1", "never joined"])], ("default",)),
        ([("link", ["r1"]), ("unlink", "r2")], ("r1",)),
        ([("link", "default")], ("default",)),
        ([("link", ["r1", "default"])], ("default", "r1")),
    ],
)
def test_rooms_follow_what_the_server_agreed_to(commands, rooms):
    server = started()
    for cmd, value in commands:
        server.session.command(cmd, {"val": value})
        [request] = server.sent()
        server.says(ok(request))
    assert server.session.rooms == rooms


def test_a_refused_request_changes_nothing():
    server = started()
    server.session.command("link", {"val": "r1"})
    [request] = server.sent()
    [status] = server.says(refusal(request, 111, "ID required"))
    assert status == StatusCode("E:111 | ID required", 111, listener=request["listener"])
    assert server.session.rooms == ("default",)


def test_lists_of_rooms_left_are_forgotten():
    server = started()
    server.session.command("link", {"val": "r1"})
    [request] = server.sent()
    server.says({"cmd": "ulist", "mode": "set", "val": [NAMED], "rooms": "r1"}, ok(request))
    assert list(server.session.users.by_room) == ["r1"]


def test_user_lists_are_reported_once():
    server = started()
    eve = {"id": "3", "uuid": "e", "username": "eve"}
    joined = {"cmd": "ulist", "mode": "add", "val": eve, "rooms": "default"}
    assert server.says(joined, joined) == [UserJoined(User("3", "e", "eve"), "default")]


def test_garbage_on_the_way_is_an_event_and_no_end():
    server = started()
    assert server.session.received("what?") == [Unreadable("what?")]
    assert server.says({"cmd": "plugin", "val": 1}) == [OtherPacket({"cmd": "plugin", "val": 1})]
    assert server.says({"cmd": "gmsg", "val": 1, "rooms": "default"}) == [GlobalMessage(1, "default")]
    assert server.session.failure is None


def test_listeners_cannot_be_guessed_from_others():
    servers = [Server(Session(DesiredState())) for _ in range(2)]
    for server in servers:
        server.session.request("direct", {"id": "bob", "val": 1})
        server.session.request("direct", {"id": "bob", "val": 2})
    listeners = [packet["listener"] for server in servers for packet in server.sent()]
    assert len(set(listeners)) == 6
    # Each has 64 bits of its own, none of which are in its neighbours.
    assert all(re.fullmatch("python-[0-9a-f]{16}", listener) for listener in listeners)
    assert (
        len({listener[:15] for listener in listeners}) == len({listener[15:] for listener in listeners}) == 6
    )


# How a start can fail.


def test_a_refused_name():
    server = ready(username="bot")
    [setid] = server.sent()
    assert server.says(refusal(setid, 112, "ID conflict", details="It is taken.")) == []
    failure = server.session.failure
    assert isinstance(failure, errors.NameRefusedError)
    assert (failure.username, failure.code) == ("bot", 112)
    assert str(failure) == "The server refuses the username bot: It is taken."
    assert not server.session.ready


def test_refused_rooms():
    server = ready(username="bot", rooms=["r1"])
    [setid] = server.sent()
    server.says(ok(setid, val=NAMED))
    [link] = server.sent()
    server.says(refusal(link, 110, "Command disabled"))
    assert isinstance(server.session.failure, errors.RequestError)
    assert server.session.failure.status.code_id == 110


def test_a_full_server():
    server = Server(Session(DesiredState()))
    server.session.received("Server is full!")
    assert isinstance(server.session.failure, errors.ServerFullError)
    assert server.session.closed(1000, "Server is full!") is server.session.failure


@pytest.mark.parametrize("text", ["Welcome to my chat", '{"type":"welcome"}', "x" * 200])
def test_a_server_that_speaks_something_else(text):
    server = Server(Session(DesiredState()))
    server.session.received(text)
    assert isinstance(server.session.failure, errors.WrongServerError)
    assert len(str(server.session.failure)) < 150


def test_a_server_of_an_older_generation():
    server = Server(Session(DesiredState(username="bot")))
    server.greets(version="0.1.9.2")
    assert isinstance(server.session.failure, errors.WrongServerError)
    assert "0.1.9.2" in str(server.session.failure)
    assert server.sent() == []


def test_a_server_without_a_version():
    server = Server(Session(DesiredState()))
    [handshake] = server.sent()
    server.says(ok(handshake))
    assert isinstance(server.session.failure, errors.WrongServerError)


def test_a_refused_greeting():
    server = Server(Session(DesiredState()))
    [handshake] = server.sent()
    server.says(refusal(handshake, 110, "Command disabled"))
    assert isinstance(server.session.failure, errors.RequestError)


def test_ends_before_and_after_the_greeting():
    assert isinstance(
        Session(DesiredState()).closed(1000, "Unable to identify protocol"), errors.WrongServerError
    )
    assert isinstance(Session(DesiredState()).closed(1006, ""), errors.DisconnectedError)
    error = started().session.closed(1000, "bye")
    assert isinstance(error, errors.DisconnectedError)
    assert (error.code, error.reason) == (1000, "bye")


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 4000])
def test_a_server_that_did_not_understand_the_handshake(code):
    error = Session(DesiredState()).closed(code, "What?")
    assert isinstance(error, errors.WrongServerError)
    assert error.close_code == code
    assert error.permanent
    assert f"with {code} (What?) instead of greeting" in str(error)
    assert isinstance(ready().session.closed(code, "What?"), errors.DisconnectedError)


# Answers to requests.


def answered(session):
    """The answers that have come, without their listeners."""
    return [event for _, event in session.answers]


@pytest.mark.parametrize(
    "answer",
    [
        {"cmd": "statuscode", "code": "I:100 | OK", "code_id": 100},
        {"cmd": "gmsg", "val": 1, "rooms": "default"},
        {"cmd": "direct", "val": "Hello!"},
        {"cmd": "pmsg", "val": "Hello!", "rooms": "default"},
        {"cmd": "pvar", "name": "n", "val": "Hello!"},
        {"cmd": "roll", "val": 6, "origin": BOB},
        {"cmd": "roll"},
        {"cmd": "motd", "val": "Be kind."},
        {"cmd": "ulist", "mode": "set", "val": [BOB], "rooms": "default"},
        {"cmd": "client_obj", "val": ME},
        {"cmd": "statuscode", "code": 5},
    ],
    ids=lambda packet: "-".join(map(str, packet.values()))[:30],
)
def test_whatever_comes_with_the_listener_of_a_request_answers_it(answer):
    server = started()
    listener = server.session.request("plugin", {"val": 1})
    assert server.says({**answer, "listener": listener}) == []
    [(answered_listener, event)] = server.session.answers
    assert answered_listener == listener
    # It answers once; what comes after it is an event again.
    server.says({**answer, "listener": listener})
    assert server.session.answers == [(listener, event)]


@pytest.mark.parametrize("cmd", ["direct", "pmsg", "pvar"])
@pytest.mark.parametrize("origin", [BOB, "bob", None, {}])
def test_a_packet_of_another_client_does_not_answer_a_request_to_the_server(cmd, origin):
    server = started()
    listener = server.session.request("plugin", {"val": 1})
    assert server.says({"cmd": cmd, "name": "n", "val": "fake", "origin": origin, "listener": listener}) != []
    assert server.session.answers == []
    server.says({"cmd": "plugin", "val": "real", "listener": listener})
    assert answered(server.session) == [OtherPacket({"cmd": "plugin", "val": "real", "listener": listener})]


def test_a_direct_of_another_client_answers_a_direct():
    server = started()
    listener = server.session.request("direct", {"id": "bob", "val": "How are you?"})
    server.says({"cmd": "direct", "val": "fine", "origin": BOB, "listener": listener})
    assert answered(server.session) == [DirectMessage("fine", User("2", "b", "bob"), listener)]


def test_a_user_list_that_answers_a_request_counts_as_one():
    server = started()
    listener = server.session.request("who", {})
    eve = {"id": "3", "uuid": "e", "username": "eve"}
    server.says({"cmd": "ulist", "mode": "set", "val": [eve], "rooms": "default", "listener": listener})
    assert server.session.users.by_room["default"] == (User("3", "e", "eve"),)


def test_an_answer_that_nobody_waits_for_is_an_event():
    server = started()
    listener = server.session.request("plugin", {})
    server.session.forget(listener)
    late = {"cmd": "plugin", "val": 1, "listener": listener}
    assert server.says(late) == [OtherPacket(late)]
    assert server.session.answers == []


def test_requests_of_the_start_are_not_answers_of_the_program():
    server = started()
    server.session.command("link", {"val": "r1"})
    [request] = server.sent()
    assert [type(event) for event in server.says(ok(request))] == [StatusCode]
    assert server.session.answers == []


def test_a_session_has_a_user_without_a_name_until_it_is_greeted():
    session = Session(DesiredState())
    assert session.user == User("", "")
    assert not session.ready
