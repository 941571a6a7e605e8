"""Moderation in TurboWarp's VM: what those learn whom it hits, and what a moderator's blocks send.

The texts and all cases are in `vm/moderation.test.cjs`; here real hats start real scripts.
"""

import contextlib
import json

import pytest
import websockets

from tests.extension.lab import saying, scenario
from tests.extension.project import note
from tests.real_clients.scratch.server import HOST

REASON = ("cloudlink_sanctionReason", {})
SCRIPTS = [
    [(f"cloudlink_{hat}", {}), note("seen", hat), note("seen", REASON)]
    for hat in ("whenKicked", "whenBanned", "whenMuted")
]
GREETING = ['{"cmd":"server_version","val":"0.2.0"}']


def status(code, listener=None, details=""):
    packet = {"cmd": "statuscode", "code": code, "code_id": int(code[2:5]), "details": details}
    return json.dumps(packet | ({"listener": listener} if listener else {}))


@contextlib.asynccontextmanager
async def closing(reason):
    """The address of a server that greets and then closes with 4004."""

    async def close(socket):
        await socket.send(GREETING[0])
        await socket.recv()
        await socket.close(4004, reason)

    async with websockets.serve(close, HOST, 0) as server:
        yield f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(
    ("sentence", "seen"),
    [
        ("You were kicked: spam", ["whenKicked", "spam"]),
        ("You are banned until 2026-01-31 18:00 UTC: rude", ["whenBanned", "rude"]),
    ],
)
def test_whoever_is_turned_out_learns_why(lab, sentence, seen):
    async def main():
        async with closing(sentence) as address:
            [alice] = await lab.users(1, SCRIPTS, lists=("seen",))
            await alice.do("openSocket", IP=address)
            await alice.variable("seen", seen)
            assert await alice.get("sanctionReason") == seen[1]

    lab.run(main())


@scenario
async def test_whoever_is_muted_learns_it_with_the_first_message(lab):
    def answers(text):
        packet = json.loads(text)
        if packet["cmd"] != "gmsg":
            return []
        return [status("E:108 | Refused", details="You are muted until 2026-01-31 18:00 UTC: shouting")]

    async with saying(*GREETING, answers=answers) as address:
        [alice] = await lab.users(1, SCRIPTS, lists=("seen",))
        await alice.joins("", address)
        for text in ("one", "two"):
            await alice.do("sendGData", DATA=text)
        await alice.variable("seen", ["whenMuted", "shouting"])


@scenario
async def test_a_moderator_is_told_so_and_sends_what_the_blocks_say(lab):
    heard = []

    def answers(text):
        packet = json.loads(text)
        if packet["cmd"] == "moderate":
            heard.append(packet["val"])
        return (
            [status("E:108 | Refused", packet["listener"])]
            if packet["cmd"] == "moderate" and not packet["val"]
            else []
        )

    async with saying(*GREETING, answers=answers) as address:
        [alice] = await lab.users(1)
        assert await alice.get("mayModerate") is False
        await alice.joins("", address)
        await alice.until(True, "mayModerate")
        await alice.do("kickUser", ID="bob", REASON="spam")
        await alice.do("muteUser", ID="bob", SECONDS=60, REASON="spam")
        await alice.do("lockRoom", ROOM="arena", BOOL="Enable")
        await alice.do("quietRoom", ROOM="arena", BOOL="Disable")
        await alice.do("sendGData", DATA="the last")
        while {"method": "rooms.set", "params": {"name": "arena", "frozen": False}} not in heard:
            await alice.evaluate("frames(1)")
    assert [one["method"] for one in heard if one] == ["clients.kick", "mutes.add", "rooms.set", "rooms.set"]
