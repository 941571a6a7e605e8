"""The extension in Scratch's own VM and its worker sandbox, from which several mods are forked.

The published VM loads worker extensions but cannot call their blocks: it tries to copy objects to the worker that cannot
be copied. The page repairs that one call (`repairCalls` in `official.html`); everything else is as published.
"""

import json
from pathlib import Path

import pytest

from tests.extension.lab import User, saying
from tests.extension.project import change
from tests.extension.published import BLOCKS, MENUS, NEW_BLOCKS, Argument, table
from tests.extension.test_moderation import GREETING, closing, status
from tests.real_clients.environment import node_modules
from tests.real_clients.scratch.server import HOST

PINS = ("@scratch/scratch-vm@15.1.1",)
EVERY_BLOCK = table(BLOCKS + NEW_BLOCKS)
EVENT_HATS = {(opcode, "hat") for opcode, (shape, _) in EVERY_BLOCK.items() if shape == "event"}
STATUS_PROMISE_WAIT = 1  # of Scratch's threads
DATA = ("Global data", "Private data", "Direct data", "Status code")
HATS = {
    "onConnect": {},
    "onClose": {},
    "whenConnectionLost": {},
    "whenConnectionBack": {},
    "whenuserconnects": {},
    "whenuserdisconnects": {},
    "onListener": {"ID": "mine"},
    "whenKicked": {},
    "whenBanned": {},
    "whenMuted": {},
    "onNewPacket": {"TYPE": "Global data"},
    "onNewVar": {"TYPE": "Global variables", "VAR": "x"},
}


class Player(User):
    """A user in Scratch's VM. Records which blocks have been run."""

    def __init__(self, lab, page):
        super().__init__(lab, page)
        self.ran = set()

    async def do(self, opcode, **arguments):
        self.ran.add(opcode)
        await super().do(opcode, **arguments)

    async def get(self, opcode, **arguments):
        self.ran.add(opcode)
        return await super().get(opcode, **arguments)

    async def until(self, wanted, opcode, **arguments):
        self.ran.add(opcode)
        await super().until(wanted, opcode, **arguments)

    async def hat(self, opcode, times=1):
        """Wait until a hat has become true this many times."""
        self.ran.add(opcode)
        await self.evaluate(f"untilHat({list(HATS).index(opcode)}, {times})")


@pytest.fixture(scope="module")
def official(lab):
    """Make players in Scratch's VM. Skip the tests if the VM cannot be installed; fail them in CI."""
    web = Path(node_modules("scratch-vm", PINS, "Scratch's VM"), "@scratch", "scratch-vm", "dist", "web")
    for name in ("scratch-vm.js", "extension-worker.js"):
        lab.publish(f"/{name}", web / name)

    async def player(repaired=True):
        user = await lab.newcomer("/official")
        if repaired:
            await user.evaluate("repairCalls()")
        player = Player(lab, user.page)
        await player.load([[("cloudlink_onConnect", {}), change("started")]], variables=("started",))
        if repaired:
            hats = [(f"cloudlink_{opcode}", arguments) for opcode, arguments in HATS.items()]
            await player.evaluate(f"watchHats({json.dumps(hats)})")
        return player

    return player


def test_the_vm_registers_every_block(lab, official):
    async def main():
        player = await official(repaired=False)
        known = await player.evaluate("knownBlocks()")
        found = {
            block["opcode"]: (
                # In a sandbox events are hats, which the VM asks.
                "event" if (block["opcode"], block["blockType"]) in EVENT_HATS else block["blockType"],
                {Argument(one["name"], one["type"], one["menu"]) for one in block["arguments"]},
            )
            for block in known["blocks"]
        }
        assert found == EVERY_BLOCK
        assert [block["opcode"] for block in known["blocks"] if not block["works"]] == []
        menus = {name.removeprefix("cloudlink_menu_"): items for name, items in known["menus"].items()}
        assert {name: [value for _, value in items] for name, items in menus.items()} == MENUS
        assert player.page.errors == []
        await player.close()

    lab.run(main())


def test_the_published_vm_cannot_call_a_block_of_any_worker_extension(lab, official):
    """If this fails after an update of the VM, `repairCalls` is no longer needed."""

    async def main():
        player = await official(repaired=False)
        call = "runtime._primitives.cloudlink_returnVersionData({}, {yield() {}}).catch(({name}) => name)"
        assert await player.evaluate(call) == "DataCloneError"
        await player.close()

    lab.run(main())


def test_the_published_vm_never_starts_the_script_of_a_worker_hat(lab, official):
    """The VM suspends a script while its hat is evaluated, and does not resume it after the hat has become true."""

    async def main():
        alice = await official()
        await alice.joins()
        await alice.hat("onConnect")
        await alice.evaluate("frames(20)")
        hats = "runtime.threads.filter(({topBlock}) => stage.blocks.getOpcode(stage.blocks.getBlock(topBlock)) === 'cloudlink_onConnect')"
        assert await alice.evaluate(
            f"{{const stage = runtime.getTargetForStage(); {hats}.map(({{status}}) => status)}}"
        ) == [STATUS_PROMISE_WAIT]
        assert await alice.evaluate("valueOf('started')") == ""
        await alice.close()

    lab.run(main())


def test_every_block_runs_against_a_server(lab, official):
    async def main():
        alice = await official()
        bob = await official()
        async with lab.another_server("--motd", "Welcome!") as server:
            await connecting(alice, bob, f"ws://{HOST}:{server.port}/")
            await people(alice, bob)
            await leaving(alice, bob, f"ws://{HOST}:{server.port}/")
            await messages(alice, bob)
            await variables(alice, bob)
            await listeners(alice)
            await queues(alice)
            await rooms(alice, bob)
            await helpers(alice, f"http://{HOST}:{server.port}/extension.js")
            await reconnecting(alice, server)
        await disconnecting(alice, bob)
        await moderating(alice)
        assert EVERY_BLOCK.keys() - alice.ran == set()
        for player in (alice, bob):
            assert player.page.errors == []
            assert [line for line in player.page.console if "rejected promise" in line] == []
            await player.close()

    lab.run(main())


async def connecting(alice, bob, address):
    assert await alice.get("returnVersionData") == "Scratch 1.0.0"
    assert await alice.get("returnLinkData") == "0"
    assert json.loads(await alice.get("returnServerList"))["0"]["id"] == "Localhost"
    await alice.do("openSocketPublicServers", ID=1)
    await alice.hat("onClose")
    await alice.until(True, "getComFailedConnectionState")
    for player in (alice, bob):
        await player.do("openSocket", IP=address)
        await player.until(True, "getComState")
        await player.hat("onConnect")
    assert await alice.get("getComLostConnectionState") is False
    assert await alice.get("returnServerVersion") == "0.2.0"
    assert await alice.get("returnMOTD") == "Welcome!"
    assert await alice.get("returnClientIP") == HOST
    assert await alice.get("roundTripTime") == ""
    while await alice.get("roundTripTime") == "":
        pass


async def people(alice, bob):
    for player, name in ((alice, "alice"), (bob, "bob")):
        await player.do("setMyName", NAME=name)
        await player.until(True, "getUsernameState")
        assert await player.get("returnUsernameDataNew") == name
    assert json.loads(await alice.get("returnUsernameData"))["username"] == "alice"
    assert json.loads(await alice.get("returnUserObject"))["username"] == "alice"
    await alice.until(True, "checkForID", ID="bob")
    await alice.hat("whenuserconnects")
    assert json.loads(await alice.get("recentlyjoined"))["username"] == "bob"
    assert len(json.loads(await alice.get("returnUserListData"))) == 2


async def leaving(alice, bob, address):
    await bob.do("closeSocket")
    await alice.hat("whenuserdisconnects")
    assert json.loads(await alice.get("recentlyleft"))["username"] == "bob"
    await bob.until("3", "returnLinkData")
    await bob.joins("bob", address)
    await alice.until(True, "checkForID", ID="bob")


async def messages(alice, bob):
    await bob.do("sendGData", DATA="hello")
    await alice.until("hello", "returnGlobalData")
    await alice.hat("onNewPacket")
    await bob.do("sendPData", DATA="psst", ID="alice")
    await alice.until("psst", "returnPrivateData")
    await alice.do("sendGDataToOthers", DATA="hello, others")
    await bob.until("hello, others", "returnGlobalData")
    assert await alice.get("returnGlobalData") == "hello"
    await alice.do("sendGDataAsVarToOthers", VAR="x", DATA="for others")
    await bob.until("for others", "returnVarData", TYPE="Global variables", VAR="x")
    await alice.do("sendGData", DATA="hello")
    await alice.do("sendPData", DATA="psst", ID="nobody")
    await alice.until("E:103 | ID not found", "returnStatusCode")
    await alice.do("runCMD", CMD="direct", ID="alice", DATA="to me")
    await alice.until("to me", "returnDirectData")
    await alice.do("runCMDnoID", CMD="dance", DATA="")
    await alice.until("E:109 | Invalid command", "returnStatusCode")
    for kind in DATA:
        assert await alice.get("returnIsNewData", TYPE=kind) is True
        await alice.do("resetNewData", TYPE=kind)
        assert await alice.get("returnIsNewData", TYPE=kind) is False


async def variables(alice, bob):
    x = {"TYPE": "Global variables", "VAR": "x"}
    await alice.do("setPace", RATE=50)
    for value in (1, 2):
        await alice.do("sendGDataAsVar", VAR="x", DATA=value)
        await alice.until(str(value), "returnVarData", **x)
    assert await alice.get("returnPreviousVarData", **x) == "1"
    assert await alice.get("returnIsNewVarData", **x) is True
    await alice.do("resetNewVarData", **x)
    assert await alice.get("returnIsNewVarData", **x) is False
    await alice.hat("onNewVar")
    await bob.do("sendPDataAsVar", VAR="x", DATA="for alice", ID="alice")
    await alice.do("sendPDataAsVar", VAR="x", DATA="for bob", ID="bob")
    await alice.until("for alice", "returnVarData", TYPE="Private variables", VAR="x")
    await bob.until("for bob", "returnVarData", TYPE="Private variables", VAR="x")


async def listeners(alice):
    await alice.do("createListener", ID="mine")
    await alice.do("sendGData", DATA="answer me")
    await alice.hat("onListener")
    assert json.loads(await alice.get("returnListenerData", ID="mine"))["val"] == "answer me"
    assert await alice.get("returnIsNewListener", ID="mine") is True
    await alice.do("resetNewListener", ID="mine")
    assert await alice.get("returnIsNewListener", ID="mine") is False


async def queues(alice):
    assert await alice.get("newPacketsExist", TYPE="All data") is True
    assert json.loads(await alice.get("getNextPacket", TYPE="Global data"))["val"] == "hello"
    size = await alice.get("readQueueSize", TYPE="Global data")
    assert len(json.loads(await alice.get("readQueueData", TYPE="Global data"))) == size
    assert len(json.loads(await alice.get("getAndClearPacketQueue", TYPE="Global data"))) == size
    await alice.do("clearAllPackets", TYPE="All data")
    assert await alice.get("newPacketsExist", TYPE="All data") is False


async def rooms(alice, bob):
    for player in (alice, bob):
        await player.do("linkToRooms", ROOMS='["red", "blue"]')
        await player.until(True, "getRoomState")
    await alice.until(2, "countUsers", ROOM="red")
    await alice.do("selectRoomsInNextPacket", ROOMS="red")
    await alice.do("sendGData", DATA="only red")
    await alice.until("only red", "returnGlobalData")
    assert await alice.get("readQueueSize", TYPE="Global data") == 1
    await alice.do("unlinkFromRooms")
    await alice.until(False, "getRoomState")


async def helpers(alice, source):
    array = '["foo","bar"]'
    assert await alice.get("parseJSON", PATH="a/b", JSON_STRING='{"a": {"b": 1}}') == "1"
    assert await alice.get("getFromJSONArray", NUM=1, ARRAY=array) == "bar"
    assert await alice.get("makeJSON", toBeJSONified=array) == array
    assert await alice.get("isValidJSON", JSON_STRING=array) is True
    text = await alice.get("fetchURL", url=source)
    assert text.startswith("// Name: CloudLink")
    assert await alice.get("requestURL", method="GET", url=source, data="{}", headers="{}") == text
    await alice.do("changeLogToConsole", BOOL="Enable")
    await alice.do("changeLogToConsole", BOOL="Disable")
    await alice.do("changeIPFetcher", url="Default")


async def reconnecting(alice, server):
    await alice.do("setReconnect", BOOL="Enable")
    await server.kill()
    await alice.hat("whenConnectionLost")
    await alice.until(True, "getComLostConnectionState")
    await server.start()
    await alice.hat("whenConnectionBack")
    await alice.until("alice", "returnUsernameDataNew")


async def disconnecting(alice, bob):
    await alice.do("setReconnect", BOOL="Disable")
    await alice.do("closeSocket")
    await alice.until("3", "returnLinkData")
    await bob.until(True, "getComLostConnectionState")


async def moderating(alice):
    for sentence, hat in (("You were kicked: spam", "whenKicked"), ("You are banned: rude", "whenBanned")):
        async with closing(sentence) as address:
            await alice.do("openSocket", IP=address)
            await alice.hat(hat)
    assert await alice.get("sanctionReason") == "rude"

    def answers(text):
        muted = status("E:108 | Refused", details="You are muted until 2026-01-31 18:00 UTC: shouting")
        return [muted] if json.loads(text)["cmd"] == "gmsg" else []

    async with saying(*GREETING, answers=answers) as address:
        await alice.joins("", address)
        await alice.do("sendGData", DATA="one")
        await alice.hat("whenMuted")
        assert await alice.get("mayModerate") is False
        await alice.do("kickUser", ID="bob", REASON="spam")
        await alice.do("muteUser", ID="bob", SECONDS=60, REASON="spam")
        await alice.do("lockRoom", ROOM="den", BOOL="Enable")
        await alice.do("quietRoom", ROOM="den", BOOL="Enable")
        await alice.do("closeSocket")
