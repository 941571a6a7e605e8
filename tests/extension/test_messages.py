"""Messages, listeners, flags and queues."""

import json

from tests.extension.lab import scenario
from tests.extension.project import change

DATA = ["Global data", "Private data", "Direct data", "Status code"]


async def pair(lab, scripts=None, **contents):
    alice, bob = await lab.users(2, scripts, **contents)
    await alice.joins("alice")
    await bob.joins("bob")
    await alice.until(True, "checkForID", ID="bob")
    return alice, bob


@scenario
async def test_messages_to_everybody_and_to_one(lab):
    alice, bob = await pair(lab)
    for opcode in ("returnGlobalData", "returnPrivateData", "returnDirectData", "returnStatusCode"):
        assert await bob.get(opcode) == ""
    await alice.do("sendGData", DATA="hello")
    await bob.until("hello", "returnGlobalData")
    await alice.until("hello", "returnGlobalData")
    await alice.do("sendPData", DATA="psst", ID="bob")
    await bob.until("psst", "returnPrivateData")
    await alice.until("I:100 | OK", "returnStatusCode")
    await alice.do("sendPData", DATA="psst", ID="nobody")
    await alice.until("E:103 | ID not found", "returnStatusCode")


@scenario
async def test_messages_and_variables_to_everybody_but_the_sender(lab):
    alice, bob = await pair(lab)
    await alice.do("sendGDataToOthers", DATA="hello")
    await alice.do("sendGDataAsVarToOthers", VAR="x", DATA="7")
    await bob.until("hello", "returnGlobalData")
    await bob.until("7", "returnVarData", TYPE="Global variables", VAR="x")
    await bob.do("sendPData", DATA="both have come", ID="alice")
    await alice.until("both have come", "returnPrivateData")
    assert await alice.get("returnGlobalData") == ""
    assert await alice.get("returnVarData", TYPE="Global variables", VAR="x") == ""


@scenario
async def test_recipients_by_name_id_object_and_list(lab):
    alice, bob = await pair(lab)
    theirs = await bob.get("returnUserObject")
    bobs = json.loads(theirs)
    for number, to in enumerate(
        [bobs["id"], bobs["uuid"], theirs, json.dumps(["bob", "alice"]), f"[{theirs}]"]
    ):
        await alice.do("sendPData", DATA=f"to {number}", ID=to)
        await bob.until(f"to {number}", "returnPrivateData")
    assert await alice.get("returnPrivateData") == "to 3"


@scenario
async def test_nothing_private_without_a_username(lab):
    alice, bob = await lab.users(2)
    await alice.joins()
    await bob.joins("bob")
    await alice.do("sendPData", DATA="psst", ID="bob")
    await alice.do("sendPDataAsVar", DATA="psst", ID="bob", VAR="x")
    await alice.do("runCMD", CMD="pmsg", ID="bob", DATA="psst")
    await alice.do("linkToRooms", ROOMS='["test"]')
    await alice.do("unlinkFromRooms")
    await alice.do("sendGData", DATA="last")
    await bob.until("last", "returnGlobalData")
    assert await bob.get("returnPrivateData") == ""
    assert await alice.get("readQueueSize", TYPE="Status code") == 0


@scenario
async def test_values_arrive_as_they_were_typed(lab):
    alice, bob = await pair(lab)
    long = "7530604172601892864"
    values = {
        "12": "12",
        "1.5": "1.5",
        " 7 ": "7",
        "0123": "0123",
        "true": "true",
        "": "",
        '"quoted"': "quoted",
        "null": "null",
        "NaN": "NaN",
        "1e400": "1e400",
        long: long,
        '{"a": [1, null]}': '{"a":[1,null]}',
        "[]": "[]",
        "ümläut 🐧": "ümläut 🐧",
        "end": "end",
    }
    for value in values:
        await alice.do("sendGData", DATA=value)
    await bob.until("end", "returnGlobalData")
    packets = json.loads(await bob.get("getAndClearPacketQueue", TYPE="Global data"))
    assert [packet["cmd"] for packet in packets] == ["gmsg"] * len(values)
    for value, shown in values.items():
        await alice.do("sendGData", DATA=value)
        await bob.until(shown, "returnGlobalData")
    assert [packets[index]["val"] for index in (0, 4, 7, 10)] == [12, True, "null", long]


@scenario
async def test_commands_typed_by_hand(lab):
    alice, bob = await pair(lab)
    theirs = json.loads(await bob.get("returnUserObject"))
    await alice.do("runCMD", CMD="direct", ID=theirs["id"], DATA="to you")
    await bob.until("to you", "returnDirectData")
    await alice.do("runCMDnoID", CMD="gmsg", DATA="to all")
    await bob.until("to all", "returnGlobalData")
    await alice.do("runCMDnoID", CMD="dance", DATA="")
    await alice.until("E:109 | Invalid command", "returnStatusCode")


@scenario
async def test_a_listener_is_answered(lab):
    scripts = [[("cloudlink_onListener", {"ID": name}), change(name)] for name in ("mine", "other")]
    alice, bob = await pair(lab, scripts, variables=("mine", "other"))
    assert await alice.get("returnListenerData", ID="mine") == ""
    await alice.do("createListener", ID="mine")
    await alice.do("createListener", ID="ignored")  # one waits already
    assert await alice.get("returnIsNewListener", ID="mine") is False
    await alice.do("sendGData", DATA="hello")
    await alice.variable("mine", 1)
    packet = json.loads(await alice.get("returnListenerData", ID="mine"))
    assert packet == {"cmd": "gmsg", "val": "hello", "listener": "mine", "rooms": "default"}
    assert await alice.get("returnIsNewListener", ID="mine") is True
    await alice.do("resetNewListener", ID="mine")
    assert await alice.get("returnIsNewListener", ID="mine") is False
    assert await alice.get("returnListenerData", ID="mine") != ""
    assert await bob.get("returnListenerData", ID="mine") == ""

    await alice.do("createListener", ID="other")
    await alice.do("sendPData", DATA="psst", ID="nobody")
    await alice.variable("other", 1)
    assert json.loads(await alice.get("returnListenerData", ID="other"))["code_id"] == 103
    assert await alice.get("returnListenerData", ID="ignored") == ""
    await alice.variable("mine", 1)


@scenario
async def test_a_listener_on_a_link_serves_both(lab):
    [alice] = await lab.users(1)
    await alice.joins("alice")
    await alice.do("createListener", ID="linked")
    await alice.do("linkToRooms", ROOMS="test")
    await alice.until(True, "getRoomState")
    assert json.loads(await alice.get("returnListenerData", ID="linked"))["code_id"] == 100
    await alice.do("createListener", ID="link")  # what the extension itself uses
    await alice.do("sendPData", DATA="x", ID="nobody")
    await alice.until(True, "returnIsNewListener", ID="link")
    assert await alice.get("getRoomState") is True


@scenario
async def test_the_stage_shows_what_comes(lab):
    shown = ("cloudlink_returnGlobalData", "cloudlink_returnUserListData")
    [alice] = await lab.users(1, monitors=shown)
    await alice.joins("alice")
    await alice.do("sendGData", DATA='{"a": 1}')
    await alice.until('{"a":1}', "returnGlobalData")
    await alice.evaluate("frames(20)")  # monitors are brought up to date now and then
    values = await alice.evaluate("[...runtime.getMonitorState().values()].map((one) => one.get('value'))")
    assert values == [await alice.get(opcode.removeprefix("cloudlink_")) for opcode in shown]


@scenario
async def test_flags_stay_until_they_are_reset(lab):
    [alice] = await lab.users(1)
    for kind in [*DATA, "Global", "Nonsense"]:
        assert await alice.get("returnIsNewData", TYPE=kind) is False
    await alice.joins("alice")
    await alice.do("sendGData", DATA="one")
    await alice.do("sendPData", DATA="two", ID="alice")
    await alice.do("runCMD", CMD="direct", ID="alice", DATA="three")
    await alice.until("three", "returnDirectData")
    for kind in [*DATA, "Global", "Private", "Direct", "Status Code"]:
        assert await alice.get("returnIsNewData", TYPE=kind) is True
    for kind in [*DATA[:3], "Status Code", "Nonsense"]:
        await alice.do("resetNewData", TYPE=kind)
    for kind in DATA:
        assert await alice.get("returnIsNewData", TYPE=kind) is False
    assert await alice.get("returnGlobalData") == "one"
    assert await alice.get("returnIsNewData", TYPE="Nonsense") is False


@scenario
async def test_queues_are_taken_out_one_by_one_and_at_once(lab):
    [alice] = await lab.users(1)
    await alice.joins("alice")
    assert await alice.get("newPacketsExist", TYPE="All data") is False
    assert await alice.get("getNextPacket", TYPE="All data") == ""
    assert await alice.get("getAndClearPacketQueue", TYPE="All data") == "[]"
    await alice.do("sendGData", DATA=1)
    await alice.do("sendGDataAsVar", VAR="x", DATA=2)
    await alice.do("sendGData", DATA=3)
    await alice.until("3", "returnGlobalData")
    assert await alice.get("newPacketsExist", TYPE="All data") is True
    assert await alice.get("newPacketsExist", TYPE="Private data") is False
    sizes = {"All data": 3, "Global data": 2, "Global variables": 1, "Status code": 0, "Nonsense": 0}
    assert {kind: await alice.get("readQueueSize", TYPE=kind) for kind in sizes} == sizes
    looked = json.loads(await alice.get("readQueueData", TYPE="All data"))
    assert {kind: [packet["val"] for packet in packets] for kind, packets in looked.items()} == {
        "gmsg": [1, 3],
        "pmsg": [],
        "direct": [],
        "statuscode": [],
        "gvar": [2],
        "pvar": [],
    }
    first = {"cmd": "gmsg", "val": 1, "rooms": "default"}
    assert json.loads(await alice.get("readQueueData", TYPE="Global data"))[0] == first
    assert json.loads(await alice.get("getNextPacket", TYPE="All data")) == first
    rest = json.loads(await alice.get("getAndClearPacketQueue", TYPE="All data"))
    assert [packet["val"] for packet in rest] == [2, 3]
    assert await alice.get("readQueueSize", TYPE="All data") == 0
    await alice.do("sendGData", DATA=4)
    await alice.do("sendGData", DATA=5)
    await alice.until("5", "returnGlobalData")
    assert '"val":4' in await alice.get("getNextPacket", TYPE="Global data")
    await alice.do("clearAllPackets", TYPE="Private data")
    assert await alice.get("readQueueSize", TYPE="Global data") == 1
    await alice.do("clearAllPackets", TYPE="All data")
    assert await alice.get("readQueueSize", TYPE="Global data") == 0
    assert await alice.get("returnGlobalData") == "5"
    assert await alice.get("returnIsNewData", TYPE="Global data") is True
