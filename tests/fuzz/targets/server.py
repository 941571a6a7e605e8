"""A server in memory and one wild client: first messages, all dialects of CloudLink, and cloud variables.

The first message of an input names the kind of client, by its number in `_KINDS`; others are sent as they are.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.fuzz.grammar import SURPRISES, TEXTS, VALUES, dumps, packets
from tests.fuzz.search import Messages, Target
from tests.legacy.shapes import check, strict
from tests.support.eras import opening
from tests.support.memoryclients import KINDS, MemoryClient, MemoryConnection
from tests.support.servers import build
from tests.support.strategies import cut, damaged

_COMMANDS = [
    *("handshake", "ping", "setid", "gmsg", "gvar", "pmsg", "pvar", "direct", "link", "unlink"),
    *("clear", "ulist", "statuscode", "custom", "ds", "type", "nonsense", ""),
]
_KEYS = ["val", "name", "id", "rooms", "listener", "origin", "code", "mode", "user", "method", "type", "data"]
_OPCODES = ["<%sh>", "<%sn>", "<%gs>", "<%ps>", "<%rf>", "<%ds>", "<%l_g>", "<%l_p>", "<%rl>", "<%rt>", "<%"]
_METHODS = ["handshake", "set", "create", "delete", "rename", "ping", ""]
_CLOUD_KEYS = ["name", "value", "user", "project_id", "new_name"]
_RULES = [
    {},
    {"undecided_clients": "cl3"},
    {"allow_rename": True, "cloud_text_values": True},
    {"motd": "Welcome!", "unique_usernames": True, "message_origin": True},
]
_HANDSHAKE = b'{"method":"handshake","project_id":"104","user":"wild"}\n'

_cl4 = packets(st.sampled_from(_COMMANDS) | VALUES, _KEYS)
_about = st.builds(
    lambda cmd, val: dumps({"cmd": "direct", "val": {"cmd": cmd, "val": val}}),
    st.sampled_from(["type", "ip", "vers", "motd"]),
    VALUES,
)
_lines = st.builds(
    lambda opcode, rest: "\n".join([opcode, *rest]).encode(errors="replace"),
    st.sampled_from(_OPCODES),
    st.lists(TEXTS, max_size=6),
)
_cloud_values = st.builds(
    lambda method, name, value, project: dumps(
        {"method": method, "name": name, "value": value, "user": "wild", "project_id": project}
    ),
    st.sampled_from(_METHODS),
    st.sampled_from(["☁ a", "☁ b", "a", ""]),
    st.sampled_from(["1", 1, -0.5, "1e3", "text", "9" * 300, 1e308]) | VALUES,
    st.sampled_from(["104", 104, "105", ""]) | VALUES,
)
_cloud = (packets(st.sampled_from(_METHODS) | VALUES, _CLOUD_KEYS, "method") | _cloud_values).map(
    lambda data: data + b"\n"
)
_joined = st.lists(_cloud, min_size=2, max_size=3).map(b"".join)
_first = _cl4 | _lines | _cloud | _about | st.binary(max_size=30) | SURPRISES | st.just(b'{"bridge":1}')


def _inputs(kinds: st.SearchStrategy[int], messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[Messages]:
    settings = st.integers(0, len(_RULES) - 1)
    return st.builds(
        lambda kind, rules, rest: [b"%d %d" % (kind, rules), *rest],
        kinds,
        settings,
        st.lists(messages, min_size=1, max_size=8),
    )


def _numbers(data: bytes) -> tuple[int, int]:
    """Return two small numbers, whatever has become of the message that had them."""
    parts = [int(part) for part in data[:8].split() if part.isdigit()]
    return (*parts, 0, 0)[:2]


def _play(messages: Messages) -> None:
    kind, rules = _numbers(messages[0] if messages else b"")
    server = build(_RULES[rules % len(_RULES)])
    others = [MemoryClient(server, *opening(era, f"other-{number}")) for number, era in enumerate(KINDS)]
    cloud = MemoryClient(server, '{"method":"handshake","project_id":"104","user":"zoe"}')
    wild = MemoryClient(server)
    if kind:
        wild.say(*opening(KINDS[(kind - 1) % len(KINDS)], "wild"))
    for client in (*others, cloud):
        client.heard()
    for message in messages[1:]:
        _send(wild, message)
        server.delivery.flush()
        _check_all(wild)
        for client in others:
            _check_all(client)
    _check_cloud(cloud)
    for number, (era, client) in enumerate(zip(KINDS, others, strict=True)):
        word = f"still-{number}"
        told = client.ask(f"<%gs>\nme\n{word}" if era.startswith("CL2") else {"cmd": "gmsg", "val": word})
        assert any(word in json.dumps(packet) for packet in told), f"a client of {era} is not served any more"
    wild.leave()
    for client in (*others, cloud):
        assert client.closed is None, f"a bystander was closed: {client.closed}"
        client.leave()
    assert len(server.clients_manager) == 0
    assert server.rooms_manager.rooms == {}


def _send(client: MemoryClient, message: bytes) -> None:
    if client.connection.closed is not None:
        return
    try:
        message.decode()
    except UnicodeDecodeError:
        client.session.receive_binary(message)  # the transport lets no other bytes through as text
    else:
        client.session.receive(message)


def _check_all(client: MemoryClient) -> None:
    dialect = client.client.dialect
    for frame in client.connection.take():
        if client.closed is not None and frame == client.closed[1]:
            continue  # the bare text before a close
        if dialect is not None and str(dialect).startswith("CL"):
            packet = check(str(dialect), frame)
            assert packet.get("code_id") != 105, f"a handler failed: {frame}"


def _check_cloud(client: MemoryClient) -> None:
    connection: MemoryConnection = client.connection
    for frame in connection.take():
        for line in frame.splitlines():
            packet = strict(line)
            assert packet["method"] == "set", line
            assert isinstance(packet["name"], str), line
            assert isinstance(packet["value"], (str, int, float)), line
    client.session.receive(json.dumps({"method": "set", "name": "☁ mine", "value": "1"}).encode())


TARGETS = {
    "first": Target(_inputs(st.just(0), damaged(_first) | _first | cut(_first)), _play),
    "dialects": Target(_inputs(st.integers(1, len(KINDS)), _cl4 | _lines | _about), _play),
    "cloud": Target(
        _inputs(st.just(0), _cloud | _joined).map(lambda found: [found[0], _HANDSHAKE, *found[1:]]), _play
    ),
}
