"""The attacks, as data: what each client of an attacker sends, how often, from how many addresses, and what is allowed.

Texts are sent as WebSocket text messages and bytes as they are. `#` stands for the number of the client, `$` for the
number of the repetition.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.support.rawclients import PING, UPGRADE, frame, request

Data = str | bytes


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: Its name in the table.
        what: What the attacker does, in a few words.
        opening: What each client sends first; for `kind` "tcp" and "http" instead of an upgrade request.
        repeat: What each client sends over and over.
        leader: What the first client sends over and over; None for the same as the others.
        connections: Number of clients.
        latecomers: Number of those that connect only in the second half of the attack.
        addresses: Number of addresses that the clients share.
        rate: Repetitions a second for each client; 0 for as fast as the server reads.
        times: Most repetitions; 0 for as long as the attack lasts.
        reading: Whether the clients read: "all", "none", or "late", in the second half of the attack.
        churn: Whether a client leaves after its opening and `times` repetitions, and connects again.
        together: Clients send their opening all at once, each time that so many seconds have passed; 0 for without waiting.
        kind: "websocket", "http" (a new connection for each request), "tcp" (bytes without a request) or "hello" (only the
            first bytes of a TLS client).
        path: The path of the upgrade request.
        tls: Whether server and clients use TLS.
        settings: Lines of the server's `cloudlink.toml`.
        plugin: The source of a plugin.
        spectators: Number of honest clients who read 10 Mbit/s in the room `default`.
        memory: Most MB by which the server may grow.
        stopped: What must have happened to the attacker, one of these: close codes, HTTP statuses, `E:108`, `E:113`, or
            `waits` (the server read more slowly than the attacker sent), `share` (the log says that its packets wait),
            `reset` (the connection ended without a close frame or an answer). Empty if the attack is within what anybody may do.
        fails: Whether the plugin fails, which the log says.
    """

    name: str
    what: str
    opening: tuple[Data, ...] = ()
    repeat: tuple[Data, ...] = ()
    leader: tuple[Data, ...] | None = None
    connections: int = 60
    latecomers: int = 0
    addresses: int = 1
    rate: float = 0.0
    times: int = 0
    reading: str = "all"
    churn: bool = False
    together: float = 0.0
    kind: str = "websocket"
    path: str = "/"
    tls: bool = False
    settings: str = ""
    plugin: str = ""
    spectators: int = 0
    memory: int = 150
    stopped: tuple[str, ...] = ()
    fails: bool = False


def _packet(cmd, **keys):
    return json.dumps({"cmd": cmd, **keys}, ensure_ascii=False)


def _cloud(method, **keys):
    return json.dumps({"method": method, **keys}, ensure_ascii=False) + "\n"


def _fragment(first_byte, size):
    return frame(b"x" * size, first_byte)


HELLO = (_packet("handshake", listener="h"), _packet("setid", val="attacker #"))
ROOMS = [f"room {number}" for number in range(99)]
LONG_ROOMS = [f"# {number} " + "😀" * 980 for number in range(99)]
EVERYWHERE = (*HELLO, _packet("link", val=ROOMS))
ESCAPES = (_packet("handshake", listener="h"), _packet("setid", val="\x01" * 60 + "#"))
CLOUD = (_cloud("handshake", project_id="attacked #", user="attacker"),)
GAME_CLOUD = (_cloud("handshake", project_id="4711", user="attacker"),)
LIMITED = ("1008", "E:108", "waits", "share")
TURNED_AWAY = ("429", "reset")
_HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_REQUEST = _HEAD + b"\r\n"
_FORGED = request(UPGRADE | {"X-Forwarded-For": "203.0.113.#"})
_BAN = """
class Bans:
    def __init__(self, server, protocol):
        @server.on_start
        async def ban():
            server.admin.ban({"address": "127.0.0.2"}, None, "attacks")
"""
_PLUGIN = """
import asyncio


class Command:
    def __init__(self, server, protocol):
        @server.on_command(cmd="{cmd}", schema=protocol.schema)
        async def handle(client, message):
            {body}
"""
_BIG = "1" * 100_000
_VALUES = tuple(
    _cloud("set", name=f"☁ v{number}", value=_BIG, user="attacker", project_id="x") for number in range(8)
)

_ALL = (
    # The worst ones.
    Attack(
        "room changes",
        "names of 60 control characters join 99 rooms and leave them",
        opening=ESCAPES,
        repeat=(_packet("link", val=ROOMS), _packet("unlink", val="")),
        stopped=LIMITED,
    ),
    Attack(
        "room changes, 300 clients",
        "the same with 300 connections",
        opening=ESCAPES,
        repeat=(_packet("link", val=ROOMS), _packet("unlink", val="")),
        connections=300,
        stopped=LIMITED,
    ),
    Attack(
        "messages to 99 rooms",
        "300 clients in 99 rooms; one sends 1000 small messages to all of them at once",
        opening=EVERYWHERE,
        leader=(_packet("gmsg", val="x", rooms=ROOMS),) * 1000,
        connections=300,
        stopped=LIMITED,
    ),
    Attack(
        "late readers",
        "100 readers let 1 MB of tiny messages wait, then read",
        opening=HELLO,
        leader=(_packet("gmsg", val="x"),) * 100,
        connections=100,
        reading="late",
        stopped=LIMITED,
    ),
    Attack(
        "direct lists",
        "direct to a list of 1000 empty objects",
        opening=HELLO,
        repeat=(_packet("direct", id=[{}] * 1000, val=1),),
        connections=10,
        rate=160,
    ),
    Attack(
        "cloud memory",
        "76 clients hold as many cloud variables as they can",
        opening=(*CLOUD, *_VALUES),
        connections=76,
    ),
    Attack(
        "cloud storage",
        "connect, write 1 MB of cloud variables, leave, again",
        opening=(*CLOUD, *_VALUES),
        connections=8,
        churn=True,
        rate=1,  # within the limits: a fast machine reads all of it without delay
    ),
    Attack(
        "large messages to slow readers",
        "4 strangers send 1 MB twice into default, where 20 players read 10 Mbit/s",
        opening=HELLO,
        repeat=(_packet("gmsg", val="x" * 1_000_000),),
        connections=4,
        times=2,
        rate=2,
        spectators=20,
    ),
    Attack(
        "kept memory",
        "480 clients in 99 rooms with long names, each with half of a large message; 120 come when much is kept",
        opening=(
            *HELLO,
            *(_packet("link", val=LONG_ROOMS[:part]) for part in (25, 50, 75, 99)),
            frame(b" " * 900_000)[:-1],
        ),
        connections=480,
        latecomers=120,
        stopped=("1008", "1009", "1013", "429", "waits"),
    ),
    Attack(
        "TLS connections",
        "as many TLS connections as possible, one after another",
        kind="tcp",
        opening=(_REQUEST,),
        connections=20,
        churn=True,
        tls=True,
        memory=250,
        stopped=TURNED_AWAY,
    ),
    Attack(
        "TLS handshakes at once",
        "480 connections hold their ClientHello back, then all send it at the same time",
        kind="hello",
        connections=480,
        together=1.5,
        churn=True,
        tls=True,
        memory=250,
    ),
    Attack(
        "TLS handshakes at once, ten addresses",
        "1000 connections do the same from ten addresses",
        kind="hello",
        connections=1000,
        addresses=10,
        together=1.5,
        churn=True,
        tls=True,
        memory=250,
    ),
    Attack(
        "TLS handshakes at once, ten times as many",
        "4800 connections do the same from ten addresses",
        kind="hello",
        connections=4800,
        addresses=10,
        together=5.0,
        churn=True,
        tls=True,
        memory=250,
    ),
    Attack(
        "slow plugin",
        "100 clients call a handler that takes 20 seconds",
        opening=HELLO,
        repeat=(_packet("sleep", val=1),),
        connections=100,
        rate=240,
        plugin=_PLUGIN.format(cmd="sleep", body="await asyncio.sleep(20)"),
        stopped=LIMITED,
    ),
    Attack(
        "plugin that exits",
        "a handler raises SystemExit",
        opening=HELLO,
        repeat=(_packet("exit", val=1),),
        connections=5,
        rate=20,
        plugin=_PLUGIN.format(cmd="exit", body="raise SystemExit(2)"),
        fails=True,
    ),
    # Other commands of CloudLink 4.
    Attack("pings", "pings of CloudLink", opening=HELLO, repeat=(_packet("ping"),) * 50, stopped=LIMITED),
    Attack("names", "setid over and over", repeat=(_packet("setid", val="n$"),) * 20, stopped=LIMITED),
    Attack(
        "handshakes",
        "handshake over and over",
        repeat=(_packet("handshake", listener="x"),) * 20,
        stopped=LIMITED,
    ),
    Attack(
        "messages in the game",
        "60 strangers shout in the room of the players",
        opening=(*HELLO, _packet("link", val="game")),
        repeat=(_packet("gmsg", val="spam", rooms="game"),) * 10,
        stopped=LIMITED,
    ),
    Attack(
        "messages from ten addresses",
        "the same from ten addresses",
        opening=(*HELLO, _packet("link", val="game")),
        repeat=(_packet("gmsg", val="spam", rooms="game"),) * 10,
        addresses=10,
        stopped=LIMITED,
    ),
    Attack(
        "variables in the game",
        "new variables in the room of the players",
        opening=(*HELLO, _packet("link", val="game")),
        repeat=tuple(_packet("gvar", name=f"v#{number}", val=number, rooms="game") for number in range(50)),
        stopped=LIMITED,
    ),
    Attack(
        "private messages",
        "private messages to 999 names that nobody has",
        opening=HELLO,
        repeat=(_packet("pmsg", id=[f"nobody {number}" for number in range(999)], val=1),),
        stopped=LIMITED,
    ),
    Attack(
        "private messages to all",
        "private messages to 100 attackers in a hundred rooms",
        opening=EVERYWHERE,
        repeat=(_packet("pmsg", id=[f"attacker {number}" for number in range(100)], val="x", rooms=ROOMS),),
        connections=100,
        stopped=(*LIMITED, "E:113"),
    ),
    Attack(
        "private variables",
        "private variables with names of 1000 characters",
        opening=HELLO,
        repeat=tuple(
            _packet("pvar", name=f"{number}" * 300, id="attacker 0", val=1) for number in range(100, 130)
        ),
        stopped=LIMITED,
    ),
    Attack(
        "unknown commands",
        "commands that do not exist",
        opening=HELLO,
        repeat=(_packet("x" * 1000),) * 20,
        stopped=LIMITED,
    ),
    Attack(
        "mistakes",
        "packets without what they need",
        opening=HELLO,
        repeat=(_packet("gmsg"), _packet("link"), _packet("pmsg", val=1), _packet("gvar", val=[[]])) * 5,
        stopped=LIMITED,
    ),
    Attack(
        "broken JSON",
        "half a packet after the first one",
        opening=HELLO,
        repeat=('{"cmd":"gmsg","val":[',) * 50,
        stopped=LIMITED,
    ),
    Attack(
        "deep JSON",
        "values nested 100 000 deep",
        opening=HELLO,
        repeat=('{"cmd":"gmsg","val":' + "[" * 100_000 + "]" * 100_000 + "}",),
        connections=20,
        stopped=LIMITED,
    ),
    Attack(
        "half surrogates",
        "values full of halves of characters",
        opening=HELLO,
        repeat=('{"cmd":"gmsg","val":"' + r"\ud83d" * 30_000 + '"}',),
        connections=20,
        stopped=LIMITED,
    ),
    Attack(
        "many objects in a message",
        "10 000 packets in one message",
        opening=HELLO,
        repeat=("\n".join([_packet("ping")] * 10_000),),
        connections=20,
        stopped=LIMITED,
    ),
    Attack(
        "rooms without end",
        "clients join a hundred rooms that nobody else is in, again and again",
        opening=HELLO,
        repeat=(_packet("link", val=[f"own # $ {number}" for number in range(90)]),),
        stopped=(*LIMITED, "E:113"),
    ),
    # Older dialects.
    Attack(
        "CloudLink 2 messages",
        "messages of CloudLink 2",
        opening=("<%sh>\n", "<%sn>\nattacker #"),
        repeat=("<%gs>\nattacker\nspam",) * 20,
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "CloudLink 2 lists",
        "user lists of CloudLink 2",
        opening=("<%sh>\n", "<%sn>\n" + "n" * 90 + "#"),
        repeat=("<%rf>\n",) * 50,
        connections=200,
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "CloudLink 2 channels",
        "channels with 16 KB of data, joined and left",
        opening=("<%sh>\n", "<%sn>\nattacker #", "<%rl>\nattacker\nattacker 0"),
        repeat=("<%l_g>\n0\nattacker\n" + "x" * 16_000, "<%rt>\nattacker", "<%rl>\nattacker\nattacker 0"),
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "CloudLink 3 names",
        "a new name again and again, with CloudLink 3",
        opening=(_packet("pmsg", id="", val="", origin=""),),
        repeat=(_packet("setid", val="n# $"), _packet("clear")) * 10,
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "CloudLink 4.1.8 rooms",
        "changes of rooms whose lists are sent whole",
        opening=(_packet("setid", val="attacker #"), _packet("link", val='["default"]', listener="roomLink")),
        repeat=(_packet("link", val=["crowd"]), _packet("link", val=["crowd", "other"])),
        connections=200,
        stopped=LIMITED,
    ),
    # Cloud variables.
    Attack(
        "cloud updates",
        "updates of the players' own variable",
        opening=GAME_CLOUD,
        repeat=(_cloud("set", name="☁ spam", value=1),) * 50,
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "cloud variables in the game",
        "new variables in the players' project",
        opening=GAME_CLOUD,
        repeat=tuple(_cloud("set", name=f"☁ # {number}", value=number) for number in range(120)),
        stopped=("1008", "4000", "waits"),
    ),
    Attack(
        "cloud seats",
        "200 clients take the places of the players' project",
        opening=GAME_CLOUD,
        connections=200,
        stopped=("4000", "4003"),
    ),
    Attack(
        "cloud projects",
        "a new project with a variable for each connection",
        opening=(
            _cloud("handshake", project_id="project # $", user="attacker"),
            _cloud("set", name="☁ x", value=1),
        ),
        churn=True,
        stopped=TURNED_AWAY,
    ),
    Attack(
        "cloud nonsense",
        "cloud messages without a method",
        opening=(*CLOUD, "{}\n"),
        churn=True,
        stopped=("4000", "429", "reset"),
    ),
    Attack(
        "cloud readers",
        "clients of the players' project that read nothing while one writes long values",
        opening=GAME_CLOUD,
        leader=(_cloud("set", name="☁ long", value=_BIG),),
        repeat=(),
        connections=60,
        rate=30,
        reading="none",
    ),
    # Frames.
    Attack(
        "ping frames",
        "pings of WebSocket",
        opening=HELLO,
        repeat=(frame(b"x" * 100, PING) * 100,),
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "ping frames, not read",
        "the same, and the pongs are not read",
        opening=HELLO,
        repeat=(frame(b"x" * 100, PING) * 100,),
        reading="none",
        stopped=("1008", "1013", "waits"),
    ),
    Attack(
        "tiny fragments",
        "messages in fragments of one byte",
        opening=HELLO,
        repeat=(_fragment(0x01, 1) + _fragment(0x00, 1) * 500 + _fragment(0x80, 1),),
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "empty fragments",
        "a message of empty fragments that never ends",
        opening=(*HELLO, _fragment(0x01, 1)),
        repeat=(_fragment(0x00, 0) * 500,),
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "half messages in fragments",
        "480 messages of 1 MB without their last fragment",
        opening=(*HELLO, _fragment(0x01, 500_000), _fragment(0x00, 500_000)),
        connections=480,
        stopped=("1008", "1009", "1013", "429", "waits"),
    ),
    Attack(
        "half messages, ten addresses",
        "the same from ten addresses",
        opening=(*HELLO, _fragment(0x01, 500_000), _fragment(0x00, 500_000)),
        connections=480,
        addresses=10,
        stopped=("1008", "1009", "1013", "429", "waits"),
    ),
    Attack(
        "huge frames",
        "headers of frames of 2^62 bytes",
        opening=(*HELLO, b"\x81\xff" + (1 << 62).to_bytes(8, "big") + bytes(4) + b"x" * 1000),
        churn=True,
        rate=5,
    ),
    Attack(
        "large messages",
        "messages of 1 MB as fast as they are taken",
        opening=(*HELLO, _packet("link", val="own")),
        repeat=(_packet("gmsg", val="x" * 1_000_000),),
        connections=30,
        stopped=(*LIMITED, "1013"),
    ),
    Attack(
        "binary messages",
        "binary messages of 100 KB",
        opening=HELLO,
        repeat=(frame(b"x" * 100_000, 0x82),),
        stopped=("1008", "waits", "share"),
    ),
    Attack(
        "reserved bits",
        "frames that break RFC 6455",
        opening=(*HELLO, frame(b"x", 0xF1)),
        churn=True,
        stopped=("1002", "429", "reset"),
    ),
    # Connections and HTTP.
    Attack(
        "reconnecting",
        "clients that spend their burst and connect again",
        opening=(*HELLO, *(_packet("gmsg", val="x"),) * 900),
        churn=True,
        stopped=("429", *LIMITED),
    ),
    Attack(
        "reconnecting, ten addresses",
        "the same from ten addresses",
        opening=(*HELLO, *(_packet("gmsg", val="x"),) * 900),
        addresses=10,
        churn=True,
        stopped=("429", *LIMITED),
    ),
    Attack("connections", "more connections than an address may have", connections=700, stopped=TURNED_AWAY),
    Attack(
        "silent connections",
        "700 connections without a request",
        kind="tcp",
        connections=700,
        stopped=("reset",),
    ),
    Attack(
        "slow requests",
        "400 requests whose headers come byte by byte",
        kind="tcp",
        opening=(_HEAD,),
        repeat=(b"x",),
        connections=400,
        rate=5,
    ),
    Attack(
        "pages", "the start page, as often as possible", kind="http", opening=(_REQUEST,), stopped=TURNED_AWAY
    ),
    Attack(
        "metrics and pages that do not exist",
        "requests for /metrics and unknown paths",
        kind="http",
        opening=(b"GET /metrics HTTP/1.1\r\nHost: game.example\r\n\r\n",),
        stopped=TURNED_AWAY,
    ),
    Attack(
        "long headers",
        "requests with 64 KB of headers",
        kind="http",
        opening=(_HEAD + b"X-Long: " + b"x" * 65_536 + b"\r\n\r\n",),
        stopped=("431",),
    ),
    Attack(
        "request bodies",
        "POST with a body of 10 MB",
        kind="http",
        opening=(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000,),
        connections=20,
    ),
    Attack(
        "forged addresses",
        "a different X-Forwarded-For with each connection",
        kind="http",
        opening=(_FORGED,),
        stopped=TURNED_AWAY,
    ),
    # Administration, bridges, bans.
    Attack(
        "admin logins",
        "passwords guessed at the admin socket",
        path="/admin/ws",
        repeat=(
            json.dumps(
                {"id": 1, "method": "login", "params": {"name": "owner", "password": "guess $ guess"}}
            ),
        ),
        connections=40,
        settings='admin = "everywhere"',
        stopped=("4429", "429", "reset", "waits", "403"),
    ),
    Attack(
        "admin nonsense",
        "nonsense at the admin socket",
        path="/admin/ws",
        repeat=("[1]",),
        connections=40,
        churn=True,
        times=1,
        settings='admin = "everywhere"',
        stopped=("4400", "429", "reset", "403"),
    ),
    Attack(
        "bridge handshakes",
        "wrong proofs of the secret of a bridge",
        opening=(json.dumps({"bridge": 1, "nonce": "0" * 32}), json.dumps({"proof": "0" * 64})),
        churn=True,
        settings='[bridges.friend]\nsecret = "a secret of sixteen characters"\nrooms = ["bridged"]',
        stopped=("4001", "1002", "1008", "429", "reset"),
    ),
    Attack(
        "half bridges",
        "handshakes of bridges that do not go on",
        opening=(json.dumps({"bridge": 1, "nonce": "0" * 32}),),
        connections=400,
        settings='[bridges.friend]\nsecret = "a secret of sixteen characters"\nrooms = ["bridged"]',
    ),
    Attack(
        "banned",
        "a banned address connects again and again",
        opening=HELLO,
        churn=True,
        plugin=_BAN,
        stopped=("4004", "403", "429"),
    ),
)

ATTACKS = {attack.name: attack for attack in _ALL}
"""All attacks by name, in the order of the table."""

QUICK = (
    "room changes, 300 clients",
    "messages to 99 rooms",
    "late readers",
    "direct lists",
    "cloud memory",
    "large messages to slow readers",
    "kept memory",
    "slow plugin",
)
"""The attacks of the quick form: those that once did the most harm."""
