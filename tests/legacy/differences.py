"""Single answers in which our server differs from the old ones, and why.

Per recording: the step, who hears it, the reason, and what ours says there after the rules of `test_recordings`.
"""

from __future__ import annotations

from typing import Any

DIFFERENCES: dict[str, list[tuple[int, str, str, list[Any]]]] = {
    "cl2_b2.3__early_session": [
        (3, "A", "Somebody without a name is no news.", []),
        (
            6,
            "A",
            "A private message goes to whom it is for; that server sent it to everybody and left it to the clients.",
            [],
        ),
        (
            7,
            "A",
            "<%rf> shows the list; that server emptied it and had everybody say their name again.",
            [{"type": "ul", "data": "alice;bob;"}],
        ),
        (7, "B", "<%rf> is answered to whoever asks.", []),
    ],
    "cl2_s2.2__late_session": [
        (
            2,
            "A",
            "The greeting that waited comes behind the answer: the client must know the version first.",
            [{"type": "direct", "data": {"type": "vers", "data": "S2.2"}}, {"type": "ul", "data": ""}],
        ),
        (10, "B", "An early client has no words for variables (protocol, section 4.2).", []),
        (11, "B", "An early client has no words for variables (protocol, section 4.2).", []),
        (
            12,
            "B",
            "Who becomes a late client is greeted as one, which includes the list.",
            [
                {"type": "direct", "data": {"type": "vers", "data": "S2.2"}},
                {"type": "ul", "data": "alice;bob;"},
            ],
        ),
        (
            22,
            "A",
            "<%rf> shows the list; that server emptied it and had everybody say their name again.",
            [{"type": "ul", "data": "alice;bob;"}],
        ),
        (22, "B", "<%rf> is answered to whoever asks.", []),
        (23, "A", "<%ds> closes the connection at once.", [{"closed": [1000, ""]}]),
        (
            23,
            "B",
            "So the others are told at once; the list still holds bob, as <%rf> did not empty it.",
            [{"type": "ul", "data": "bob;"}],
        ),
        (24, "B", "Told before.", []),
    ],
    "cl3_0.1.5__session": [],
    "cl3_0.1.7__session": [
        (3, "A", "An address is taken silently (protocol, section 4.4).", []),
        (20, "A", "The server's program, here a plugin, says nothing by itself.", []),
        (
            32,
            "A",
            "A command that is no text is bad syntax, as in CL4.",
            [{"cmd": "statuscode", "val": "E:101 | Syntax"}],
        ),
    ],
    "cl4_0.1.8.3__session": [
        (
            7,
            "A",
            "A value goes on byte for byte; that server read texts as JSON (protocol, section 4.8: raw).",
            [{"cmd": "gvar", "name": "v", "val": "1"}],
        ),
        (
            7,
            "B",
            "A value goes on byte for byte; that server read texts as JSON (protocol, section 4.8: raw).",
            [{"cmd": "gvar", "name": "v", "val": "1"}],
        ),
        (
            8,
            "A",
            "A value goes on byte for byte; that server read texts as JSON (protocol, section 4.8: raw).",
            [{"cmd": "gvar", "name": "v", "val": "2", "listener": "L"}],
        ),
        (
            8,
            "B",
            "A value goes on byte for byte; that server read texts as JSON (protocol, section 4.8: raw).",
            [{"cmd": "gvar", "name": "v", "val": "2"}],
        ),
        (
            12,
            "B",
            "A value goes on byte for byte; that server read texts as JSON (protocol, section 4.8: raw).",
            [{"cmd": "pvar", "name": "v", "val": "3", "origin": {"id": "A", "username": "alice"}}],
        ),
        (15, "A", "direct works, and is not confirmed.", []),
        (
            15,
            "B",
            "direct works; that server failed on it.",
            [{"cmd": "direct", "val": "d", "origin": {"id": "A", "username": "alice"}, "listener": "L"}],
        ),
        (
            20,
            "A",
            "A room not joined is told as such; that server failed on it.",
            [{"cmd": "statuscode", "code": "E:115 | Room not joined", "listener": "L"}],
        ),
        (
            23,
            "A",
            "The name that the client has is told with the mistake.",
            [
                {
                    "cmd": "statuscode",
                    "code": "E:107 | ID already set",
                    "val": {"id": "A", "username": "alice"},
                    "listener": "setusername",
                }
            ],
        ),
        (
            24,
            "A",
            "Mistakes echo the listener.",
            [{"cmd": "statuscode", "code": "E:109 | Invalid command", "listener": "L"}],
        ),
        (26, "A", "What is no JSON is told as such.", [{"cmd": "statuscode", "code": "E:114 | JSON error"}]),
        (
            29,
            "A",
            "The name 123 is taken.",
            [{"cmd": "ulist", "val": [{"username": "123", "id": "C"}, {"username": "alice", "id": "A"}]}],
        ),
        (
            29,
            "C",
            "A name may be digits; that server read it as a number.",
            [
                {"cmd": "ulist", "val": [{"id": "A", "username": "alice"}, {"id": "C", "username": "123"}]},
                {
                    "cmd": "statuscode",
                    "code": "I:100 | OK",
                    "listener": "setusername",
                    "val": {"id": "C", "username": "123"},
                },
            ],
        ),
        (
            30,
            "C",
            "It has its name from the step before. How long one may be is the host's to say, not this era's.",
            [
                {
                    "cmd": "statuscode",
                    "code": "E:107 | ID already set",
                    "listener": "setusername",
                    "val": {"id": "C", "username": "123"},
                }
            ],
        ),
        (31, "A", "The third client has its name already.", []),
        (
            31,
            "C",
            "The third client has its name already.",
            [
                {
                    "cmd": "statuscode",
                    "code": "E:107 | ID already set",
                    "listener": "setusername",
                    "val": {"id": "C", "username": "123"},
                }
            ],
        ),
        (32, "A", "Nobody in this room has gone; that server told everybody on the server.", []),
        (32, "C", "Nobody in this room has gone; that server told everybody on the server.", []),
    ],
    "cl4_0.1.9.2__session": [
        (
            3,
            "A",
            "Who sets its name is shown the whole list, as in 0.2.0.",
            [
                {
                    "cmd": "ulist",
                    "mode": "set",
                    "val": [{"id": "A", "username": "alice"}],
                    "rooms": "default",
                },
                {
                    "cmd": "statuscode",
                    "code": "I:100 | OK",
                    "code_id": 100,
                    "listener": "setusername",
                    "val": {"id": "A", "username": "alice"},
                },
            ],
        ),
        (
            6,
            "B",
            "Who sets its name is shown the whole list, as in 0.2.0.",
            [
                {
                    "cmd": "ulist",
                    "mode": "set",
                    "val": [{"id": "A", "username": "alice"}, {"id": "B", "username": "bob"}],
                    "rooms": "default",
                },
                {
                    "cmd": "statuscode",
                    "code": "I:100 | OK",
                    "code_id": 100,
                    "listener": "setusername",
                    "val": {"id": "B", "username": "bob"},
                },
            ],
        ),
        (
            10,
            "A",
            "The echo of a variable has its room, as that of a message always had.",
            [{"cmd": "gvar", "name": "v", "val": 2, "listener": "L", "rooms": "default"}],
        ),
        (
            17,
            "B",
            "The listener of a direct reaches the recipient, as in 0.2.0.",
            [{"cmd": "direct", "val": "d", "origin": {"id": "A", "username": "alice"}, "listener": "L"}],
        ),
        (
            18,
            "B",
            "Who leaves a room is taken from the list, as in 0.2.0.",
            [{"cmd": "ulist", "mode": "remove", "val": {"id": "A", "username": "alice"}, "rooms": "default"}],
        ),
        (
            19,
            "A",
            "Who joins a room is added to the list, as in 0.2.0.",
            [{"cmd": "ulist", "mode": "add", "val": {"id": "B", "username": "bob"}, "rooms": "r1"}],
        ),
        (
            21,
            "A",
            "Rooms can be named; that server failed on it, and closed.",
            [{"cmd": "gmsg", "val": "select", "listener": "L", "rooms": "r1"}],
        ),
        (
            21,
            "B",
            "Rooms can be named; that server failed on it, and closed.",
            [{"cmd": "gmsg", "val": "select", "rooms": "r1"}],
        ),
        (
            30,
            "C",
            "A client that has not shaken hands is greeted; the first alice is in another room.",
            [
                {"cmd": "motd", "val": "legacy motd"},
                {"cmd": "client_ip", "val": "127.0.0.1"},
                {"cmd": "server_version", "val": "0.2.0"},
                {"cmd": "ulist", "mode": "set", "val": [], "rooms": "default"},
                {
                    "cmd": "ulist",
                    "mode": "set",
                    "val": [{"id": "C", "username": "alice"}],
                    "rooms": "default",
                },
                {
                    "cmd": "statuscode",
                    "code": "I:100 | OK",
                    "code_id": 100,
                    "listener": "setusername",
                    "val": {"id": "C", "username": "alice"},
                },
            ],
        ),
        (
            31,
            "A",
            "The first client is still there, in the room that the second one leaves.",
            [{"cmd": "ulist", "mode": "remove", "val": {"id": "B", "username": "bob"}, "rooms": "r1"}],
        ),
        (
            33,
            "D",
            "What cannot be identified is told in a text and closed with 1000, as in 0.2.0.",
            ["Empty message", {"closed": [1000, "Empty message"]}],
        ),
        (
            35,
            "E",
            "What cannot be identified is told in a text and closed with 1000, as in 0.2.0.",
            ["Invalid JSON", {"closed": [1000, "Invalid JSON"]}],
        ),
        (
            37,
            "F",
            "What cannot be identified is told in a text and closed with 1000, as in 0.2.0.",
            ["Unable to identify protocol", {"closed": [1000, "Unable to identify protocol"]}],
        ),
    ],
    "cl4_0.1.9.2__scratch_bridge": [
        (
            3,
            "A",
            "Who sets its name is shown the whole list, as in 0.2.0.",
            [
                {
                    "cmd": "ulist",
                    "mode": "set",
                    "val": [{"id": "A", "username": "alice"}],
                    "rooms": "default",
                },
                {
                    "cmd": "statuscode",
                    "code": "I:100 | OK",
                    "code_id": 100,
                    "listener": "setusername",
                    "val": {"id": "A", "username": "alice"},
                },
            ],
        ),
        (7, "S", "Nobody gets its own variable back (decision D8).", []),
        (
            8,
            "A",
            "The echo of a variable has its room, as that of a message always had.",
            [{"cmd": "gvar", "name": "☁ v", "val": 11, "listener": "L", "rooms": "proj"}],
        ),
        (
            11,
            "T",
            "Several clients of a project may have one name, as on the reference server; a newcomer gets the values.",
            [{"method": "set", "name": "☁ v", "value": '{"a": 1}'}],
        ),
    ],
}
