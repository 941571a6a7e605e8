"""The simulated clients and the job file: what the load generator relies on. No server is started."""

from __future__ import annotations

import pytest

from bench.load.generator import make_frame
from bench.load.job import MARK, Client, Job
from bench.peers import PEERS, UnavailableError
from bench.peers.base import node_packages

CARRY = 64
"""Bytes that the load generator keeps from one chunk to the next (generator.h)."""


@pytest.mark.parametrize("kind", ["message", "variable"])
@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_a_measured_packet_holds_the_mark_once(peer, kind):
    frames = peer.protocol.client(7, "room-00001", kind).frames
    assert frames
    for frame in frames:
        assert (frame.encode() if isinstance(frame, str) else frame).count(MARK.encode()) == 1


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_an_idle_client_enters_and_sends_nothing(peer):
    idle, active = (peer.protocol.client(7, "room-00001", kind) for kind in ("nothing", "message"))
    assert (idle.path, idle.steps, idle.frames) == (active.path, active.steps, ())
    assert all(len(expected) <= CARRY for expected, _ in idle.steps)


def test_a_job_file_says_text_and_bytes_and_waits():
    client = Client("/room", (("hello", None), ("ok", "enter"), ("done", b"\x0a\xff")), ("text", b"\x0d"))
    assert Job((client,), "hold").text(3000).splitlines()[-6:] == [
        "client\t/room",
        "step\thello",
        "step\tok\tenter",
        "step\tdone\thex:0aff",
        "frame\ttext",
        "frame\thex:0d",
    ]


@pytest.mark.parametrize(
    ("text", "frame"), [("hi", b"\x81\x82\0\0\0\0hi"), ("hex:0aff", b"\x82\x82\0\0\0\0\x0a\xff")]
)
def test_a_frame_is_text_or_binary(text, frame):
    assert make_frame(text) == frame


def test_without_npm_a_server_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match="node is not installed"):
        node_packages("nothing", ["nothing@1"], "")
