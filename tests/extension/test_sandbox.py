"""In a sandbox: TurboWarp's own, and one that offers only what Scratch's own VM does, as other mods have it."""

import json

import pytest

from tests.extension.lab import scenario
from tests.extension.project import change, put
from tests.extension.published import BLOCKS, NEW_BLOCKS, table

SCRIPTS = [
    [("cloudlink_onConnect", {}), change("connected")],
    [("cloudlink_onClose", {}), change("closed")],
    [("cloudlink_onNewPacket", {"TYPE": "Global data"}), change("first")],
    [("cloudlink_onNewPacket", {"TYPE": "Global data"}), change("second")],
    [("cloudlink_onNewPacket", {"TYPE": "Private data"}), change("other")],
    [
        ("cloudlink_onNewVar", {"TYPE": "Global variables", "VAR": "x"}),
        put("value", ("cloudlink_returnVarData", {"TYPE": "Global variables", "VAR": "x"})),
    ],
]
NAMES = ("connected", "closed", "first", "second", "other", "value")


@pytest.mark.parametrize("plain", [False, True], ids=["turbowarp", "scratch"])
def test_the_extension_works_in_a_sandbox(lab, plain):
    async def main():
        user = await lab.newcomer()
        await user.evaluate("window.sandbox = 'worker'")
        await user.load(SCRIPTS, variables=NAMES, address=lab.plain_extension if plain else None)
        known = {block["opcode"]: block for block in (await user.evaluate("knownBlocks()"))["blocks"]}
        assert known.keys() == table(BLOCKS + NEW_BLOCKS).keys()
        assert [opcode for opcode, block in known.items() if block["hidden"]] == ["changeIPFetcher"]

        assert await user.get("returnVersionData") == ("Scratch 1.0.0" if plain else "TurboWarp 1.0.0")
        await user.joins("alice")
        await user.variable("connected", 1)
        await user.do("sendGData", DATA="hello")
        await user.variable("first", 1)
        await user.variable("second", 1)
        assert await user.get("returnGlobalData") == "hello"
        await user.do("sendGDataAsVar", VAR="x", DATA='{"a": 1}')
        await user.variable("value", '{"a":1}')
        await user.variable("other", "")
        people = json.loads(await user.get("returnUserListData"))
        assert [one["username"] for one in people] == ["alice"]
        assert await user.get("checkForID", ID="alice") is True
        source = f"http://127.0.0.1:{lab.server.port}/extension.js"
        assert (await user.get("fetchURL", url=source)).startswith("// Name: CloudLink")
        await user.do("closeSocket")
        await user.variable("closed", 1)
        assert user.page.errors == []
        await user.close()

    lab.run(main())


@scenario
async def test_a_saved_project_loads_the_extension_that_takes_the_place_of_its_own(lab):
    user = await lab.newcomer()
    script = [("event_whenflagclicked", {}), put("version", ("cloudlink_returnVersionData", {}))]
    await user.load([script], variables=("version",), by_hand=False)
    await user.variable("version", "TurboWarp 1.0.0")
    await user.close()
