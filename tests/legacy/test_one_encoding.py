"""What a room of all eras costs: an event is written once for each dialect, and settled clients are not looked at."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from cloudlink.delivery import text_frame
from cloudlink.server.events import (
    Direct,
    Event,
    Joined,
    Left,
    Message,
    PrivateMessage,
    PrivateVariable,
    Variable,
)
from cloudlink.server.protocols.clpv4 import greeting
from cloudlink.server.protocols.clpv4.dialects import DIALECTS, Dialect
from cloudlink.server.protocols.clpv4.packet import parse
from tests.support.memoryclients import KINDS, EraClient, MemoryClient
from tests.support.servers import build

SETTLED = [kind for kind in KINDS if kind not in ("CL2 early", "CL4 safe mode")]
CHANGES = [dialect for dialect in DIALECTS if not dialect.whole_lists]


@pytest.fixture
def written(monkeypatch):
    """How often each dialect has written each kind of event."""
    counts: Counter[tuple[Dialect, type[Event]]] = Counter()

    def count(dialect: Dialect, kind: type[Event]) -> None:
        write = dialect.writers[kind]

        def counted(event: Event, *args: object) -> bytes:
            frame = write(event, *args)
            counts[dialect, kind] += bool(frame) or kind not in (Joined, Left)
            return frame

        monkeypatch.setitem(dialect.writers, kind, counted)

    for dialect in DIALECTS:
        for kind in tuple(dialect.writers):
            count(dialect, kind)
    return counts


@pytest.fixture
def crowd(written):
    """Three clients of each kind, and one more; all in one room."""
    server = build()
    guests = [EraClient(server, kind, f"{kind} {number}") for kind in KINDS for number in range(3)]
    guests.append(EraClient(server, "CL4 0.2.0", "speaker"))
    assert {guest.client.dialect for guest in guests} == {*DIALECTS}
    for guest in guests:
        guest.frames()
    written.clear()
    return guests


def test_an_event_for_all_is_written_once_for_each_dialect(crowd, written):
    crowd[-1].tell('{"cmd":"gmsg","val":{"a":1}}', '{"cmd":"gvar","name":"v","val":[1]}')
    assert written == {(dialect, kind): 1 for dialect in DIALECTS for kind in (Message, Variable)}
    assert all(guest.frames() for guest in crowd[:-1])


def test_an_event_for_some_is_written_once_for_each_dialect_unless_it_names_them(crowd, written):
    names = ",".join(f'"{guest.name}"' for guest in crowd[:-1])
    for cmd in ("pmsg", "pvar", "direct"):
        crowd[-1].tell(f'{{"cmd":"{cmd}","id":[{names}],"name":"v","val":{{}}}}')
    assert written == {
        **{
            (dialect, kind): 3 if kind in dialect.names_recipient else 1
            for dialect in DIALECTS
            for kind in (PrivateMessage, PrivateVariable)
        },
        **{(dialect, Direct): 1 for dialect in DIALECTS},
    }


def test_user_lists_are_written_once_for_each_dialect(crowd, written):
    newcomer = EraClient(crowd[0].server, "CL3 0.1.7", "newcomer")
    assert +written == {(dialect, Joined): 1 for dialect in CHANGES}
    written.clear()
    newcomer.leave()
    assert +written == {(dialect, Left): 1 for dialect in CHANGES}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dialect_that_nobody_speaks_writes_nothing(kind, written):
    server = build()
    speaker = EraClient(server, kind, "speaker")
    written.clear()
    speaker.tell("<%gs>\nme\nhi" if kind.startswith("CL2") else '{"cmd":"gmsg","val":"hi"}')
    assert written == {(speaker.client.dialect, Message): 1}


# Detection.


@pytest.mark.parametrize("kind", SETTLED)
def test_a_settled_client_is_not_looked_at(kind, monkeypatch):
    guest = EraClient(build(), kind, "alice")
    monkeypatch.setattr(greeting, "detect", lambda *_args, **_kwargs: pytest.fail("it was looked at"))
    if kind.startswith("CL2"):
        guest.tell("<%gs>\nme\nhi", "<%sh>\n", "<%sn>\nother", "{nope", "")
    else:
        packets = ("gmsg", "setid", "direct", "link", "unlink", "nope")
        guest.tell(
            *(f'{{"cmd":"{cmd}","val":"[]","listener":"setusername"}}' for cmd in packets), "<%sh>", ""
        )


def test_a_dialect_is_visible_to_plugins_and_in_the_log(caplog):
    server = build()
    with caplog.at_level(logging.INFO, "cloudlink.server"):
        guests = [EraClient(server, kind, f"to {number}") for number, kind in enumerate(KINDS)]
    for guest in guests:
        lines = [
            record.getMessage() for record in caplog.records if guest.client.snowflake in record.getMessage()
        ]
        name = str(guest.client.dialect)
        assert any(line.endswith(f" speaks {name}.") for line in lines) == (name != "CL4 0.2.0"), lines


# Another one.


class Telegraph(Dialect):
    """A dialect that knows messages alone, and whose clients begin with the word."""

    name = "telegraph"
    greets_as = "telegraph"

    def claims(self, opening, current):
        return opening.is_first and opening.cmd == "telegraph"

    def read(self, data):
        packet = parse(data)
        return packet if packet.cmd == "gmsg" else None

    def message(self, event, room, listener=b"", recipient=None):
        return text_frame(b"STOP " + event.val)


def test_another_dialect_is_one_class_and_one_line_in_the_table(monkeypatch):
    monkeypatch.setattr(greeting, "DIALECTS", (Telegraph(), *DIALECTS))
    server = build()
    new = MemoryClient(server)
    assert new.ask({"cmd": "telegraph"}) == []
    assert str(new.client.dialect) == "telegraph"
    others = [EraClient(server, kind, f"to {number}") for number, kind in enumerate(KINDS)]
    for other in others:
        other.frames()

    assert new.ask({"cmd": "gmsg", "val": "full"}) == ['STOP "full"']
    assert all("full" in other.frames()[0] for other in others)
    others[-1].tell(
        '{"cmd":"gmsg","val":1}', '{"cmd":"gvar","name":"v","val":1}', '{"cmd":"link","val":["r"]}'
    )
    others[-1].leave()
    uuid = new.client.uuid
    others[-2].tell(f'{{"cmd":"pmsg","id":"{uuid}","val":1}}', f'{{"cmd":"direct","id":"{uuid}","val":1}}')
    assert new.connection.take() == ["STOP 1"], "what it has no words for is not sent"
    new.leave()
    assert len(server.clients_manager) == len(others) - 1
