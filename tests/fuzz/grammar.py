"""What the targets' grammars share: JSON values at their limits, and packets as texts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.support import strategies

TEXTS = st.text(max_size=6) | st.sampled_from(
    ["default", "wild", "alice", "0", "", "\x00", "\ud83d", "%MS%", ";", "☁ a", '["r1"]', "null", "x" * 200]
)
VALUES = strategies.values(TEXTS)
SURPRISES = st.sampled_from(
    [
        b"[" * 3000,
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"9" * 5000,
        b"-0",
        b"1e400",
        b"1E-400",
        b"NaN",
        b"Infinity",
        b'"\\ud83d"',
        b'"\\u0000"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"",
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"cmd":"gmsg","cmd":"gvar","val":1}',
    ]
)
"""JSON texts, or almost, that decoders do not agree on."""


def dumps(value: Any) -> bytes:
    """Return JSON text; halves of surrogate pairs are escaped."""
    return json.dumps(value).encode()


def packets(commands: st.SearchStrategy[Any], keys: list[str], key: str = "cmd") -> st.SearchStrategy[bytes]:
    """Objects with some command and some of these keys, a few of them damaged or with a surprise as a value."""
    fields = st.dictionaries(st.sampled_from(keys), VALUES, max_size=5)
    whole = st.builds(lambda rest, command: dumps({**rest, key: command}), fields, commands)
    surprising = st.builds(
        lambda command, name, value: b'{"%b":%b,"%b":%b}' % (key.encode(), dumps(command), name, value),
        commands,
        st.sampled_from([each.encode() for each in keys]),
        SURPRISES,
    )
    return whole | whole | surprising | strategies.damaged(whole) | strategies.cut(whole) | SURPRISES
