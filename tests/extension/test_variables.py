"""Variables, and how often they are sent."""

import json

from tests.extension.lab import scenario
from tests.extension.test_messages import pair

GLOBAL, PRIVATE = "Global variables", "Private variables"


@scenario
async def test_global_and_private_variables(lab):
    alice, bob = await pair(lab)
    for opcode in ("returnVarData", "returnPreviousVarData"):
        assert await bob.get(opcode, TYPE=GLOBAL, VAR="x") == ""
    await alice.do("sendGDataAsVar", VAR="x", DATA="1")
    await alice.do("sendPDataAsVar", VAR="x", DATA="secret", ID="bob")
    await bob.until("secret", "returnVarData", TYPE=PRIVATE, VAR="x")
    assert await bob.get("returnVarData", TYPE=GLOBAL, VAR="x") == "1"
    assert await bob.get("returnVarData", TYPE="Global", VAR="x") == "1"
    assert await bob.get("returnVarData", TYPE="Private", VAR="x") == "secret"
    assert await bob.get("returnVarData", TYPE="Nonsense", VAR="x") == ""
    assert await alice.get("returnVarData", TYPE=PRIVATE, VAR="x") == ""

    assert await bob.get("returnPreviousVarData", TYPE=GLOBAL, VAR="x") == ""
    await alice.do("sendGDataAsVar", VAR="x", DATA='{"a": 1}')
    await bob.until('{"a":1}', "returnVarData", TYPE=GLOBAL, VAR="x")
    assert await bob.get("returnPreviousVarData", TYPE=GLOBAL, VAR="x") == "1"


@scenario
async def test_flags_of_variables(lab):
    alice, bob = await pair(lab)
    assert await bob.get("returnIsNewVarData", TYPE=GLOBAL, VAR="5") is False
    await alice.do("sendGDataAsVar", VAR=5, DATA="1")
    await alice.do("sendPDataAsVar", VAR=5, DATA="1", ID="bob")
    await bob.until(True, "returnIsNewVarData", TYPE=PRIVATE, VAR="5")
    assert await bob.get("returnIsNewVarData", TYPE=GLOBAL, VAR=5) is True
    await bob.do("resetNewVarData", TYPE=GLOBAL, VAR="5")
    await bob.do("resetNewVarData", TYPE=GLOBAL, VAR="unknown")
    assert await bob.get("returnIsNewVarData", TYPE=GLOBAL, VAR="5") is False
    assert await bob.get("returnIsNewVarData", TYPE=PRIVATE, VAR="5") is True


@scenario
async def test_names_are_just_names(lab):
    alice, bob = await pair(lab)
    names = ["__proto__", "constructor", "toString", "", "null"]
    for name in names:
        assert await bob.get("returnVarData", TYPE=GLOBAL, VAR=name) == ""
        await alice.do("sendGDataAsVar", VAR=name, DATA=f"of {name}")
    await bob.until("of null", "returnVarData", TYPE=GLOBAL, VAR="null")
    for name in names:
        assert await bob.get("returnVarData", TYPE=GLOBAL, VAR=name) == f"of {name}"


def burst(name, *blocks):
    """A script that runs these blocks in one frame."""
    return [("event_whenbroadcastreceived", {"BROADCAST_OPTION": name}), *blocks]


def send(name, value):
    return "cloudlink_sendGDataAsVar", {"VAR": name, "DATA": value}


@scenario
async def test_a_paced_variable_sends_the_latest_value(lab):
    scripts = [
        burst("first", *(send(*one) for one in [("x", 1), ("x", 2), ("y", "a"), ("x", 3), ("x", 4)])),
        # A listener wants its answer: such a value goes at once, and nothing older follows it.
        burst(
            "second", send("x", 5), ("cloudlink_createListener", {"ID": "now"}), send("x", 6), send("x", 7)
        ),
    ]
    alice, bob = await pair(lab, scripts)
    await alice.do("setPace", RATE=2)
    await alice.broadcast("first")
    await alice.do("sendGData", DATA="message")
    await bob.until("message", "returnGlobalData")
    await bob.until("4", "returnVarData", TYPE=GLOBAL, VAR="x")
    await alice.broadcast("second")
    await alice.until(True, "returnIsNewListener", ID="now")
    await bob.until("7", "returnVarData", TYPE=GLOBAL, VAR="x")
    packets = json.loads(await bob.get("readQueueData", TYPE=GLOBAL))
    values = [packet["val"] for packet in packets if packet["name"] == "x"]
    assert values in ([1, 4, 6, 7], [1, 4, 5, 6, 7])  # 5, if the half second was over
    assert [packet["val"] for packet in packets if packet["name"] == "y"] == ["a"]


@scenario
async def test_without_a_pace_what_waits_goes_out(lab):
    fast = [send("x", 1), send("x", 2), ("cloudlink_setPace", {"RATE": 0}), send("x", 3)]
    alice, bob = await pair(lab, [burst("fast", *fast)])
    await alice.do("setPace", RATE=0.1)
    await alice.broadcast("fast")
    await bob.until("3", "returnVarData", TYPE=GLOBAL, VAR="x")
    values = [packet["val"] for packet in json.loads(await bob.get("readQueueData", TYPE=GLOBAL))]
    assert values == [1, 2, 3]


@scenario
async def test_waiting_values_are_discarded_with_the_connection(lab):
    alice, bob = await pair(lab)
    await alice.do("setPace", RATE=0.1)
    await alice.do("sendGDataAsVar", VAR="x", DATA=1)
    await alice.do("sendGDataAsVar", VAR="x", DATA=2)
    await alice.do("closeSocket")
    await alice.until("3", "returnLinkData")
    await alice.joins("alice")
    await alice.do("sendGDataAsVar", VAR="x", DATA=3)
    await bob.until("3", "returnVarData", TYPE=GLOBAL, VAR="x")
    values = [packet["val"] for packet in json.loads(await bob.get("readQueueData", TYPE=GLOBAL))]
    assert values == [1, 3]
