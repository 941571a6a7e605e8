"""How a client's dialect is recognized by its messages (protocol, section 4.7), row by row."""

from __future__ import annotations

import json

import pytest

from cloudlink.server.protocols.clpv4 import dialects
from cloudlink.server.protocols.clpv4.dialects import CL4, CL4_SCRATCH, DIALECTS, MODERN, UNDECIDED, detect
from cloudlink.server.protocols.clpv4.dialects.cl2_early import CL2_EARLY
from cloudlink.server.protocols.clpv4.dialects.cl2_late import CL2_LATE
from cloudlink.server.protocols.clpv4.dialects.cl3_015 import CL3_015
from cloudlink.server.protocols.clpv4.dialects.cl3_017 import CL3_017, CL3_017_SCRATCH
from cloudlink.server.protocols.clpv4.dialects.cl4_018 import CL4_018, CL4_SAFE
from cloudlink.server.protocols.clpv4.dialects.cl4_019 import CL4_019

HALF = "\\ud83d"
"""Half a surrogate pair, as Scratch projects write it."""
DEEP = "[" * 100_000 + "]" * 100_000
"""Nested deeper than the parser follows on any version of Python."""

FIRST = {
    # CL2
    "<%sh>\n": CL2_LATE,
    "<%sh>": CL2_LATE,
    "<%sn>\nalice": CL2_EARLY,
    "<%sh": CL2_EARLY,
    "<%": CL2_EARLY,
    '<%{"cmd":"handshake"}': CL2_EARLY,
    " <%sh>": UNDECIDED,
    # 0.1.7
    '{"cmd":"direct","val":{"cmd":"type","val":"scratch"}}': CL3_017_SCRATCH,
    '{"cmd":"direct","val":{"cmd":"ip","val":""}}': CL3_017_SCRATCH,
    '{"cmd":"direct","val":{"cmd":"type","val":"py"}}': CL3_017,
    '{"cmd":"direct","val":{"cmd":"type"}}': CL3_017,
    '{"cmd":"direct","val":{"cmd":"type","val":["scratch"]}}': CL3_017,
    '{"cmd":"direct","val":{"cmd":"type","val":"scratch"},"listener":"L"}': CL3_017_SCRATCH,
    '{"cmd":"direct","val":{"cmd":"type","val":"scratch"},"id":"bob"}': UNDECIDED,
    '{"cmd":"direct","val":{"cmd":"vers","val":"scratch"}}': UNDECIDED,
    '{"cmd":"direct","val":{"cmd":["type"]}}': UNDECIDED,
    '{"cmd":"direct","val":{"cmd":null}}': UNDECIDED,
    '{"cmd":"direct","val":{}}': UNDECIDED,
    '{"cmd":"direct","val":["type"]}': UNDECIDED,
    '{"cmd":"direct","val":"type"}': UNDECIDED,
    '{"cmd":"direct","val":null}': UNDECIDED,
    '{"cmd":"direct"}': UNDECIDED,
    '{"cmd":["direct"],"val":{"cmd":"type"}}': UNDECIDED,
    # 0.1.5
    '{"cmd":"pmsg","id":"bob","val":1,"origin":"alice"}': CL3_015,
    '{"cmd":"pvar","id":"bob","name":"v","val":1,"origin":""}': CL3_015,
    '{"cmd":"pmsg","id":"bob","val":1,"origin":{"username":"alice"}}': UNDECIDED,
    '{"cmd":"pmsg","id":"bob","val":1,"origin":5}': UNDECIDED,
    '{"cmd":"pmsg","id":"bob","val":1,"origin":null}': UNDECIDED,
    '{"cmd":"pmsg","id":"bob","val":1,"origin":"alice","listener":"L"}': CL4,
    '{"cmd":"gmsg","val":1,"origin":"alice"}': UNDECIDED,
    '{"cmd":"pmsg","id":"bob","val":1}': UNDECIDED,
    # CL4 without a handshake
    '{"cmd":"setid","val":"alice","listener":"setusername"}': CL4_SAFE,
    '{"cmd":"setid","listener":"setusername"}': CL4_SAFE,
    '{"cmd":"setid","val":"alice","listener":"username_set"}': CL4_018,
    '{"cmd":"setid","val":"alice","listener":"username_cfg"}': CL4,
    '{"cmd":"setid","val":"alice","listener":["setusername"]}': CL4,
    '{"cmd":"setid","val":"alice","listener":null}': CL4,
    '{"cmd":"setid","val":"alice"}': CL4,
    '{"cmd":"gmsg","val":1,"listener":"L"}': CL4,
    '{"cmd":"gmsg","val":1,"listener":0}': CL4,
    '{"cmd":"gmsg","val":1,"listener":"setusername"}': CL4,
    '{"cmd":"gmsg","val":1,"listener":"setprotocol"}': CL4,
    '{"cmd":"gmsg","val":{"language":"Scratch"}}': UNDECIDED,
    '{"cmd":"gmsg","val":{"language":"Scratch"},"listener":"L"}': CL4,
    '{"cmd":"gmsg","val":1}': UNDECIDED,
    '{"cmd":"gvar","name":"v","val":1}': UNDECIDED,
    '{"cmd":"ping"}': UNDECIDED,
    '{"cmd":"link","val":"[\\"r\\"]"}': UNDECIDED,
    # handshakes
    '{"cmd":"handshake","listener":"setprotocol"}': CL4_019,
    '{"cmd":"handshake","listener":"protocolset"}': CL4_019,
    '{"cmd":"handshake","val":"","listener":"setprotocol"}': CL4,
    '{"cmd":"handshake","listener":"mine"}': CL4,
    '{"cmd":"handshake"}': CL4,
    '{"cmd":"handshake","val":{"language":"Python","version":"0.2.0"}}': CL4,
    '{"cmd":"handshake","val":{"language":"Scratch","version":"S4.1"},"listener":"setprotocol"}': CL4_SCRATCH,
    '{"cmd":"handshake","val":{"language":"Scratch"}}': CL4_SCRATCH,
    '{"cmd":"handshake","val":{"language":["Scratch"]}}': CL4,
    '{"cmd":"handshake","val":["language","Scratch"]}': CL4,
    '{"cmd":"handshake","val":"Scratch"}': CL4,
    # What should not be there
    '{"cmd":"setid","val":"alice","is_first":true,"prefers_cl3":true,"text":"<%sh>"}': CL4,
    '{"cmd":"handshake","cmd":"setid","val":"a","listener":"setusername"}': CL4_SAFE,
    "[]": UNDECIDED,
    "{nope": UNDECIDED,
    "": UNDECIDED,
    '{"cmd":5,"listener":"L"}': UNDECIDED,
    # JSON that msgspec does not take, or not at once
    f'{{"cmd":"setid","val":"{HALF}","listener":"setusername"}}': CL4_SAFE,
    f'{{"cmd":"setid","val":"{HALF}"}}': CL4,
    f'{{"cmd":"{HALF}","listener":"L"}}': CL4,
    f'{{"cmd":"pmsg","id":"{HALF}","val":1,"origin":"{HALF}"}}': CL3_015,
    f'{{"cmd":"direct","val":{{"cmd":"type","val":"{HALF}"}}}}': CL3_017,
    f'{{"cmd":["{HALF}"],"listener":"L"}}': UNDECIDED,
    f'["{HALF}"]': UNDECIDED,
    f'{{"{HALF}":1}}': UNDECIDED,
    f'{{"{HALF}"': UNDECIDED,
    '{"cmd":"handshake","val":1e400,"listener":1e400}': CL4,
    '{"cmd":"direct","val":{"cmd":"type","val":1e400}}': CL3_017,
    '{"cmd":"direct","val":{"cmd":1e400}}': UNDECIDED,
    f'{{"cmd":"direct","val":{{"cmd":"type","val":{DEEP}}}}}': UNDECIDED,
    f'{{"cmd":"handshake","val":{DEEP}}}': UNDECIDED,
}
AS_CL3 = (
    '{"cmd":"setid","val":"alice"}',
    f'{{"cmd":"setid","val":"{HALF}"}}',
    '{"cmd":"gmsg","val":1}',
    '{"cmd":"gmsg","val":{"language":"Scratch"}}',
    '{"cmd":"gmsg","val":1,"origin":"alice"}',
    '{"cmd":"gvar","name":"v","val":1}',
    '{"cmd":"setid","val":"alice","is_first":true,"prefers_cl3":true,"text":"<%sh>"}',
)
"""Messages of 0.1.5 if the host configures it; all others are recognized as without that setting."""


def told(text: str, current=UNDECIDED, **preference: bool):
    return detect(text.encode(), current, DIALECTS, **preference)


def test_first_message():
    assert {text: told(text) for text in FIRST} == FIRST


def test_first_message_where_the_host_prefers_cl3():
    expected = {**FIRST, **dict.fromkeys(AS_CL3, CL3_015)}
    assert {text: told(text, prefers_cl3=True) for text in FIRST} == expected


def test_only_short_messages_are_remembered():
    remembered = dialects._detect_again.cache_info
    told('{"cmd":"handshake","listener":"asked before"}')
    hits, size = remembered().hits, remembered().currsize
    told('{"cmd":"handshake","listener":"asked before"}')
    told('{"cmd":"handshake","listener":"%s"}' % ("x" * 1000))
    assert (remembered().hits, remembered().currsize) == (hits + 1, size)


def test_messages_that_the_host_may_decide_are_among_the_first():
    assert set(AS_CL3) <= set(FIRST)


HANDSHAKE = '{"cmd":"handshake","listener":"h"}'
OF_019 = '{"cmd":"handshake","listener":"setprotocol"}'
OF_SCRATCH = '{"cmd":"handshake","val":{"language":"Scratch"}}'
OLDER = (CL2_EARLY, CL2_LATE, CL3_015, CL3_017, CL3_017_SCRATCH, CL4_SAFE, CL4_018)


@pytest.mark.parametrize("former", OLDER, ids=repr)
def test_a_later_handshake_makes_it_cl4(former):
    assert told(HANDSHAKE, former) is CL4
    assert told(OF_019, former) is CL4_019
    assert told(OF_SCRATCH, former) is CL4_SCRATCH


@pytest.mark.parametrize("former", [CL4, CL4_SCRATCH, CL4_019], ids=repr)
def test_another_handshake_takes_nothing_back(former):
    assert told(HANDSHAKE, former) is former
    assert told(OF_019, former) is former
    assert told(OF_SCRATCH, former) is CL4_SCRATCH


@pytest.mark.parametrize("former", [*OLDER, CL4, CL4_SCRATCH, CL4_019], ids=repr)
def test_later_messages_change_nothing_else(former):
    expected = {text: former for text in FIRST if "handshake" not in text}
    if former is CL2_EARLY:
        expected |= {text: CL2_LATE for text in expected if text.startswith("<%sh>")}
    elif former is CL4_SAFE:
        expected |= {text: CL4_018 for text in expected if '"link"' in text}
    assert {text: told(text, former) for text in expected} == expected


@pytest.mark.parametrize(
    ("val", "is_018"),
    [
        ('["r1","r2"]', True),
        (" [] ", True),
        ("r1", False),
        ("[r1]", False),
        ('["r1"', False),
        ('{"r1":1}', False),
        ('["\ud83d"]', False),  # JSON has no such text
        (["r1"], False),
        (None, False),
        (5, False),
    ],
)
def test_rooms_as_json_text_show_018(val, is_018):
    assert told(json.dumps({"cmd": "link", "val": val}), CL4_SAFE) is (CL4_018 if is_018 else CL4_SAFE)


def test_rooms_as_json_text_show_nothing_in_others():
    text = json.dumps({"cmd": "link", "val": '["r1"]'})
    assert [told(text, dialect) for dialect in (UNDECIDED, CL4, CL4_019)] == [UNDECIDED, CL4, CL4_019]


def test_without_legacy_support_only_scratch_clients_are_recognized():
    expected = {text: CL4_SCRATCH if dialect is CL4_SCRATCH else CL4 for text, dialect in FIRST.items()}
    assert {text: detect(text.encode(), CL4, MODERN) for text in FIRST} == expected
