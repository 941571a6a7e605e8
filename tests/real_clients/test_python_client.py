"""A script for CloudLink 0.2.0's own Python client plays against our server: with that client, and with ours."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from tests.client import upstream
from tests.real_clients.environment import upstream_python
from tests.real_clients.python_players import TIME_LIMIT, meet
from tests.support.servers import HOST, build, listening


@pytest.fixture(scope="module", params=["upstream", "ours"])
def events(request):
    """The events of alice and bob, each as a list of [event, details…]."""
    python = upstream_python() if request.param == "upstream" else sys.executable

    async def main():
        async with listening(build()) as port:
            address = f"ws://{HOST}:{port}"
            return await meet(python, {"alice": address, "bob": address})

    return asyncio.run(main())


pytestmark = pytest.mark.timeout(300)  # the environment may have to be built first


def _of(events, name):
    return [details for event, *details in events if event == name]


def _answers(events):
    return dict(_of(events, "asked"))


def _status(code, code_id, listener, **more):
    return {"cmd": "statuscode", "code": code, "code_id": code_id, "listener": listener, **more}


def _user(events):
    [[name, snowflake, uuid]] = _of(events, "username_set")
    return {"id": snowflake, "username": name, "uuid": uuid}


def test_both_connect_and_get_their_names(events):
    for role, saw in events.items():
        assert [event for event, *_ in saw if event in ("initial_connect", "connect", "username_set")] == [
            "initial_connect",
            "connect",
            "username_set",
        ]
        assert _user(saw)["username"] == role


def test_the_client_rejects_nothing(events):
    assert {role: _of(saw, "error") for role, saw in events.items()} == {"alice": [], "bob": []}


def test_link_is_answered(events):
    for saw in events.values():
        assert _answers(saw)["link"] == _status("I:100 | OK", 100, "link")


def test_messages_and_variables_come_back_to_the_sender_with_its_listener(events):
    answers = _answers(events["alice"])
    value = {"hello": ["everybody", 1.5, True]}
    assert answers["gmsg"] == {"cmd": "gmsg", "val": value, "listener": "gmsg", "rooms": "lobby"}
    assert answers["gvar"] == {
        "cmd": "gvar",
        "name": "score",
        "val": 2**70,
        "listener": "gvar",
        "rooms": "lobby",
    }


def test_messages_and_variables_reach_the_other(events):
    bob = events["bob"]
    assert _of(bob, "gmsg") == [
        [{"cmd": "gmsg", "val": {"hello": ["everybody", 1.5, True]}, "rooms": "lobby"}]
    ]
    assert _of(bob, "gvar") == [[{"cmd": "gvar", "name": "score", "val": 2**70, "rooms": "lobby"}]]


def test_private_ones_reach_the_other_with_their_origin(events):
    alice, bob = _user(events["alice"]), _user(events["bob"])
    assert _of(events["bob"], "pvar") == [
        [{"cmd": "pvar", "name": "hp", "val": 7, "origin": alice, "rooms": "lobby"}]
    ]
    assert _of(events["bob"], "pmsg") == [
        [{"cmd": "pmsg", "val": "hi bob", "origin": alice, "rooms": "lobby"}]
    ]
    assert _of(events["alice"], "pvar") == [
        [{"cmd": "pvar", "name": "reply", "val": [1, 2], "origin": bob, "rooms": "lobby"}]
    ]
    assert _of(events["alice"], "direct") == [[{"cmd": "direct", "val": "direct reply", "origin": bob}]]
    assert _of(events["alice"], "pmsg") == [
        [{"cmd": "pmsg", "val": "hi alice", "origin": bob, "rooms": "lobby"}]
    ]


def test_private_ones_are_answered_with_ok(events):
    answers = _answers(events["alice"])
    for listener in ("pvar", "pmsg"):
        assert answers[listener] == _status("I:100 | OK", 100, listener)


def test_errors_arrive_with_their_listener(events):
    answers = _answers(events["alice"])
    assert answers["setid"] == _status("E:107 | ID already set", 107, "setid", val=_user(events["alice"]))
    codes = {
        "pmsg to nobody": 103,
        "gmsg to elsewhere": 115,
        "gmsg without val": 101,
        "no such command": 109,
    }
    assert {listener: answers[listener]["code_id"] for listener in codes} == codes


def test_user_lists_arrive(events):
    alice, bob = _user(events["alice"]), _user(events["bob"])
    lists = [(message["mode"], message["val"], message["rooms"]) for [message] in _of(events["bob"], "ulist")]
    assert lists == [
        ("set", [], "default"),
        ("set", [bob], "default"),
        ("set", [bob], "lobby"),
        ("add", alice, "lobby"),
        ("remove", alice, "lobby"),
    ]


def test_the_attributes_of_the_old_client_are_those_that_are_settled():
    script = (
        "import json; from cloudlink import client; c = client();"
        "public = lambda one: sorted(name for name in dir(one) if not name.startswith('_'));"
        "print(json.dumps([public(c), public(c.protocol), public(c.exceptions)]))"
    )
    done = subprocess.run(
        [upstream_python(), "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=True,
    )
    attributes, of_protocol, exceptions = json.loads(done.stdout)
    assert attributes == upstream.ATTRIBUTES
    assert of_protocol == upstream.PROTOCOL_ATTRIBUTES
    assert exceptions == upstream.EXCEPTIONS
