"""The interface that saved projects depend on: the blocks in TurboWarp's VM once the extension is loaded."""

import re
from pathlib import Path

from tests.extension.published import BLOCKS, MENUS, NEW_BLOCKS, Argument, table

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "extension" / "cloudlink.js"


def test_the_identity_is_the_published_one(known):
    assert known["id"] == "cloudlink"
    assert known["name"] == "CloudLink"


def test_the_published_table_has_all_65_blocks():
    assert len(table(BLOCKS)) == 65
    assert len([line for line in BLOCKS.split("\n") if line.strip()]) == 65


def test_every_block_keeps_its_opcode_shape_and_arguments(known):
    found = {
        block["opcode"]: (
            block["blockType"],
            {Argument(one["name"], one["type"], one["menu"]) for one in block["arguments"]},
        )
        for block in known["blocks"]
    }
    assert found == table(BLOCKS) | table(NEW_BLOCKS)


def test_every_block_can_be_run(known):
    assert [block["opcode"] for block in known["blocks"] if not block["works"]] == []


def test_no_hat_is_polled_outside_a_sandbox(known):
    hats = [block for block in known["blocks"] if block["blockType"] in ("hat", "event")]
    assert [block["opcode"] for block in hats if block["edgeActivated"]] == []


def test_every_menu_keeps_its_values(known):
    found = {
        name.removeprefix("cloudlink_menu_"): [value for _label, value in items]
        for name, items in known["menus"].items()
    }
    assert found == MENUS


def test_typed_command_names_are_not_translated(known):
    blocks = {block["opcode"]: block for block in known["blocks"]}
    defaults = {one["name"]: one["defaultValue"] for one in blocks["runCMD"]["arguments"]}
    assert defaults == {"CMD": "direct", "ID": "id", "DATA": "val"}
    assert not re.search(r"translate\(\s*\"(direct|val|id)\"", SOURCE.read_text(encoding="utf-8"))


def test_the_palette_shows_the_common_blocks_and_more_when_asked(lab):
    async def shown(user):
        return [block for block in (await user.evaluate("knownBlocks()"))["blocks"] if not block["hidden"]]

    async def press(user, button):
        await user.evaluate(
            "runtime._blockInfo.find(({id}) => id === 'cloudlink').blocks"
            f".find(({{info}}) => info.func === '{button}').info.callFunc()"
        )
        await user.evaluate("frames(2)")

    async def main():
        [user] = await lab.users(1)
        common = await shown(user)
        assert len(common) < 40
        await press(user, "showMoreBlocks")
        everything = await shown(user)
        assert {block["opcode"] for block in everything} == table(BLOCKS + NEW_BLOCKS).keys() - {
            "changeIPFetcher"
        }
        await press(user, "showFewerBlocks")
        assert await shown(user) == common

    lab.run(main())


def test_every_block_stands_in_a_test():
    tests = "".join(
        file.read_text(encoding="utf-8")
        for file in HERE.glob("test_*.py")
        if file.name != "test_interface.py"
    )
    named = set(re.findall(r"\"(?:cloudlink_)?(\w+)\"", tests))
    assert table(BLOCKS + NEW_BLOCKS).keys() - named == set()
