"""One room, all eras: what a client of each sends, and what a client of each hears of it.

Everything that is expected stands here as the protocol has it (section 4.8), byte for byte, and is written
without any help of the server's own encoders.
"""

from __future__ import annotations

import itertools
import json

import pytest

from cloudlink.server.protocols.clpv4.statuscodes import StatusCodes
from tests.support.memoryclients import KINDS, EraClient
from tests.support.servers import build, protocol_of

CL2 = ("CL2 early", "CL2 late")
CL3 = ("CL3 0.1.5", "CL3 0.1.7", "CL3 0.1.7 in Python")
CL3_017 = ("CL3 0.1.7", "CL3 0.1.7 in Python")
CL4_AS_020 = ("CL4 safe mode", "CL4 0.1.9", "CL4 0.2.0", "Scratch")
CL4 = ("CL4 0.1.8", *CL4_AS_020)

SENT = {
    "text": '"h\u00e9 \\u20ac"',
    "a text of digits": '"10"',
    "number": "5",
    "fraction": "1.50",
    "boolean": "true",
    "list": '[1, "two"]',
    "object": '{"a":{"b":[]}}',
    "null": "null",
    "a text of JSON": '"{\\"k\\": [1]}"',
    "empty text": '""',
}
"""Values as they stand in a packet. CL2 has no types: it sends the text of each."""

CL2_TEXT = {
    "text": "h\u00e9 \u20ac",
    "a text of digits": "10",
    "number": "5",
    "fraction": "1.50",
    "boolean": "true",
    "list": '[1, "two"]',
    "object": '{"a":{"b":[]}}',
    "null": "null",
    "a text of JSON": '{"k": [1]}',
    "empty text": "",
}

MEANS_TO_CL2 = {
    "text": '"h\u00e9 \u20ac"',
    "a text of digits": '"10"',
    "number": '"5"',
    "fraction": '"1.50"',
    "boolean": '"true"',
    "list": '"[1, \\"two\\"]"',
    "object": '"{\\"a\\":{\\"b\\":[]}}"',
    "null": '"null"',
    "a text of JSON": '"{\\"k\\": [1]}"',
    "empty text": '""',
}
"""The value that a CL4 client gets from CL2: a text."""
MEANS_TO_CL4 = {**SENT, "null": '"null"'}
"""From CL4: what was sent, but for null (decision D1)."""
MEANS_TO_015 = {**MEANS_TO_CL4, "number": '"5"', "fraction": '"1.50"', "boolean": '"true"'}
"""A gmsg of 0.1.5: a number is made a text."""
MEANS_TO_017 = {**MEANS_TO_CL4, "a text of digits": "10", "a text of JSON": '{"k": [1]}'}
"""From 0.1.7 for Scratch: a text that is JSON is what it spells."""

FLAT = {
    '[1, "two"]': '"[1, \\"two\\"]"',
    '{"a":{"b":[]}}': '"{\\"a\\":{\\"b\\":[]}}"',
    '{"k": [1]}': '"{\\"k\\": [1]}"',
}
"""T(x) of the protocol, section 4.8."""


def meaning(era: str, cmd: str, value: str) -> str:
    """The JSON text that a value of this era stands for."""
    if era in CL2:
        return MEANS_TO_CL2[value]
    if era == "CL3 0.1.7":
        return MEANS_TO_017[value]
    if era == "CL3 0.1.5" and cmd == "gmsg":
        return MEANS_TO_015[value]
    return MEANS_TO_CL4[value]


class Room:
    """A sender, and one receiver of each era; all have names, and nothing is on its way."""

    def __init__(self, era: str) -> None:
        self.server = build()
        self.receivers = [EraClient(self.server, kind, f"to {number}") for number, kind in enumerate(KINDS)]
        self.sender = EraClient(self.server, era, "se\u00f1or")
        self.settle()

    def settle(self) -> None:
        for guest in (self.sender, *self.receivers):
            guest.frames()


@pytest.fixture(scope="module")
def room_of():
    rooms: dict[str, Room] = {}

    def of(era: str) -> Room:
        if era not in rooms:
            rooms[era] = Room(era)
        return rooms[era]

    return of


def user(guest: EraClient) -> str:
    client = guest.client
    return f'{{"id":"{client.snowflake}","username":"{client.username}","uuid":"{client.uuid}"}}'


def user_018(guest: EraClient) -> str:
    return f'{{"username":"{guest.client.username}","id":"{guest.client.snowflake}"}}'


def ok(era: str, listener: str = "") -> list[str]:
    """The confirmation that a client gets after its command, if its era has one."""
    tag = f',"listener":"{listener}"' if listener else ""
    if era in CL3_017:
        return ['{"cmd":"statuscode","val":"I:100 | OK"}']
    if era == "CL4 0.1.8":
        return [f'{{"cmd":"statuscode","code":"I:100 | OK"{tag}}}']
    if era in CL4:
        return [f'{{"cmd":"statuscode","code":"I:100 | OK","code_id":100{tag}}}']
    return []


# To everybody.


def gmsg_by(era: str, value: str, tag: str) -> str:
    if era in CL2:
        return f"<%gs>\nmallory\n{CL2_TEXT[value]}"
    return f'{{"cmd":"gmsg","val":{SENT[value]},"origin":"mallory"{tag}}}'


def gmsg_to(era: str, val: str, tag: str = "") -> list[str]:
    flat = FLAT.get(val, val)
    if era == "CL2 early":
        return [f'{{"type":"gs","data":{flat}}}']
    if era == "CL2 late":
        return [f'{{"type":"sf","data":{{"type":"gs","data":{flat}}}}}']
    if era in CL3:
        return [f'{{"cmd":"gmsg","val":{flat}}}']
    rooms = "" if era == "CL4 0.1.8" else ',"rooms":"default"'
    return [f'{{"cmd":"gmsg","val":{val}{tag}{rooms}}}']


def gvar_by(era: str, value: str, tag: str) -> str:
    if era in CL2:
        return f"<%l_g>\n1\nmallory\nv\u00e4r\n{CL2_TEXT[value]}"
    return f'{{"cmd":"gvar","name":"v\u00e4r","val":{SENT[value]}{tag}}}'


def gvar_to(era: str, val: str, tag: str = "") -> list[str]:
    flat = FLAT.get(val, val)
    if era == "CL2 early":
        return []
    if era == "CL2 late":
        return [f'{{"type":"sf","data":{{"type":"vm","mode":"g","var":"v\u00e4r","data":{flat}}}}}']
    if era in CL3:
        return [f'{{"cmd":"gvar","name":"v\u00e4r","val":{flat}}}']
    rooms = "" if era == "CL4 0.1.8" else ',"rooms":"default"'
    return [f'{{"cmd":"gvar","name":"v\u00e4r","val":{val}{tag}{rooms}}}']


@pytest.mark.parametrize("tag", ["", ',"listener":"L"'], ids=["", "L"])
@pytest.mark.parametrize("sender", KINDS)
@pytest.mark.parametrize(
    ("cmd", "write", "expect"), [("gmsg", gmsg_by, gmsg_to), ("gvar", gvar_by, gvar_to)], ids=["gmsg", "gvar"]
)
def test_to_everybody(cmd, write, expect, sender, tag, room_of):
    room = room_of(sender)
    confirmed = ok(sender) if sender in CL3_017 else []  # after the echo; CL4 does not confirm these
    for value in SENT:
        val = meaning(sender, cmd, value)
        assert room.sender.tell(write(sender, value, tag)) == [*expect(sender, val, tag), *confirmed], value
        heard = {receiver.era: receiver.frames() for receiver in room.receivers}
        assert heard == {era: expect(era, val) for era in KINDS}, value


# To one.


def pmsg_by(era: str, to: str, value: str) -> str:
    if era in CL2:
        return f"<%ps>\nmallory\n{to}\n{CL2_TEXT[value]}"
    return f'{{"cmd":"pmsg","id":"{to}","val":{SENT[value]},"origin":"mallory","listener":"L"}}'


def pmsg_to(receiver: EraClient, sender: EraClient, val: str) -> list[str]:
    era, flat = receiver.era, FLAT.get(val, val)
    if era in CL2:
        return [f'{{"type":"ps","data":{flat},"id":"{receiver.name}"}}']
    if era in CL3:
        return [f'{{"cmd":"pmsg","val":{flat},"origin":"{sender.name}"}}']
    if era == "CL4 0.1.8":
        return [f'{{"cmd":"pmsg","val":{val},"origin":{user_018(sender)}}}']
    return [f'{{"cmd":"pmsg","val":{val},"origin":{user(sender)},"rooms":"default"}}']


def pvar_by(era: str, to: str, value: str) -> str:
    if era in CL2:
        return f"<%l_p>\n1\nmallory\n{to}\nv\n{CL2_TEXT[value]}"
    packet = f'"cmd":"pvar","id":"{to}","name":"v","val":{SENT[value]}'
    return f'{{{packet},"origin":"mallory","listener":"L"}}'


def pvar_to(receiver: EraClient, sender: EraClient, val: str) -> list[str]:
    era, flat = receiver.era, FLAT.get(val, val)
    if era == "CL2 early":
        return []
    if era == "CL2 late":
        data = f'{{"type":"vm","mode":"p","var":"v","data":{flat}}}'
        return [f'{{"type":"sf","data":{data},"id":"{receiver.name}"}}']
    if era in CL3:
        return [f'{{"cmd":"pvar","name":"v","val":{flat},"origin":"{sender.name}"}}']
    if era == "CL4 0.1.8":
        return [f'{{"cmd":"pvar","name":"v","val":{val},"origin":{user_018(sender)}}}']
    return [f'{{"cmd":"pvar","name":"v","val":{val},"origin":{user(sender)},"rooms":"default"}}']


@pytest.mark.parametrize("sender", KINDS)
@pytest.mark.parametrize(
    ("cmd", "write", "expect"), [("pmsg", pmsg_by, pmsg_to), ("pvar", pvar_by, pvar_to)], ids=["pmsg", "pvar"]
)
def test_to_one(cmd, write, expect, sender, room_of):
    room = room_of(sender)
    for value, receiver in itertools.product(SENT, room.receivers):
        assert room.sender.tell(write(sender, receiver.name, value)) == ok(sender, "L"), value
        heard = {other.era: other.frames() for other in room.receivers}
        expected = expect(receiver, room.sender, meaning(sender, cmd, value))
        assert heard == {**{era: [] for era in KINDS}, receiver.era: expected}, value


@pytest.mark.parametrize("sender", [*CL3_017, *CL4])
def test_direct(sender, room_of):
    room = room_of(sender)
    tag = "" if sender in CL3 else ',"listener":"L"'
    for value, receiver in itertools.product(SENT, room.receivers):
        val = MEANS_TO_CL4[value]
        told = room.sender.tell(
            f'{{"cmd":"direct","id":"{receiver.name}","val":{SENT[value]},"listener":"L"}}'
        )
        assert told == [], value
        if receiver.era in CL3_017:
            expected = [f'{{"cmd":"direct","val":{FLAT.get(val, val)}}}']
        elif receiver.era == "CL4 0.1.8":
            expected = [f'{{"cmd":"direct","val":{val},"origin":{user_018(room.sender)}{tag}}}']
        elif receiver.era in CL4:
            expected = [f'{{"cmd":"direct","val":{val},"origin":{user(room.sender)}{tag}}}']
        else:
            expected = []
        assert receiver.frames() == expected, (receiver.era, value)


@pytest.mark.parametrize("sender", CL3_017)
def test_commands_of_the_projects_own(sender, room_of):
    room = room_of(sender)
    for value, receiver in itertools.product(SENT, room.receivers):
        val = MEANS_TO_CL4[value]
        told = room.sender.tell(f'{{"cmd":"wave","id":"{receiver.name}","val":{SENT[value]}}}')
        if receiver.era in CL3_017:
            assert told == ok(sender)
            expected = [f'{{"cmd":"wave","val":{FLAT.get(val, val)},"origin":"{room.sender.name}"}}']
        else:
            assert told == ['{"cmd":"statuscode","val":"E:103 | ID not found"}']
            expected = []
        assert receiver.frames() == expected, (receiver.era, value)


# User lists.


def whole_list(era: str, guests: list[EraClient], room: str = "default") -> str:
    """The list of a room as an era has it, with these in it."""
    names = "".join(f"{guest.name};" for guest in guests)
    if era in CL2:
        return f'{{"type":"ul","data":"{names}"}}'
    if era in CL3:
        return f'{{"cmd":"ulist","val":"{names}"}}'
    if era == "CL4 0.1.8":
        tag = "" if room == "default" else f',"room":"{room}"'
        return f'{{"cmd":"ulist","val":[{",".join(map(user_018, guests))}]{tag}}}'
    return f'{{"cmd":"ulist","mode":"set","val":[{",".join(map(user, guests))}],"rooms":"{room}"}}'


def change(mode: str, guest: str, room: str) -> str:
    return f'{{"cmd":"ulist","mode":"{mode}","val":{guest},"rooms":"{room}"}}'


def came(era: str, newcomer: EraClient, there: list[EraClient], room: str = "default") -> list[str]:
    if era in ("CL4 0.1.9", "CL4 0.2.0", "Scratch"):
        return [change("add", user(newcomer), room)]
    return [whole_list(era, there, room)]


def went(era: str, gone: str, there: list[EraClient], room: str = "default") -> list[str]:
    removed = [change("remove", gone, room)]
    if era in ("CL4 0.1.9", "CL4 0.2.0"):
        return removed
    if era == "Scratch":
        return [*removed, whole_list(era, there, room)]
    return [whole_list(era, there, room)]


def setid(era: str, name: str) -> str:
    return f"<%sn>\n{name}" if era in CL2 else f'{{"cmd":"setid","val":"{name}"}}'


def named(newcomer: EraClient) -> list[str]:
    """How a client of an era gets the confirmation of its name."""
    users = {"CL4 0.1.8": user_018, **dict.fromkeys(CL4_AS_020, user)}
    return [
        frame[:-1] + f',"val":{users[newcomer.era](newcomer)}}}' if newcomer.era in users else frame
        for frame in ok(newcomer.era)
    ]


@pytest.mark.parametrize("era", [kind for kind in KINDS if kind not in ("CL4 safe mode", "CL4 0.1.8")])
def test_coming_naming_and_going(era):
    room = Room("CL4 0.2.0")
    room.sender.leave()
    room.settle()
    newcomer = EraClient(room.server, era)
    newcomer.frames()
    assert [receiver.frames() for receiver in room.receivers] == [[] for _ in KINDS], (
        "an unnamed one is no news"
    )

    newcomer.name = "n\u00e9"
    told = newcomer.tell(setid(era, newcomer.name))
    there = [*room.receivers, newcomer]
    shown = [whole_list(era, there)]
    assert told == ([*named(newcomer), *shown] if era in CL3_017 else [*shown, *named(newcomer)])
    for receiver in room.receivers:
        assert receiver.frames() == came(receiver.era, newcomer, there), receiver.era

    gone = user(newcomer)
    newcomer.leave()
    for receiver in room.receivers:
        assert receiver.frames() == went(receiver.era, gone, room.receivers), receiver.era


def test_a_new_name():
    room = Room("CL3 0.1.5")
    former = user(room.sender)
    room.sender.name = "other"
    there = [*room.receivers, room.sender]
    assert room.sender.tell(setid("CL3 0.1.5", "other")) == [whole_list("CL3 0.1.5", there)]
    for receiver in room.receivers:
        expected = came(receiver.era, room.sender, there)
        if receiver.era in ("CL4 0.1.9", "CL4 0.2.0", "Scratch"):
            expected = [change("remove", former, "default"), *expected]
        if receiver.era == "Scratch":
            expected.append(whole_list("Scratch", there))
        assert receiver.frames() == expected, receiver.era


@pytest.mark.parametrize("era", CL4)
def test_leaving_the_room_and_coming_back(era):
    room = Room(era)
    mover = room.sender
    val = '"[\\"away\\"]"' if era == "CL4 0.1.8" else '["away"]'
    told = mover.tell(f'{{"cmd":"link","val":{val},"listener":"L"}}')
    shown = [whole_list(era, [mover], "away")]
    assert told == ([*ok(era, "L"), *shown] if era == "CL4 0.1.8" else [*shown, *ok(era, "L")])
    for receiver in room.receivers:
        assert receiver.frames() == went(receiver.era, user(mover), room.receivers), receiver.era

    told = mover.tell('{"cmd":"unlink","val":"","listener":"L"}')
    there = [*room.receivers, mover]
    shown = [whole_list(era, there)]
    assert told == ([*ok(era, "L"), *shown] if era == "CL4 0.1.8" else [*shown, *ok(era, "L")])
    for receiver in room.receivers:
        assert receiver.frames() == came(receiver.era, mover, there), receiver.era


@pytest.mark.parametrize("mover", CL4)
@pytest.mark.parametrize("watcher", CL4)
def test_another_room(watcher, mover):
    server = build()
    link = '{"cmd":"link","val":"[\\"r\\"]"}' if watcher == "CL4 0.1.8" else '{"cmd":"link","val":["r"]}'
    inside, coming = EraClient(server, watcher, "in"), EraClient(server, mover, "on")
    inside.tell(link)
    coming.frames()
    inside.frames()

    coming.tell('{"cmd":"link","val":"[\\"r\\"]"}' if mover == "CL4 0.1.8" else '{"cmd":"link","val":["r"]}')
    assert inside.frames() == came(watcher, coming, [inside, coming], "r")
    coming.tell(
        '{"cmd":"gmsg","val":1}', '{"cmd":"gvar","name":"v","val":2}', '{"cmd":"pmsg","id":"in","val":3}'
    )
    where = '"room":"r"' if watcher == "CL4 0.1.8" else '"rooms":"r"'
    origin = user_018(coming) if watcher == "CL4 0.1.8" else user(coming)
    assert inside.frames() == [
        f'{{"cmd":"gmsg","val":1,{where}}}',
        f'{{"cmd":"gvar","name":"v","val":2,{where}}}',
        f'{{"cmd":"pmsg","val":3,"origin":{origin},{where}}}',
    ]
    gone = user(coming)
    coming.leave()
    assert inside.frames() == went(watcher, gone, [inside], "r")


# Status codes.

TO_017 = {
    "test": "I:000 | Test",
    "echo": "I:001 | Echo",
    "ok": "I:100 | OK",
    "syntax": "E:101 | Syntax",
    "datatype": "E:102 | Datatype",
    "id_not_found": "E:103 | ID not found",
    "id_not_specific": "E:110 | ID conflict",
    "internal_error": "E:104 | Internal",
    "empty_packet": "E:109 | Empty packet",
    "id_already_set": "E:111 | ID already set",
    "refused": "E:115 | Refused",
    "invalid_command": "E:101 | Syntax",
    "disabled_command": "E:115 | Refused",
    "id_required": "E:116 | Username required",
    "id_conflict": "E:110 | ID conflict",
    "too_large": "E:107 | Packet too large",
    "json_error": "E:101 | Syntax",
    "room_not_joined": "E:103 | ID not found",
}
"""The codes as 0.1.7 knows them (protocol, section 4.4)."""


def status_to(era: str, name: str) -> list[str]:
    letter, number, text = getattr(StatusCodes, name)
    code = f'"code":"{letter}:{number} | {text}"'
    if era in CL3_017:
        return [f'{{"cmd":"statuscode","val":"{TO_017[name]}"}}']
    if era == "CL4 0.1.8":
        return [f'{{"cmd":"statuscode",{code},"val":[7],"listener":"L"}}']
    if era in CL4:
        return [f'{{"cmd":"statuscode",{code},"code_id":{number},"details":"why","listener":"L","val":[7]}}']
    return []


def test_every_status_code_is_known_here():
    codes = {name for name, value in vars(StatusCodes).items() if name[0] != "_" and isinstance(value, tuple)}
    assert codes == set(TO_017)


@pytest.mark.parametrize("era", KINDS)
def test_status_codes(era, room_of):
    room = room_of(era)
    protocol = protocol_of(room.server)
    for name in TO_017:
        code = getattr(StatusCodes, name)
        protocol.send_statuscode(
            room.sender.client, code, details="why", message={"cmd": "x", "listener": "L"}, val=[7]
        )
        assert [_sorted(frame) for frame in room.sender.frames()] == [
            _sorted(frame) for frame in status_to(era, name)
        ]


def _sorted(frame: str) -> str:
    return json.dumps(json.loads(frame), sort_keys=True)


# Who it is from.


@pytest.mark.parametrize("era", KINDS)
def test_nobody_passes_for_somebody_else(era, room_of):
    room = room_of(era)
    client = room.sender.client
    for receiver in room.receivers:
        room.sender.tell(pmsg_by(era, receiver.name, "text"), pvar_by(era, receiver.name, "text"))
        for frame in receiver.frames():
            origin = json.loads(frame).get("origin", client.username)
            assert "mallory" not in frame
            assert origin == client.username or origin["id"] == client.snowflake
