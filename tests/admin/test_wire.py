"""The admin socket: frames, limits, logging in, and what closes it."""

from __future__ import annotations

import json

import pytest

from cloudlink.admin.wire import LOGIN_TIME, MOST_STRANGERS
from tests.support.adminwire import CONSOLE, HERE, NEW_PASSWORD, PASSWORD, Administrators, from_net


@pytest.fixture
def administrators():
    return Administrators()


# Frames.


def test_the_first_frame_says_whether_there_is_an_account(administrators):
    assert administrators.connect().heard == [{"event": "hello", "data": {"protocol": 1, "setup": True}}]
    administrators.add_account("mia", "owner")
    assert administrators.connect().events("hello") == [{"protocol": 1, "setup": False}]


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "5", "null", '"x"', "{", "NaN", "[" * 5000, b"\xff".decode("latin1")]
)
def test_what_is_no_object_closes(administrators, text):
    socket = administrators.connect()
    socket.say(text)
    assert socket.closed == (4400, "A message must be a JSON object, as text")


def test_binary_messages_close(administrators):
    socket = administrators.connect()
    socket.socket.receive_binary()
    assert socket.closed[0] == 4400


@pytest.mark.parametrize(
    ("message", "number", "about"),
    [
        ({}, None, "`id`"),
        ({"id": True, "method": "me"}, None, "`id`"),
        ({"id": 1.5, "method": "me"}, None, "`id`"),
        ({"id": "x" * 65, "method": "me"}, None, "`id`"),
        ({"id": [], "method": "me"}, None, "`id`"),
        ({"id": 1}, 1, "`method`"),
        ({"id": "a", "method": 5}, "a", "`method`"),
        ({"id": 2, "method": "m" * 65}, 2, "`method`"),
        ({"id": 3, "method": "me", "params": []}, 3, "`params`"),
        ({"id": 4, "method": "me", "more": 1}, 4, '"more"'),
    ],
)
def test_ill_formed_requests_are_invalid(administrators, message, number, about):
    socket = administrators.connect(CONSOLE)
    socket.heard.clear()
    socket.say(json.dumps(message))
    (frame,) = socket.heard
    assert frame["id"] == number
    assert frame["error"]["code"] == "invalid"
    assert about in frame["error"]["message"]


@pytest.mark.parametrize("number", [0, -1, 1 << 53, "", "x" * 64, "\u2028"])
def test_the_answer_has_the_id_of_the_request(administrators, number):
    socket = administrators.connect(CONSOLE)
    socket.say(json.dumps({"id": number, "method": "me"}))
    assert socket.heard[-1]["id"] == number
    assert socket.heard[-1]["result"]["name"] == "console"


@pytest.mark.parametrize(
    ("params", "key", "sentence"),
    [
        ({"name": "a"}, "password", "`password` is missing: it must be text of at most 1024 characters."),
        ({"name": 5, "password": "x"}, "name", "`name` must be text of 1 to 64 characters."),
        ({"name": None, "password": "x"}, "name", "`name` must be text of 1 to 64 characters."),
        (
            {"nme": "a", "password": "x"},
            "nme",
            'There is no parameter "nme"; did you mean name?',
        ),
    ],
)
def test_wrong_parameters_are_named(administrators, params, key, sentence):
    error = administrators.connect().error("login", **params)
    assert error == {"code": "invalid", "message": sentence, "data": {"key": key}}


def test_a_method_without_parameters_says_so(administrators):
    assert administrators.connect(CONSOLE).error("me", x=1)["message"].endswith("; this method takes none.")


def test_unknown_methods(administrators):
    error = administrators.connect().error("cleints.list")
    assert error["code"] == "unknown_method"
    assert "did you mean clients.list?" in error["message"]


def test_a_method_that_fails_is_logged_and_says_nothing(administrators, caplog):
    socket = administrators.log_in()
    administrators.core.topics.of = None
    assert socket.refused("subscribe", topics=["stats"]) == "internal"
    assert "The method subscribe of the administration failed." in caplog.text


# Limits.


def test_before_the_login_messages_are_short(administrators):
    socket = administrators.connect()
    socket.request("me", x="y" * 8000)
    assert socket.closed is None
    socket.request("me", x="y" * 8192)
    assert socket.closed == (1009, "The message is too large")


def test_after_the_login_messages_may_be_longer(administrators):
    socket = administrators.log_in()
    assert socket.refused("me", x="y" * 65_000) == "invalid"
    socket.request("me", x="y" * 65_536)
    assert socket.closed[0] == 1009


def test_twenty_requests_a_second_and_sixty_at_once(administrators):
    socket = administrators.connect(CONSOLE)
    answers = [socket.request("me") for _ in range(61)]
    assert ["result" in answer for answer in answers] == [True] * 60 + [False]
    assert answers[-1]["error"]["code"] == "throttled"
    assert answers[-1]["error"]["data"]["retry_after"] > 0
    administrators.clock.now += 1
    answers = [socket.request("me") for _ in range(30)]
    assert sum("result" in answer for answer in answers) == pytest.approx(20, abs=1)


def test_who_goes_on_flooding_is_disconnected(administrators):
    socket = administrators.connect(CONSOLE)
    socket.heard.clear()
    for _ in range(1000):
        if socket.closed is None:
            socket.say('{"id":1,"method":"me"}')
    assert socket.closed == (4429, "Too many requests")
    assert len(socket.heard) < 300


@pytest.mark.parametrize(
    "text", ['{"id":7}', '{"id":7,"method":"me","params":{"x":"%s"}}' % ("y" * 5000), "[]"]
)
def test_beyond_the_limit_frames_are_hardly_looked_at(administrators, text):
    socket = administrators.connect(CONSOLE)
    for _ in range(60):
        socket.request("me")
    socket.heard.clear()
    socket.say(text)
    if text == "[]":
        assert socket.closed[0] == 4400
    else:
        (frame,) = socket.heard
        assert frame["error"]["code"] == "throttled"
        assert frame["id"] == (7 if len(text) < 100 else None)


def test_who_does_not_log_in_is_disconnected(administrators):
    socket, console = administrators.connect(), administrators.connect(CONSOLE)
    inside = administrators.log_in()
    administrators.pass_time(LOGIN_TIME - 1)
    assert socket.closed is None
    administrators.pass_time(1)
    assert socket.closed == (4408, "Nobody logged in within 60 seconds")
    assert console.closed is None
    assert inside.closed is None


def test_five_sockets_of_a_subscriber_may_wait_for_a_login(administrators):
    waiting = [administrators.connect() for _ in range(6)]
    assert [socket.closed is None for socket in waiting] == [True] * 5 + [False]
    assert waiting[5].closed == (1013, "Too many connections wait for a login")
    assert waiting[5].heard == []
    waiting[5].say('{"id":1,"method":"me"}')
    assert waiting[5].heard == []
    assert administrators.connect(CONSOLE).closed is None
    assert administrators.connect(from_net("198.51.100.1")).closed is None
    waiting[0].socket.lost()
    waiting[0].socket.lost()
    assert administrators.connect().closed is None
    assert administrators.connect().closed is not None


def test_a_login_makes_room_for_another_stranger(administrators):
    for _ in range(20):
        assert administrators.log_in().closed is None
    assert administrators.wire.admits(HERE)


def test_fifty_sockets_in_all_may_wait_for_a_login(administrators):
    for number in range(MOST_STRANGERS):
        assert administrators.connect(from_net(f"198.51.100.{number}")).closed is None
    assert administrators.connect(from_net("203.0.113.1")).closed[0] == 1013
    assert administrators.connect(CONSOLE).closed is None


def test_what_is_not_read_waits_up_to_a_bound(administrators):
    socket = administrators.log_in()
    administrators.accounts.add("x" * 32, "viewer", "y")
    socket.congested = True
    socket.heard.clear()
    socket.request("me")
    assert socket.heard == []
    socket.congested = False
    socket.socket.writable()
    assert socket.heard[0]["result"]["role"] == "owner"
    socket.congested = True
    while socket.closed is None:
        socket.socket.send_event("notices", {"text": "x" * 10_000})
    assert socket.closed == (1013, "Reading too slowly")


def test_order_is_kept_for_a_slow_reader(administrators):
    socket = administrators.log_in()
    socket.heard.clear()
    socket.congested = True
    for number in range(5):
        socket.socket.send_event("log", {"n": number})
    socket.congested = False
    socket.socket.send_event("log", {"n": 5})
    assert socket.heard == []
    socket.socket.writable()
    assert [frame["data"]["n"] for frame in socket.heard] == [0, 1, 2, 3, 4, 5]


def test_a_newer_state_replaces_one_that_waits(administrators):
    socket = administrators.log_in()
    socket.ask("subscribe", topics=["stats"])
    socket.congested = True
    administrators.pass_time(20)
    socket.congested = False
    socket.socket.writable()
    (data,) = socket.events("stats")
    assert data["at"] == int(administrators.wall_clock.now)


def test_the_server_stops(administrators):
    sockets = [administrators.connect(), administrators.connect(CONSOLE), administrators.log_in()]
    administrators.wire.stop()
    assert [socket.closed for socket in sockets] == [(1001, "The server is shutting down")] * 3


# Logging in.


def test_a_stranger_may_do_nothing(administrators):
    administrators.add_account("mia", "owner")
    socket = administrators.connect()
    for method in ("me", "clients.list", "touch", "logout", "subscribe", "accounts.list", "password.set"):
        assert socket.refused(method) == "not_logged_in"


def test_logging_in(administrators):
    administrators.add_account("mia", "moderator")
    socket = administrators.connect()
    result = socket.ask("login", name="MIA", password=PASSWORD)
    assert result == {
        "token": result["token"],
        "name": "mia",
        "role": "moderator",
        "expires": int(administrators.wall_clock.now) + 43200,
    }
    assert socket.ask("me") == {
        "name": "mia",
        "role": "moderator",
        "expires": result["expires"],
        "session": 1,
        "via": "dashboard",
        "connect": "",
    }
    assert ("mia", "login", "account:mia", "ok") in administrators.lines
    assert administrators.core.logins == {"ok": 1}
    assert socket.refused("login", name="mia", password=PASSWORD) == "conflict"


@pytest.mark.parametrize(("name", "shown"), [("mia", "mia"), ("nobody", "?"), ("my secret password", "?")])
def test_wrong_names_and_passwords_get_the_same_answer(administrators, name, shown):
    administrators.add_account("mia", "owner")
    error = administrators.connect().error("login", name=name, password="wrong")
    assert error == {
        "code": "wrong_credentials",
        "message": "The name or the password is wrong.",
        "data": {},
    }
    assert administrators.hasher.checks == 1
    assert administrators.lines == [("", "login", f"account:{shown}", "wrong_credentials")]


def test_the_terminal_acts_as_an_owner_without_a_login(administrators):
    console = administrators.connect(CONSOLE)
    assert console.ask("me") == {
        "name": "console",
        "role": "owner",
        "expires": None,
        "session": None,
        "via": "cli",
        "connect": "",
    }
    assert console.ask("touch") == {"expires": None}
    assert console.refused("login", name="a", password="b") == "conflict"
    for method in ("logout", "password.set"):
        params = {"old": "", "new": ""} if method == "password.set" else {}
        assert console.refused(method, **params) == "unavailable"


def test_resuming(administrators):
    administrators.add_account("mia", "owner")
    result = administrators.connect().ask("login", name="mia", password=PASSWORD)
    another = administrators.connect()
    assert another.ask("resume", token=result["token"]) == result
    assert another.ask("me")["name"] == "mia"
    assert administrators.connect().refused("resume", token="x") == "not_logged_in"


def test_a_token_is_worthless_after_the_logout(administrators):
    socket, another = administrators.connect(), administrators.connect()
    administrators.add_account("mia", "owner")
    token = socket.ask("login", name="mia", password=PASSWORD)["token"]
    another.ask("resume", token=token)
    assert socket.ask("logout") == {}
    assert socket.closed == another.closed == (4401, "Log in again")
    assert administrators.connect().refused("resume", token=token) == "not_logged_in"


def test_a_token_is_worthless_after_a_restart(administrators):
    administrators.add_account("mia", "owner")
    token = administrators.connect().ask("login", name="mia", password=PASSWORD)["token"]
    again = Administrators()
    again.add_account("mia", "owner")
    assert again.connect().refused("resume", token=token) == "not_logged_in"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("accounts.set", {"role": "viewer"}),
        ("accounts.set", {"password": NEW_PASSWORD}),
        ("accounts.remove", {}),
    ],
)
def test_a_change_of_the_account_ends_its_sessions(administrators, method, params):
    administrators.add_account("mia", "moderator")
    socket = administrators.connect()
    token = socket.ask("login", name="mia", password=PASSWORD)["token"]
    owner = administrators.log_in()
    owner.ask(method, name="mia", **params)
    assert socket.closed == (4401, "Log in again")
    assert owner.closed is None
    assert administrators.connect().refused("resume", token=token) == "not_logged_in"


def test_an_owner_who_steps_down_gets_the_answer_first(administrators):
    administrators.add_account("mia", "owner")
    owner = administrators.log_in()
    assert owner.ask("accounts.set", name="the-owner", role="viewer")["account"]["role"] == "viewer"
    assert owner.closed[0] == 4401


def test_idle_sessions_end_and_touched_ones_do_not(administrators):
    idle, touched, busy = (administrators.log_in() for _ in range(3))
    for _ in range(3):
        administrators.pass_time(1700)
        touched.ask("touch")
        busy.ask("accounts.set", name="the-owner", role="owner")
        if idle.closed is None:
            idle.ask("me")  # reading does not count
    assert idle.closed == (4401, "Log in again")
    assert touched.closed is None


def test_a_session_that_has_just_ended_answers_nothing(administrators):
    socket = administrators.log_in()
    administrators.wall_clock.now += 3600
    assert socket.request("me") is None
    assert socket.closed == (4401, "Log in again")


# Passwords in flight.


def test_only_one_password_of_a_socket_is_checked_at_a_time(administrators):
    administrators.add_account("mia", "owner")
    administrators.hasher.is_slow = True
    socket = administrators.connect()
    assert socket.request("login", name="mia", password=PASSWORD) is None
    assert socket.refused("login", name="mia", password=PASSWORD) == "busy"
    administrators.pass_time(LOGIN_TIME + 1)
    assert socket.closed is None  # the server is to blame
    administrators.hasher.go_on()
    assert socket.answer(1)["result"]["name"] == "mia"


def test_at_most_eight_passwords_wait(administrators):
    administrators.hasher.is_slow = True
    sockets = [administrators.connect(from_net(f"198.51.100.{number}")) for number in range(12)]
    answers = [
        socket.request("login", name=f"n{number}", password="x") for number, socket in enumerate(sockets)
    ]
    assert [answer and answer["error"]["code"] for answer in answers] == [None] * 9 + ["busy"] * 3
    administrators.hasher.go_on()
    assert sockets[8].answer(1)["error"]["code"] == "wrong_credentials"
    administrators.hasher.is_slow = False
    for number in range(10):  # what was not looked at does not count as a failure
        assert sockets[11].refused("login", name=f"m{number}", password="x") == "wrong_credentials"
    assert sockets[11].refused("login", name="m10", password="x") == "throttled"


def test_a_login_that_nobody_waits_for_any_more_makes_no_session(administrators):
    administrators.add_account("mia", "owner")
    administrators.hasher.is_slow = True
    socket = administrators.connect()
    socket.request("login", name="mia", password=PASSWORD)
    socket.socket.lost()
    administrators.hasher.go_on()
    assert len(administrators.core.sessions) == 0


def test_an_account_that_changes_while_its_password_is_checked(administrators):
    administrators.add_account("mia", "moderator")
    administrators.hasher.is_slow = True
    socket = administrators.connect()
    socket.request("login", name="mia", password=PASSWORD)
    administrators.accounts.set("mia", role="viewer")
    administrators.hasher.go_on()
    assert socket.answer(1)["error"]["code"] == "wrong_credentials"


# The first account.


def test_the_first_account(administrators):
    code = administrators.core.setup_code.make()
    socket = administrators.connect()
    assert socket.refused("setup", code="wrong", name="mia", password=PASSWORD) == "wrong_credentials"
    assert socket.error("setup", code=code, name="mia", password="short")["data"] == {"key": "password"}
    assert socket.refused("setup", code=code, name="not allowed", password=PASSWORD) == "invalid"
    result = socket.ask("setup", code=code, name="Mia", password=PASSWORD)
    assert (result["name"], result["role"]) == ("mia", "owner")
    assert (
        administrators.connect().refused("setup", code=code, name="b", password=PASSWORD)
        == "wrong_credentials"
    )
    assert administrators.connect().ask("login", name="mia", password=PASSWORD)["role"] == "owner"
    assert ("mia", "setup", "account:mia", "ok") in administrators.lines


def test_one_link_makes_one_account_even_at_the_same_time(administrators):
    code = administrators.core.setup_code.make()
    administrators.hasher.is_slow = True
    first, second = administrators.connect(), administrators.connect()
    for socket, name in ((first, "mia"), (second, "eve")):
        socket.request("setup", code=code, name=name, password=PASSWORD)
    administrators.hasher.go_on()
    assert first.answer(1)["result"]["role"] == "owner"
    assert second.answer(1)["error"]["code"] == "conflict"
    assert len(administrators.accounts) == 1


def test_no_link_makes_a_second_owner(administrators):
    administrators.add_account("mia", "owner")
    code = administrators.core.setup_code.make()
    assert administrators.connect().refused("setup", code=code, name="eve", password=PASSWORD) == "conflict"


# Encryption.


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("login", {"name": "mia", "password": PASSWORD}),
        ("setup", {"code": "x", "name": "mia", "password": PASSWORD}),
        ("resume", {"token": "x"}),
        ("login", {}),
    ],
)
def test_without_encryption_nothing_secret_is_looked_at(administrators, method, params):
    socket = administrators.connect(from_net("203.0.113.7", is_secure=False))
    assert socket.refused(method, **params) == "insecure"
    assert administrators.hasher.checks == 0
    assert administrators.lines == []


def test_in_a_private_network_a_login_comes_with_a_warning(administrators):
    administrators.add_account("mia", "owner")
    home = from_net("192.168.1.20", is_secure=False)
    socket = administrators.connect(type(home)(home.address, home.subscriber, is_private=True))
    result = socket.ask("login", name="mia", password=PASSWORD)
    assert "not encrypted" in result["warning"]
    assert "warning" not in administrators.connect().ask("resume", token=result["token"])
    assert "warning" not in administrators.connect(from_net("203.0.113.7")).ask(
        "resume", token=result["token"]
    )


@pytest.mark.parametrize(
    "method", ["password.set", "accounts.list", "accounts.add", "accounts.set", "accounts.remove"]
)
def test_a_session_that_moves_to_an_open_network_shows_no_secrets(administrators, method):
    """The session cannot be resumed there either; a proxy that changes its mind is the only way."""
    socket = administrators.log_in()
    socket.socket.peer = from_net("203.0.113.7", is_secure=False)
    assert socket.refused(method) == "insecure"


# Sessions.


def test_owners_see_and_end_all_sessions_others_their_own(administrators):
    owner, viewer = administrators.log_in("owner"), administrators.log_in("viewer")
    shown = [(one["account"], one["own"]) for one in owner.ask("sessions.list")["items"]]
    assert shown == [("the-owner", True), ("the-viewer", False)]
    assert [one["id"] for one in viewer.ask("sessions.list")["items"]] == [2]
    assert viewer.refused("sessions.end", id=1) == "not_found"
    owner.ask("sessions.end", id=2)
    assert viewer.closed == (4401, "Log in again")
    owner.ask("sessions.end", id=1)
    assert owner.closed == (4401, "Log in again")


def test_changing_the_own_password(administrators):
    socket = administrators.log_in("viewer")
    assert socket.refused("password.set", old="wrong", new=NEW_PASSWORD) == "wrong_credentials"
    assert socket.error("password.set", old=PASSWORD, new="short")["data"] == {"key": "new"}
    assert socket.ask("password.set", old=PASSWORD, new=NEW_PASSWORD) == {}
    assert socket.closed == (4401, "Log in again")
    again = administrators.connect()
    assert again.refused("login", name="the-viewer", password=PASSWORD) == "wrong_credentials"
    assert again.ask("login", name="the-viewer", password=NEW_PASSWORD)["role"] == "viewer"


def test_a_stolen_session_cannot_guess_the_password(administrators):
    socket = administrators.log_in("viewer")
    for _ in range(10):
        assert socket.refused("password.set", old="wrong", new=NEW_PASSWORD) == "wrong_credentials"
    assert socket.refused("password.set", old=PASSWORD, new=NEW_PASSWORD) == "throttled"


def test_a_busy_server_says_so_when_a_password_changes(administrators):
    socket = administrators.log_in("viewer")
    administrators.hasher.is_slow = True
    others = [administrators.connect(from_net(f"198.51.100.{number}")) for number in range(9)]
    for number, other in enumerate(others):
        other.request("login", name=f"n{number}", password="x")
    assert socket.refused("password.set", old=PASSWORD, new=NEW_PASSWORD) == "busy"
