"""Which errors are final, on which kind of connection, and how long a client stays away after the others."""

import pytest

from cloudlink.client import errors
from cloudlink.client.cloudsession import CloudSession
from cloudlink.client.events import StatusCode
from cloudlink.client.retries import (
    is_final,
    is_final_for_cloud,
    may_come_up,
    shortest_delay_for_cloud,
)
from cloudlink.client.session import DesiredState, Session

CODES = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013]
CODES += [3000, 3999, 4000, 4001, 4002, 4003, 4004, 4005, 4006, 4050, 4099, 4100, 4999]


def greeted():
    session = Session(DesiredState())
    session.version = "0.2.0"
    return session


@pytest.mark.parametrize("code", CODES)
def test_close_codes_of_cloudlink_4(code):
    kicked = 4000 <= code <= 4099
    assert is_final(greeted().closed(code, "why")) == (code in (1000, 1008) or kicked)
    # Before the greeting 1000 is how a server says that it did not understand; a proxy that restarts may be one.
    assert is_final(Session(DesiredState()).closed(code, "why")) == (code == 1008 or kicked)


@pytest.mark.parametrize("ready", [False, True], ids=["before the values", "after them"])
@pytest.mark.parametrize("code", CODES)
def test_close_codes_of_cloud_connections(code, ready):
    session = CloudSession("104", "bot")
    session.ready = ready
    error = session.closed(code, "why")
    assert is_final_for_cloud(error) == (code in (1000, 1008, 4002, 4004, 4005))
    assert shortest_delay_for_cloud(error) == (60 if code in (4000, 4003) else 0)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (errors.ServerFullError("full"), False),
        (errors.ConnectError("nobody there"), False),
        (errors.WrongServerError("a proxy that restarts", permanent=True), False),
        (errors.WaitTimeoutError("slow"), False),
        (errors.NameRefusedError("bot", 112, "the connection that broke has it"), False),
        (errors.NameRefusedError("bot", 108, "too long"), True),
        (errors.RequestError("link", StatusCode("E:110 | x", 110)), True),
    ],
)
def test_other_errors(error, final):
    assert is_final(error) == final


def test_other_errors_of_cloud_connections():
    assert not is_final_for_cloud(errors.ConnectError("nobody there"))
    assert not is_final_for_cloud(errors.WaitTimeoutError("slow"))
    assert shortest_delay_for_cloud(errors.ConnectError("nobody there")) == 0
    assert shortest_delay_for_cloud(errors.WaitTimeoutError("slow")) == 0


def test_errors_that_waiting_helps():
    assert may_come_up(errors.ConnectError("nothing listens"))
    assert may_come_up(errors.ServerFullError("full"))
    assert may_come_up(errors.WaitTimeoutError("slow"))
    assert may_come_up(errors.DisconnectedError(1001))
    assert not may_come_up(errors.ConnectError("not an address", permanent=True))
