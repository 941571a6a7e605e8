"""The builder: its projects equal what Scratch would save, and mistakes in sources are reported with their place."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sb3 import SourceError, build
from sb3.notation import read_block, read_scripts
from sb3.vocabulary import known_blocks
from tests.examples_scratch.players import EXAMPLES
from tests.real_clients.environment import node_modules

SCRIPT = Path(__file__).parents[2] / "examples" / "build.py"
VALIDATOR = ("scratch-parser@6.0.1",)
VALIDATE = """
const parse = require('scratch-parser');
parse(require('fs').readFileSync(process.argv[1]), false, (error) => {
  if (!error) return;
  console.error(JSON.stringify(error));
  process.exitCode = 1;
});
"""


def contents(sb3):
    """A project's JSON, and its other files by name."""
    with zipfile.ZipFile(io.BytesIO(sb3)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("project.json")), files


def made(tmp_path, script, toml="", name="Stage"):
    """The project of one script; the stage has the variable `score` and the list `names`."""
    (tmp_path / "project.toml").write_text(
        f'variables = ["score"]\nlists = ["names"]\n{toml}\n[stage]\ncostumes = ["empty.svg"]',
        encoding="utf-8",
    )
    (tmp_path / "empty.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="2" height="4"/>')
    (tmp_path / f"{name}.txt").write_text(script, encoding="utf-8")
    return contents(build(tmp_path, "ws://here/", "http://here/extension.js"))[0]


def blocks_of(tmp_path, script):
    """The blocks of a script, and by opcode where there is one of it."""
    [stage] = made(tmp_path, script)["targets"]
    return {block["opcode"]: block for block in stage["blocks"].values()}


# The examples.


def test_blocks_are_linked(example):
    project, _ = contents(example)
    for target in project["targets"]:
        blocks = target["blocks"]
        reached = [identity for identity, block in blocks.items() if block["topLevel"]]
        for identity in reached:  # grows while it is gone through
            block = blocks[identity]
            inside = [
                part for [_, *parts] in block["inputs"].values() for part in parts if isinstance(part, str)
            ]
            below = [block["next"]] if block["next"] else []
            assert [blocks[each]["parent"] for each in inside + below] == [identity] * len(inside + below)
            reached += inside + below
        assert sorted(reached) == sorted(blocks)
        for block in blocks.values():
            assert block["topLevel"] == (block["parent"] is None)
            assert ("x" in block) == block["topLevel"]
        notes = {
            note: identity for identity, block in blocks.items() for note in [block.get("comment")] if note
        }
        assert {note: comment["blockId"] for note, comment in target["comments"].items()} == notes


def test_every_variable_list_and_message_exists(example):
    project, _ = contents(example)
    stage = project["targets"][0]
    for target in project["targets"]:
        known = {
            "VARIABLE": {
                identity: name
                for each in (stage, target)
                for identity, [name, *_] in each["variables"].items()
            },
            "LIST": {
                identity: name for each in (stage, target) for identity, [name, *_] in each["lists"].items()
            },
            "BROADCAST_OPTION": stage["broadcasts"],
        }
        kinds = {11: "BROADCAST_OPTION", 12: "VARIABLE", 13: "LIST"}
        for block in target["blocks"].values():
            used = [(name, *value) for name, value in block["fields"].items() if name in known]
            used += [
                (kinds[part[0]], part[1], part[2])
                for [_, *parts] in block["inputs"].values()
                for part in parts
                if isinstance(part, list) and part[0] in kinds
            ]
            assert [known[kind][identity] for kind, _, identity in used] == [name for _, name, _ in used]


def test_drawings_are_named_by_their_content(example):
    project, files = contents(example)
    costumes = [costume for target in project["targets"] for costume in target["costumes"]]
    assert sorted(costume["md5ext"] for costume in costumes) == sorted(files)
    for costume in costumes:
        assert hashlib.md5(files[costume["md5ext"]]).hexdigest() == costume["assetId"]
        assert costume["md5ext"] == f"{costume['assetId']}.{costume['dataFormat']}"


@pytest.mark.browser
def test_scratch_itself_finds_the_project_valid(example, tmp_path):
    """Scratch's own parser checks each project with Scratch's own schema."""
    modules = node_modules("scratch-parser", VALIDATOR, "Scratch's parser")
    file = tmp_path / "project.sb3"
    file.write_bytes(example)
    done = subprocess.run(
        ["node", "-e", VALIDATE, file],
        env={"PATH": os.environ["PATH"], "NODE_PATH": modules},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_score_table_does_without_the_extension():
    for folder in EXAMPLES.glob("*/"):
        project, _ = contents(build(folder, "wss://games.example/", "https://games.example/extension.js"))
        uses = folder.name != "score-table"
        assert project["extensions"] == ["cloudlink"] * uses
        assert project.get("extensionURLs", {}) == (
            {"cloudlink": "https://games.example/extension.js"} if uses else {}
        )
        assert ("wss://games.example/" in json.dumps(project)) == uses


def test_a_project_is_the_same_each_time():
    first, second = (build(EXAMPLES / "game", "ws://here/", "http://here/extension.js") for _ in range(2))
    assert first == second


# The command.


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=folder,
    )


def test_the_command_builds_all_examples(tmp_path):
    done = run(folder=tmp_path)
    names = ["chat", "game", "score-table"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{Path('build', name)}.sb3 is ready" for name in names]
    project, _ = contents((tmp_path / "build" / "chat.sb3").read_bytes())
    assert project["extensionURLs"] == {"cloudlink": "http://127.0.0.1:3000/extension.js"}


def test_the_command_takes_addresses_and_a_folder(tmp_path):
    done = run(EXAMPLES / "chat", "--server", "wss://games.example/", "--output", "made", folder=tmp_path)
    assert done.stderr == ""
    project, _ = contents((tmp_path / "made" / "chat.sb3").read_bytes())
    assert project["extensionURLs"] == {"cloudlink": "https://games.example/extension.js"}
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["chat.sb3"]
    run(EXAMPLES / "chat", "--extension", "https://elsewhere.example/cloudlink.js", folder=tmp_path)
    project, _ = contents((tmp_path / "build" / "chat.sb3").read_bytes())
    assert project["extensionURLs"] == {"cloudlink": "https://elsewhere.example/cloudlink.js"}


@pytest.mark.parametrize("server", ["games.example", "http://games.example/", "ws://"])
def test_the_command_refuses_what_is_no_server(tmp_path, server):
    done = run("--server", server, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{server} is not an address of a server")
    assert "Traceback" not in done.stderr


def test_the_command_tells_what_is_wrong_and_where(tmp_path):
    made(tmp_path, "when flag clicked\nhide")
    (tmp_path / "Stage.txt").write_text("when flag clicked\n\nwhen flag clicked\nhied\n", encoding="utf-8")
    done = run(tmp_path, folder=tmp_path)
    assert done.returncode == 1
    place = tmp_path / "Stage.txt"
    assert (
        done.stderr == f"{tmp_path.name}: {place}, line 4: there is no command `hied`; did you mean `hide`?\n"
    )
    done = run(tmp_path / "nothing", folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


# Notation.


@pytest.mark.parametrize(
    ("line", "words", "kinds"),
    [
        ("move (10) steps", "move _ steps", ["number"]),
        ("say [a (b) <c> \\] \\\\ d]", "say _", ["text"]),
        ("set [my score v] to (-1.5)", "set _ to _", ["menu", "number"]),
        ("create clone of (_myself_ v)", "create clone of _", ["round menu"]),
        ("wait until <not <(x) < (3)>>", "wait until _", ["boolean"]),
        ("if <<(a) = [1]> and <[b] > (c)>> then", "if _ then", ["boolean"]),
        ("enter room(s) (answer)", "enter room(s) _", ["block"]),
        ("set size to ((2) * (50))%", "set size to _ %", ["block"]),
    ],
)
def test_words_and_slots(line, words, kinds):
    block = read_block(line)
    assert (block.words, [slot.kind for slot in block.slots]) == (words, kinds)


def test_comparisons_are_distinguished_from_brackets():
    [condition] = read_block("wait until <(a) < (b)>").slots
    assert condition.block.words == "_ < _"
    [condition] = read_block("wait until <<(a) > (b)> or <(c) = (d)>>").slots
    assert [slot.block.words for slot in condition.block.slots] == ["_ > _", "_ = _"]


def test_texts_keep_what_is_in_them():
    [slot] = read_block("say [a  (b) <c> \\] \\\\ d]").slots
    assert slot.text == "a  (b) <c> ] \\ d"


def test_comments_belong_to_blocks():
    [script] = read_scripts(
        "// one\n// two\nwhen flag clicked // three\nsay [no // comment]\n// four\nhide\n"
    )
    assert [block.comments for block in script] == [["one", "two", "three"], [], ["four"]]


def test_comments_of_blocks_with_mouths_stay_with_them():
    [[_, loop]] = read_scripts("when flag clicked\nforever // one\n  // two\n  hide\nend // three\n")
    assert loop.comments == ["one", "three"]
    assert loop.mouths[0][0].comments == ["two"]


def test_nothing_lies_on_another(example):
    project, _ = contents(example)
    for target in project["targets"]:
        tops = [block["y"] for block in target["blocks"].values() if block["topLevel"]]
        assert all(below - above >= 100 for above, below in itertools.pairwise(tops))
        notes = sorted(target["comments"].values(), key=lambda note: note["y"])
        assert all(below["y"] > above["y"] + above["height"] for above, below in itertools.pairwise(notes))
        assert all(note["x"] >= 100 for note in notes)


def test_scripts_nest_as_in_scratch(tmp_path):
    blocks = blocks_of(
        tmp_path,
        "when flag clicked\nforever\n  if <(score) > (2)> then\n    hide\n  else\n    show\n  end\nend\n",
    )
    branch, loop = blocks["control_if_else"], blocks["control_forever"]
    stage = made(tmp_path, "when flag clicked")["targets"][0]
    assert stage["blocks"]["Stage 1"]["next"] is None
    assert loop["next"] is None
    assert set(branch["inputs"]) == {"CONDITION", "SUBSTACK", "SUBSTACK2"}
    assert blocks["operator_gt"]["inputs"] == {
        "OPERAND1": [3, [12, "score", "variable score"], [10, ""]],
        "OPERAND2": [1, [10, "2"]],
    }


def test_a_custom_block_has_parameters(tmp_path):
    blocks = blocks_of(
        tmp_path,
        "define greet (who) twice // run without screen refresh\nsay (who)\n\nwhen flag clicked\ngreet [you] twice\n",
    )
    call, prototype = blocks["procedures_call"], blocks["procedures_prototype"]
    assert call["mutation"]["proccode"] == prototype["mutation"]["proccode"] == "greet %s twice"
    assert json.loads(call["mutation"]["argumentids"]) == list(call["inputs"]) == list(prototype["inputs"])
    assert json.loads(prototype["mutation"]["argumentnames"]) == ["who"]
    assert call["mutation"]["warp"] == prototype["mutation"]["warp"] == "true"
    assert blocks["argument_reporter_string_number"]["fields"]["VALUE"] == ["who", None]


def test_stop_tells_whether_something_can_stand_below(tmp_path):
    script = "when flag clicked\nstop [other scripts in sprite v]\nhide\n"
    assert blocks_of(tmp_path, script)["control_stop"]["mutation"]["hasnext"] == "true"
    with pytest.raises(SourceError, match="line 3: nothing can stand below"):
        made(tmp_path, script.replace("other scripts in sprite", "all"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("hide", "line 1: there is no hat `hide`"),
        (
            "when flag clicked\nmvoe (10) steps",
            "line 2: there is no command `mvoe _ steps`; did you mean `move (STEPS) steps`?",
        ),
        ("when flag clicked\nsay (scroe)", "line 2: there is no variable, list or block `scroe`"),
        ("when flag clicked\nset [scroe v] to (1)", "line 2: there is no variable `scroe` in project.toml"),
        ("when flag clicked\nadd [x] to [score v]", "line 2: there is no list `score` in project.toml"),
        (
            "when flag clicked\nmove [ten] steps",
            "line 2: `move (STEPS) steps` takes a number, not the text [ten]",
        ),
        ("when flag clicked\nmove (ten v) steps", "line 2: `move (STEPS) steps` has no menu for `ten`"),
        ("when flag clicked\nwait until <answer>", "line 2: there is no boolean `answer`"),
        (
            "when flag clicked\nforever\nhide\n\nwhen flag clicked",
            "line 4: the block of line 2 is still open: `end` is missing",
        ),
        ("when flag clicked\nforever\nhide\nend\nshow", "line 5: nothing can stand below the block above"),
        ("when flag clicked\nend", "line 2: `end`, but no block is open"),
        ("when flag clicked\nelse", "line 2: `else`, but no block is open"),
        ("when flag clicked\nsay [hello", "line 2: `]` is missing"),
        ("when flag clicked\nsay (join [a] [b]", "line 2: `)` is missing"),
        ("when flag clicked\nforever {hide}", "line 2: there is no command `forever _`"),
        ("when flag clicked\nsay {hide}", "line 2: blocks stand in lines of their own"),
        ("when flag clicked\nrepeat (2)\nhide\nelse\nshow\nend", "line 2: there is no command `repeat _`"),
    ],
)
def test_mistakes_are_reported_with_their_line(tmp_path, script, message):
    with pytest.raises(SourceError, match=re.escape(message)) as told:
        made(tmp_path, script)
    assert str(told.value).startswith(f"{tmp_path / 'Stage.txt'}, line ")


def test_the_stage_can_show_only_what_there_is(tmp_path):
    with pytest.raises(SourceError, match="cannot show `scroe`, there is no such variable"):
        made(tmp_path, "", '[[show]]\nvariable = "scroe"\nx = 0\ny = 0\n')


# The list of blocks.


def label_of(block):
    """How the list of blocks writes a block of the extension."""
    text = block["text"]
    for argument in block["arguments"]:
        name = argument["name"]
        if argument["type"] == "number":
            text = text.replace(f"[{name}]", f"({name})")
        elif argument["menu"]:
            text = text.replace(f"[{name}]", f"[{name} v]")
    return {"reporter": f"({text})", "Boolean": f"<{text}>"}.get(block["blockType"], text)


@pytest.mark.browser
def test_blocks_of_the_extension_are_listed_as_it_has_them(lab):
    async def look():
        [user] = await lab.users(1)
        return await user.evaluate("knownBlocks()")

    labels = {f"cloudlink_{block['opcode']}": label_of(block) for block in lab.run(look())["blocks"]}
    listed = {block.opcode: block.label for block in known_blocks() if block.opcode.startswith("cloudlink_")}
    assert listed == {opcode: labels[opcode] for opcode in listed}


@pytest.mark.browser
def test_turbowarp_knows_every_block_of_the_list(lab):
    async def look():
        [user] = await lab.users(1)
        return await user.evaluate(
            f"{json.dumps([block.opcode for block in known_blocks()])}.filter((opcode) => !("
            "runtime.getOpcodeFunction(opcode) || runtime.getIsHat(opcode) || opcode in runtime._hats))"
        )

    assert lab.run(look()) == []
