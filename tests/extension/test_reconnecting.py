"""A lost connection comes back by itself, with the name and the rooms it had."""

import asyncio
import contextlib
import json
import os
import signal

import pytest
import websockets

from tests.extension.lab import address_of, saying, scenario
from tests.extension.project import change, put
from tests.real_clients.scratch.server import HOST

HATS = [
    [(f"cloudlink_{opcode}", {}), change(opcode)]
    for opcode in ("onConnect", "onClose", "whenConnectionLost", "whenConnectionBack")
]
COUNTERS = ("onConnect", "onClose", "whenConnectionLost", "whenConnectionBack")


@contextlib.asynccontextmanager
async def closing(code, reason):
    """The address of a server that greets, and closes with this code and reason at the first message."""

    async def serve(socket):
        await socket.send('{"cmd":"server_version","val":"0.2.0"}')
        async for text in socket:
            if json.loads(text)["cmd"] == "gmsg":
                await socket.close(code, reason)

    async with websockets.serve(serve, HOST, 0) as server:
        yield f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"


@scenario
async def test_a_server_that_restarts_gets_its_players_back(lab):
    async with lab.another_server() as server:
        alice, bob = await lab.users(2, HATS, variables=COUNTERS)
        for user, name in ((alice, "alice"), (bob, "bob")):
            await user.do("setReconnect", BOOL="Enable")
            await user.joins(name, address_of(server))
            await user.do("linkToRooms", ROOMS='["red", "blue"]')
            await user.until(True, "getRoomState")
            await user.evaluate("hurry(10)")
        await server.kill()
        for user in (alice, bob):
            await user.variable("whenConnectionLost", 1)
        assert await alice.get("getComState") is False
        assert await alice.get("getComLostConnectionState") is True
        # What is sent meanwhile waits; of a variable only the latest value.
        await alice.do("sendGDataAsVar", VAR="x", DATA="old")
        await alice.do("sendPData", DATA="to bob", ID="bob")
        await alice.do("sendGDataAsVar", VAR="x", DATA="new")
        await alice.do("setMyName", NAME="not alice")
        # Tries that fail are made in silence.
        await alice.evaluate(
            "new Promise((kept) => {const look = () => sockets.length > 3 ? kept() : requestAnimationFrame(look); look()})"
        )
        await server.start()
        for user, name in ((alice, "alice"), (bob, "bob")):
            await user.variable("whenConnectionBack", 1)
            assert await user.get("returnUsernameDataNew") == name
            assert await user.get("getRoomState") is True
            counts = [await user.evaluate(f"valueOf({json.dumps(name)})") for name in COUNTERS]
            assert counts == [2, 1, 1, 1]
        await bob.do("sendGData", DATA="we are back")
        await alice.until("we are back", "returnGlobalData")
        assert {json.loads(await alice.get("getNextPacket", TYPE="Global data"))["rooms"]} <= {"red", "blue"}
        await alice.until(2, "countUsers", ROOM="red")
        sent = [json.loads(frame) for frame in alice.page.sent]
        sent = [packet for packet in sent if packet["cmd"] != "ping"]
        again = max(index for index, packet in enumerate(sent) if packet["cmd"] == "handshake")
        assert [packet["cmd"] for packet in sent[again:]] == ["handshake", "setid", "link", "pmsg", "gvar"]
        assert sent[-1]["val"] == "new"


@scenario
async def test_a_server_that_is_not_there_yet_is_waited_for(lab):
    async with lab.another_server() as server:
        await server.stop()
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.evaluate("hurry(10)")
        await alice.do("setReconnect", BOOL="Enable")
        await alice.do("openSocket", IP=address_of(server))
        await alice.do("setMyName", NAME="alice")
        await alice.variable("onClose", 1)
        await server.start()
        await alice.until("alice", "returnUsernameDataNew")
        await alice.variable("onConnect", 1)
        await alice.variable("whenConnectionBack", "")  # nothing was lost
        await alice.variable("onClose", 1)


@scenario
async def test_without_the_block_a_lost_connection_stays_lost(lab):
    async with lab.another_server() as server:
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.evaluate("hurry(10)")
        await alice.joins("alice", address_of(server))
        await server.kill()
        await alice.variable("whenConnectionLost", 1)
        await alice.evaluate("new Promise((kept) => setTimeout(kept, 5000))")
        assert await alice.evaluate("sockets.length") == 1
        await alice.do("sendGData", DATA="nowhere")
        await server.start()
        await alice.joins("alice", address_of(server))
        await alice.do("sendGData", DATA="here")
        await alice.until("here", "returnGlobalData")
        assert await alice.get("readQueueSize", TYPE="Global data") == 1


@scenario
async def test_disconnecting_ends_the_tries(lab):
    async with lab.another_server() as server:
        alice, bob = await lab.users(2, HATS, variables=COUNTERS)
        for user in (alice, bob):
            await user.evaluate("hurry(10)")
            await user.do("setReconnect", BOOL="Enable")
            await user.joins("", address_of(server))
        await server.kill()
        await alice.variable("whenConnectionLost", 1)
        await bob.variable("whenConnectionLost", 1)
        await alice.do("closeSocket")
        await bob.do("setReconnect", BOOL="Disable")
        assert await alice.get("returnLinkData") == "3"
        counts = [await user.evaluate("sockets.length") for user in (alice, bob)]
        await alice.evaluate("new Promise((kept) => setTimeout(kept, 5000))")
        assert [await user.evaluate("sockets.length") for user in (alice, bob)] == counts
        await server.start()


@scenario
async def test_connecting_by_hand_while_waiting_restores_too(lab):
    async with lab.another_server() as server:
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.do("setReconnect", BOOL="Enable")
        await alice.joins("alice", address_of(server))
        await server.stop()
        await alice.variable("whenConnectionLost", 1)
        await server.start()
        await alice.do("openSocket", IP=address_of(server))
        await alice.variable("whenConnectionBack", 1)
        assert await alice.get("returnUsernameDataNew") == "alice"
        assert await alice.evaluate("sockets.filter(({readyState}) => readyState === 1).length") == 1


@scenario
async def test_a_server_that_falls_silent_counts_as_lost(lab):
    async with lab.another_server() as server:
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.do("setReconnect", BOOL="Enable")
        await alice.joins("alice", address_of(server))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await alice.evaluate("hurry(20)")
            await alice.do("setReconnect", BOOL="Enable")  # with timers that hurry
            await alice.variable("whenConnectionLost", 1)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await alice.variable("whenConnectionBack", 1)
        assert await alice.get("returnUsernameDataNew") == "alice"


@scenario
async def test_the_last_request_is_restored_even_if_it_was_not_answered(lab):
    sent = []

    def answers(told):
        sent.append(json.loads(told))
        if sent[-1]["cmd"] != "setid":
            return []
        done = {"cmd": "statuscode", "code": "I:100 | OK", "listener": "username_cfg"}
        return [json.dumps(done | {"val": {"username": sent[-1]["val"], "id": "1", "uuid": "u"}})]

    async with saying('{"cmd":"server_version","val":"0.2.0"}', answers=answers) as address:
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.evaluate("hurry(20)")
        await alice.do("setReconnect", BOOL="Enable")
        await alice.joins("alice", address)
        for count, (opcode, arguments, wanted) in enumerate(
            [("linkToRooms", {"ROOMS": "red"}, [["red"]]), ("unlinkFromRooms", {}, [])], 1
        ):
            await alice.do(opcode, **arguments)
            command = opcode.partition("To")[0].partition("From")[0]
            while command not in (packet["cmd"] for packet in sent):  # noqa: ASYNC110  # on a busy machine it comes later
                await asyncio.sleep(0.01)
            sent.clear()
            await alice.evaluate("sockets[sockets.length - 1].close()")
            await alice.variable("whenConnectionBack", count)
            assert [packet["val"] for packet in sent if packet["cmd"] == "link"] == wanted
        await alice.do("closeSocket")
        await alice.until("3", "returnLinkData")


@scenario
async def test_a_server_that_talks_but_answers_no_ping_is_alive(lab):
    pings = []

    def answers(told):
        if '"ping"' in told:
            pings.append(told)
            return ['{"cmd":"statuscode","code":"E:110 | Command disabled","code_id":110}']
        return []

    for version, wanted in (("0.2.0", 1), ("0.1.9.2", 0)):
        async with saying(json.dumps({"cmd": "server_version", "val": version}), answers=answers) as address:
            [alice] = await lab.users(1, HATS, variables=COUNTERS)
            await alice.evaluate("hurry(40)")
            await alice.do("setReconnect", BOOL="Enable")
            await alice.joins("", address)
            await alice.evaluate("new Promise((kept) => setTimeout(kept, 45000))")
            assert await alice.get("returnLinkData") == "2"
            assert await alice.evaluate("sockets.length") == 1
            assert len(pings) >= wanted
            assert wanted or not pings
            pings.clear()
            await alice.do("closeSocket")
            await alice.until("3", "returnLinkData")


@scenario
async def test_a_server_that_wants_no_more_of_it_is_left_alone(lab):
    async with lab.another_server(
        "--packet-rate", "1", "--packet-burst", "5", "--flood-patience", "0"
    ) as server:
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.evaluate("hurry(10)")
        await alice.do("setReconnect", BOOL="Enable")
        await alice.joins("", address_of(server))
        await alice.evaluate(
            "for (let n = 0; n < 300; n++) runtime._primitives.cloudlink_sendGData({DATA: n}, {})"
        )
        await alice.variable("whenConnectionLost", 1)
        await alice.evaluate("new Promise((kept) => setTimeout(kept, 5000))")
        assert await alice.evaluate("sockets.length") == 1


@pytest.mark.parametrize("code", [1008, 4000, 4004, 4099])
def test_a_final_close_code_says_why_and_ends_the_tries(lab, code):
    async def main():
        why = [("cloudlink_onClose", {}), put("why", ("cloudlink_returnStatusCode", {}))]
        async with closing(code, "You were kicked: spam") as address:
            [alice] = await lab.users(1, [*HATS, why], variables=(*COUNTERS, "why"))
            await alice.evaluate("hurry(20)")
            await alice.do("setReconnect", BOOL="Enable")
            await alice.joins("", address)
            await alice.do("sendGData", DATA="x")
            await alice.variable("why", f"E:{code} | You were kicked: spam")
            await alice.variable("whenConnectionLost", 1)
            await alice.evaluate("new Promise((kept) => setTimeout(kept, 40000))")
            assert await alice.evaluate("sockets.length") == 1
            await alice.joins("", address)
            assert await alice.get("returnStatusCode") == ""
            await alice.do("closeSocket")
            await alice.until("3", "returnLinkData")

    lab.run(main())


@pytest.mark.parametrize("code", [1013, 4100])
def test_after_any_other_close_code_it_comes_back(lab, code):
    async def main():
        async with closing(code, "Too busy") as address:
            [alice] = await lab.users(1, HATS, variables=COUNTERS)
            await alice.evaluate("hurry(20)")
            await alice.do("setReconnect", BOOL="Enable")
            await alice.joins("", address)
            await alice.do("sendGData", DATA="x")
            await alice.variable("whenConnectionBack", 1)
            assert await alice.get("returnStatusCode") == ""
            await alice.do("closeSocket")
            await alice.until("3", "returnLinkData")

    lab.run(main())


@scenario
async def test_tries_become_rarer_and_are_never_quite_regular(lab):
    async with lab.another_server() as server:
        await server.stop()
        [alice] = await lab.users(1)
        await alice.evaluate(
            "hurry(200);"
            "window.waits = [];"
            "window.unhurried = window.setTimeout;"
            "window.setTimeout = (what, time, ...more) => {"
            "  if (time >= 500) waits.push(time);"
            "  return unhurried(what, time, ...more);"
            "}; 0"
        )
        await alice.do("setReconnect", BOOL="Enable")
        await alice.do("openSocket", IP=address_of(server))
        await alice.evaluate(
            "new Promise((kept) => {const look = () => waits.length > 7 ? kept() : requestAnimationFrame(look); look()})"
        )
        waits = await alice.evaluate("window.setTimeout = window.unhurried; waits.slice(0, 8)")
        await alice.do("setReconnect", BOOL="Disable")
        longest = [min(1000 * 2**number, 30_000) for number in range(8)]
        assert [limit / 2 <= wait <= limit for wait, limit in zip(waits, longest, strict=True)] == [True] * 8
        assert len({wait / limit for wait, limit in zip(waits, longest, strict=True)}) == 8
        await server.start()


@scenario
async def test_no_permission_is_no_reason_to_ask_again(lab):
    [alice] = await lab.users(1, HATS, variables=COUNTERS)
    await alice.evaluate("window.allowed = false; hurry(10)")
    await alice.do("setReconnect", BOOL="Enable")
    await alice.do("openSocket", IP=lab.address)
    await alice.variable("onClose", 1)
    await alice.evaluate("window.allowed = true; new Promise((kept) => setTimeout(kept, 5000))")
    assert await alice.evaluate("sockets.length") == 0
    assert await alice.get("getComFailedConnectionState") is True


@scenario
async def test_no_more_waits_than_a_server_takes_at_once(lab):
    async with lab.another_server() as server:
        await server.stop()
        [alice] = await lab.users(1, HATS, variables=COUNTERS)
        await alice.evaluate("hurry(10)")
        await alice.do("setReconnect", BOOL="Enable")
        await alice.do("openSocket", IP=address_of(server))
        await alice.do("setMyName", NAME="alice")
        await alice.do("linkToRooms", ROOMS="red")
        await alice.evaluate(
            "for (let n = 0; n < 300; n++) runtime._primitives.cloudlink_sendGData({DATA: n}, {})"
        )
        await server.start()
        await alice.until("299", "returnGlobalData")
        packets = json.loads(await alice.get("readQueueData", TYPE="Global data"))
        assert [packet["val"] for packet in packets] == list(range(102, 300))
        assert await alice.get("returnUsernameDataNew") == "alice"
        assert {packet["rooms"] for packet in packets} == {"red"}
