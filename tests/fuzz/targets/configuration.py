"""The settings file: whatever is in it, the server starts or says in one sentence what is wrong.

The messages of an input are the lines of the file.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from cloudlink.errors import StartError
from cloudlink.settings import OPTIONS, TABLES
from cloudlink.sources import load
from cloudlink.text import printable
from tests.fuzz.grammar import TEXTS
from tests.fuzz.search import Messages, Target
from tests.support.strategies import damaged

_LONGEST = 2000
"""Most characters of a sentence that somebody reads."""
_WORDS = sorted({word for known in OPTIONS.values() for word in known.choices})
_literals = (
    st.sampled_from(
        [
            *(
                "true",
                "false",
                "0",
                "1",
                "-1",
                "3000",
                "1.5",
                "1e400",
                "nan",
                "-inf",
                "9" * 400,
                "9" * 5000,
                "0x10",
                "0x" + "f" * 5000,
            ),
            *(
                '""',
                "''",
                '"x"',
                '"*"',
                '"127.0.0.1"',
                '"10.0.0.0/8"',
                '"http://[::1"',
                '"https://*.a.b"',
                '"a\\u0000b"',
            ),
            *(
                "[]",
                '["x"]',
                "[1]",
                '["10.0.0.0/33"]',
                "[[]]",
                "{}",
                "{a = 1}",
                "1979-05-27",
                "07:32:00",
                '"\\ud800"',
            ),
            *(
                "[" * 2000,
                "[" * 2000 + "]" * 2000,
                "{a=" * 2000,
                '"""',
                '"unix"',
                '"127.0.0.1:99999"',
                '"nats://x:y@[::1"',
            ),
        ]
    )
    | TEXTS.map(json.dumps)
    | st.sampled_from(_WORDS).map(json.dumps)
)
_keys = st.sampled_from(list(OPTIONS)) | st.sampled_from(
    [
        "url",
        "secret",
        "rooms",
        "projects",
        "kind",
        "username",
        "contact",
        "nonsense",
        '""',
        "a.b",
        "prot",
        '"\\n"',
    ]
)
_entries = st.builds(lambda key, value: f"{key} = {value}", _keys, _literals)
_names = st.sampled_from([*TABLES, "plugins", "bridge", "x"])
_sections = st.builds(
    lambda name, inner: f"[{name}{inner}]",
    _names,
    st.sampled_from(["", ".a", ".b", ".a.b", '.""', '."\\n"', "]"]),
)
_lines = (_entries | _entries | _sections).map(lambda line: line.encode(errors="replace"))


def _load(messages: Messages) -> None:
    with tempfile.TemporaryDirectory(prefix="cloudlink-fuzz-") as folder:
        file = Path(folder) / "cloudlink.toml"
        file.write_bytes(b"\n".join(messages))
        _check(file)


def _check(file: Path) -> None:
    try:
        load(toml=file, environ={}, flags={})
    except StartError as error:
        sentence = str(error)
        if not sentence.strip() or sentence != printable(sentence) or len(sentence) > _LONGEST:
            raise AssertionError(f"not a printable sentence of reasonable length: {sentence!r}") from error


TARGETS = {"toml": Target(st.lists(_lines | damaged(_lines), min_size=1, max_size=6), _load)}
