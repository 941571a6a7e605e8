"""What identifies the protocol of a first message."""

from __future__ import annotations

import pytest

from cloudlink.server.opening import NOT_JSON, is_text, root_keys


@pytest.mark.parametrize(
    ("message", "keys"),
    [
        (b'{"cmd":"setid","val":{"cmd":"inner"}}', {"cmd": "setid"}),
        (b'{"method":"handshake","cmd":5}', {"method": "handshake"}),
        (b'{"cmd":null}', {}),
        (b'["cmd"]', {}),
        (b'"cmd"', {}),
        (b"5", {}),
    ],
)
def test_texts_under_the_keys_of_protocols_are_found(message, keys):
    assert root_keys(message) == keys


def test_half_a_surrogate_pair_hides_no_key():
    assert root_keys(rb'{"cmd":"a\ud83d","val":1}') == {"cmd": "a\ud83d", "val": 1}


@pytest.mark.parametrize("message", [b"", b"hello", b'{"cmd":', b'{"cmd":"a"} x', b"[" * 100_000])
def test_other_text_is_told_apart(message):
    assert root_keys(message) is NOT_JSON


def test_bytes_need_not_be_text():
    assert (is_text("☁".encode()), is_text(b"\xff")) == (True, False)
