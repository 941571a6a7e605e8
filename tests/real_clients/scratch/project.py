"""A tiny Scratch project, made in code: two cloud variables, shown on the stage, and what three keys do with them.

Space adds 1 to `☁ score`; r adds 1 to it twenty times, once a frame; a asks for a text and puts it into `☁ code`.
The green flag, which a packaged project presses itself, makes `ready` 1: before that, keys may go unnoticed.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import zipfile

SCORE = "☁ score"
CODE = "☁ code"
READY = "ready"
ROUNDS = 20

COSTUME = b'<svg version="1.1" xmlns="http://www.w3.org/2000/svg" width="2" height="2"></svg>'
COSTUME_ID = hashlib.md5(COSTUME).hexdigest()


def sb3() -> bytes:
    """The project as Scratch saves it, a .sb3 file."""
    return packed(
        {
            "variables": {"score": [SCORE, 0, True], "code": [CODE, 0, True], "ready": [READY, 0]},
            "lists": {},
            "blocks": _blocks(),
        },
        monitors=[_monitor("score", SCORE, 5), _monitor("code", CODE, 35), _monitor("ready", READY, 65)],
        extensions=[],
    )


def packed(stage: dict, **project: object) -> bytes:
    """A .sb3 file of a project that is all stage.

    Args:
        stage: The stage's variables, lists and blocks.
        **project: What else stands beside the stage: monitors and extensions.
    """
    target = {
        **stage,
        "isStage": True,
        "name": "Stage",
        "broadcasts": {},
        "comments": {},
        "currentCostume": 0,
        "costumes": [
            {
                "name": "empty",
                "dataFormat": "svg",
                "assetId": COSTUME_ID,
                "md5ext": f"{COSTUME_ID}.svg",
                "rotationCenterX": 1,
                "rotationCenterY": 1,
            }
        ],
        "sounds": [],
        "volume": 100,
        "layerOrder": 0,
        "tempo": 60,
        "videoTransparency": 50,
        "videoState": "off",
        "textToSpeechLanguage": None,
    }
    meta = {"semver": "3.0.0", "vm": "0.2.0", "agent": ""}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("project.json", json.dumps({**project, "targets": [target], "meta": meta}))
        archive.writestr(f"{COSTUME_ID}.svg", COSTUME)
    return file.getvalue()


def _blocks() -> dict:
    score, code = {"VARIABLE": [SCORE, "score"]}, {"VARIABLE": [CODE, "code"]}
    one, rounds, question = [1, [4, "1"]], [1, [6, str(ROUNDS)]], [1, [10, "code?"]]
    return {
        **_script(
            _block("flag", "event_whenflagclicked"),
            _block("begin", "data_setvariableto", {"VALUE": [1, [10, "1"]]}, {"VARIABLE": [READY, "ready"]}),
        ),
        **_script(
            _block("space", "event_whenkeypressed", fields={"KEY_OPTION": ["space", None]}),
            _block("add", "data_changevariableby", {"VALUE": one}, score),
        ),
        **_script(
            _block("r", "event_whenkeypressed", fields={"KEY_OPTION": ["r", None]}),
            _block("repeat", "control_repeat", {"TIMES": rounds, "SUBSTACK": [2, "add again"]}),
        ),
        **_script(
            _block("add again", "data_changevariableby", {"VALUE": one}, score),
            # Without a wait TurboWarp goes round and round in one frame and sends only the last value.
            _block("next frame", "control_wait", {"DURATION": [1, [5, "0"]]}),
            inside="repeat",
        ),
        **_script(
            _block("a", "event_whenkeypressed", fields={"KEY_OPTION": ["a", None]}),
            _block("ask", "sensing_askandwait", {"QUESTION": question}),
            _block("keep", "data_setvariableto", {"VALUE": [3, "answer", [10, ""]]}, code),
        ),
        **_script(_block("answer", "sensing_answer"), inside="keep"),
    }


def _block(name, opcode, inputs=None, fields=None):
    block = {
        "opcode": opcode,
        "next": None,
        "parent": None,
        "inputs": inputs or {},
        "fields": fields or {},
        "shadow": False,
        "topLevel": False,
    }
    return name, block


def _script(*blocks: tuple[str, dict], inside: str | None = None) -> dict[str, dict]:
    """These blocks, each below the one before it; a script of its own, or what stands inside another block."""
    top = {"parent": inside} if inside else {"topLevel": True, "x": 0, "y": 0}
    blocks[0][1].update(top)
    for (above, upper), (below, lower) in itertools.pairwise(blocks):
        upper["next"] = below
        lower["parent"] = above
    return dict(blocks)


def _monitor(identity: str, variable: str, y: int) -> dict:
    """The box on the stage in which a player reads the variable."""
    return {
        "id": identity,
        "mode": "default",
        "opcode": "data_variable",
        "params": {"VARIABLE": variable},
        "spriteName": None,
        "value": 0,
        "width": 0,
        "height": 0,
        "x": 5,
        "y": y,
        "visible": True,
        "sliderMin": 0,
        "sliderMax": 100,
        "isDiscrete": True,
    }
