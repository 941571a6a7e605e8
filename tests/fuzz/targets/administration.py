"""Admin sockets: what anybody, a viewer, a moderator and an owner may send, from near and far.

The first message of an input names the role, by its number in `_ROLES`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cloudlink.admin.methods import METHODS
from tests.fuzz.grammar import SURPRISES, TEXTS, VALUES, dumps
from tests.fuzz.search import Messages, Target
from tests.support.adminwire import CONSOLE, PASSWORD, Administrators, FakePlayer, from_net
from tests.support.strategies import cut, damaged

_ROLES = ["", "viewer", "moderator", "owner", "console"]
_ERROR_OF_OURS = "internal"
_PARAMS = sorted({name for method in METHODS.values() for name in method.params})
_LIKELY: list[Any] = [
    *("the-owner", "the-viewer", "mia", PASSWORD, "owner", "viewer", "1", "2", 1, 0, -1, 60, 1e308, 10**400),
    *(
        "alice",
        "default",
        "203.0.113.7",
        "203.0.113.0/24",
        "2001:db8::/32",
        "::1",
        "0.0.0.0/0",
        "10.0.0.0/33",
    ),
    *("*", "ban", "mute", "kick", "(", "(a+)+$", "[a", "\\", "players", "log", "audit", "statistics", "104"),
    *("☁ a", "all", "address", "name", "uuid", "drain", "guard", "lock", ["default"], [["a"]], True, None),
]
_value = st.sampled_from(_LIKELY) | st.sampled_from(_LIKELY) | VALUES


def _with_params(name: str) -> st.SearchStrategy[bytes]:
    own = list(METHODS[name].params) if name in METHODS else []
    params = st.fixed_dictionaries({}, optional=dict.fromkeys(own, _value))
    others = st.dictionaries(st.sampled_from(_PARAMS) | TEXTS, _value, max_size=2)
    return st.builds(
        lambda number, some, more: dumps({"id": number, "method": name, "params": {**some, **more}}),
        st.integers(0, 5) | TEXTS,
        params,
        st.just({}) | others,
    )


_request = st.sampled_from([*METHODS, "", "nonsense"]).flatmap(_with_params)
_odd = st.builds(
    lambda number, method, params: dumps({"id": number, "method": method, "params": params}),
    VALUES,
    VALUES | st.sampled_from(list(METHODS)),
    VALUES,
)
_surprising = st.builds(
    lambda method, name, value: b'{"id":1,"method":"%b","params":{"%b":%b}}' % (method, name, value),
    st.sampled_from([name.encode() for name in METHODS]),
    st.sampled_from([name.encode() for name in _PARAMS]),
    SURPRISES,
)
_messages = _request | _request | _odd | _surprising | damaged(_request) | cut(_request) | SURPRISES


def _play(messages: Messages) -> None:
    number = int(messages[0]) if messages and messages[0].isdigit() else 0
    role = _ROLES[number % len(_ROLES)]
    administrators = Administrators()
    administrators.add_account("mia", "owner")
    administrators.server.add(FakePlayer(1, "alice"), FakePlayer(2, "bob", room="arena"))
    watching = administrators.log_in("owner")
    if role == "console":
        wild = administrators.connect(CONSOLE)
    elif role:
        wild = administrators.log_in(role)
    else:
        wild = administrators.connect(from_net("203.0.113.7"))
    for message in messages[1:]:
        if wild.closed is not None:
            break
        if _is_text(message):
            wild.say(message)
        else:
            wild.socket.receive_binary()
        administrators.pass_time(1)
        _check_all(wild)
    _check_all(watching)
    stranger = administrators.connect()
    assert stranger.request("login", name="mia", password=PASSWORD) is not None, (
        "others are not answered any more"
    )


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_all(socket: Any) -> None:
    heard, socket.heard = socket.heard, []
    for frame in heard:
        assert isinstance(frame, dict)
        if "event" in frame:
            assert isinstance(frame["data"], dict), frame
        elif "error" in frame:
            assert frame["error"]["code"] != _ERROR_OF_OURS, frame
            assert isinstance(frame["error"]["message"], str), frame
        else:
            assert isinstance(frame["result"], dict), frame


_roles = st.integers(0, len(_ROLES) - 1).map(lambda number: b"%d" % number)

TARGETS = {
    "admin": Target(
        st.builds(lambda role, rest: [role, *rest], _roles, st.lists(_messages, min_size=1, max_size=8)),
        _play,
    )
}
