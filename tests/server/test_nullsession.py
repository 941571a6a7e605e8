"""What plugins can do with a client that has disconnected."""

from __future__ import annotations

import pytest

from cloudlink.server.client import State
from cloudlink.server.clients import ClientDoesNotExist
from cloudlink.server.nullsession import NULL_SESSION
from tests.support.memoryclients import named
from tests.support.servers import build


def test_a_client_that_has_gone_may_do_nothing_and_harms_nobody():
    client = named(build(), "gone")
    client.leave()
    session = client.client.session
    assert session is NULL_SESSION
    assert session.state is State.CLOSED
    assert session.tally() == (0, 0)
    assert session.admit_next_packet(b"{}") is False
    assert session.charge_bytes(1) is False
    assert session.may_keep_more() is False
    assert session.take_answer() is False
    with pytest.raises(ClientDoesNotExist):
        session.rename("back")
    session.send_text(b"x")
    session.process("x")
    session.throttle(b"x")
    session.close()
    session.disconnect()
    assert client.heard() == []
