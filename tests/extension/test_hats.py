"""Hats: every script that is meant starts, whatever the mode, and no other."""

import json

import pytest

from tests.extension.lab import scenario
from tests.extension.project import change, note, put
from tests.extension.test_messages import pair

KINDS = {
    "Global data": ("sendGData", {"DATA": "x"}),
    "Private data": ("sendPData", {"DATA": "x", "ID": "bob"}),
    "Direct data": ("runCMD", {"CMD": "direct", "ID": "bob", "DATA": "x"}),
    "Global variables": ("sendGDataAsVar", {"DATA": "x", "VAR": "v"}),
    "Private variables": ("sendPDataAsVar", {"DATA": "x", "ID": "bob", "VAR": "v"}),
}


def packet_hat(kind, variable):
    return [("cloudlink_onNewPacket", {"TYPE": kind}), change(variable)]


@scenario
async def test_each_kind_of_packet_starts_its_hat(lab):
    kinds = [*KINDS, "Status code"]
    alice, bob = await pair(lab, [packet_hat(kind, kind) for kind in kinds], variables=tuple(kinds))
    for opcode, arguments in KINDS.values():
        await alice.do(opcode, **arguments)
    for kind in KINDS:
        await bob.variable(kind, 1)
    await bob.variable("Status code", "")
    await alice.do("sendPData", DATA="x", ID="nobody")
    await alice.until("E:103 | ID not found", "returnStatusCode")
    # Only an error is sure to start it once: the answers to the messages before may have come in one frame.
    assert await alice.evaluate("valueOf('Status code') > 0") is True


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "interpreted"])
def test_every_script_with_the_same_hat_runs_for_every_packet(lab, compiled):
    async def main():
        many = [packet_hat("Global data", f"n{number}") for number in range(3)]
        alice, bob = await pair(lab, many, variables=("n0", "n1", "n2"))
        await bob.evaluate(f"vm.setCompilerOptions({{enabled: {json.dumps(compiled)}}})")
        for count in range(1, 11):
            await alice.do("sendGData", DATA=count)
            for number in range(3):
                await bob.variable(f"n{number}", count)

    try:
        lab.run(main())
    finally:
        lab.run(lab.compiling())


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "interpreted"])
def test_hats_compare_what_stands_in_them(lab, compiled):
    async def main():
        named = put("name", "Apple")
        scripts = [
            [("cloudlink_onNewVar", {"TYPE": "Global variables", "VAR": "Apple"}), change("global")],
            [("cloudlink_onNewVar", {"TYPE": "Private variables", "VAR": "Apple"}), change("private")],
            [
                (
                    "cloudlink_onNewVar",
                    {
                        "TYPE": "Global variables",
                        "VAR": ("operator_join", {"STRING1": "Ap", "STRING2": "ple"}),
                    },
                ),
                change("joined"),
            ],
            [("cloudlink_onNewVar", {"TYPE": "Global variables", "VAR": "apple"}), change("other")],
            [("event_whenflagclicked", {}), named],
        ]
        names = ("global", "private", "joined", "other", "name")
        alice, bob = await pair(lab, scripts, variables=names)
        await bob.evaluate(f"vm.setCompilerOptions({{enabled: {json.dumps(compiled)}}})")
        await alice.do("sendGDataAsVar", VAR="Apple", DATA="1")
        await alice.do("sendGDataAsVar", VAR="Pear", DATA="1")
        await bob.variable("global", 1)
        await bob.variable("joined", 1)
        await alice.do("sendPDataAsVar", VAR="Apple", DATA="1", ID="bob")
        await bob.variable("private", 1)
        await bob.variable("global", 1)
        await bob.variable("other", "")

    try:
        lab.run(main())
    finally:
        lab.run(lab.compiling())


@scenario
async def test_the_script_finds_the_value_that_started_it(lab):
    script = [
        ("cloudlink_onNewVar", {"TYPE": "Global variables", "VAR": "x"}),
        note("seen", ("cloudlink_returnVarData", {"TYPE": "Global variables", "VAR": "x"})),
        note("seen", ("cloudlink_returnPreviousVarData", {"TYPE": "Global variables", "VAR": "x"})),
    ]
    alice, bob = await pair(lab, [script], lists=("seen",))
    seen = []
    for value in ("a", "b", "c"):
        await alice.do("sendGDataAsVar", VAR="x", DATA=value)
        seen += [value, seen[-2] if seen else ""]
        await bob.variable("seen", seen)


@scenario
async def test_a_hat_leaves_the_flag_alone(lab):
    alice, bob = await pair(lab, [packet_hat("Global data", "count")], variables=("count",))
    await alice.do("sendGData", DATA="x")
    await bob.variable("count", 1)
    assert await bob.get("returnIsNewData", TYPE="Global data") is True


@scenario
async def test_a_running_script_is_left_alone(lab):
    script = [
        ("cloudlink_onNewPacket", {"TYPE": "Global data"}),
        change("begun"),
        (
            "control_wait_until",
            {
                "CONDITION": (
                    "operator_equals",
                    {"OPERAND1": ("data_itemoflist", {"LIST": "go", "INDEX": 1}), "OPERAND2": "on"},
                )
            },
        ),
        change("done"),
    ]
    alice, bob = await pair(lab, [script], variables=("begun", "done"), lists=("go",))
    await alice.do("sendGData", DATA="1")
    await bob.variable("begun", 1)
    await alice.do("sendGData", DATA="2")
    await bob.until("2", "returnGlobalData")
    await bob.evaluate(
        "runtime.getTargetForStage().lookupVariableByNameAndType('go', 'list').value.push('on')"
    )
    await bob.variable("done", 1)
    assert await bob.evaluate("valueOf('begun')") == 1


@scenario
async def test_a_script_that_fails_harms_nothing(lab):
    alice, bob = await pair(lab, [packet_hat("Global data", "count")], variables=("count",))
    await bob.evaluate(
        "runtime.startHats = (opcode, ...more) => {"
        "  if (opcode === 'cloudlink_onNewPacket') throw new Error('no');"
        "  return Object.getPrototypeOf(runtime).startHats.call(runtime, opcode, ...more);"
        "}; 0"
    )
    await alice.do("sendGData", DATA="1")
    await bob.until("1", "returnGlobalData")
    await bob.evaluate("delete runtime.startHats; 0")
    await alice.do("sendGData", DATA="2")
    await bob.variable("count", 1)
    assert any("A script of the project failed" in line for line in bob.page.console)
