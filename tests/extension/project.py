"""Scratch projects written as Python data.

A block is a tuple of its opcode and its arguments: `("cloudlink_sendGData", {"DATA": "hello"})`. An argument is a text or
number, another block, or, for a loop or condition, a list of blocks. A script is a list of blocks.
"""

from __future__ import annotations

import itertools

from tests.real_clients.scratch.project import packed

FIELDS = {"TYPE", "BOOL", "VARIABLE", "LIST", "BROADCAST_OPTION", "KEY_OPTION", "STOP_OPTION"}
ADDRESS = "https://extensions.turbowarp.org/cloudlink.js"  # what saved projects name


def sb3(
    scripts: list[list[tuple]],
    variables: tuple[str, ...] = (),
    lists: tuple[str, ...] = (),
    monitors: tuple[str, ...] = (),
    extension: str = ADDRESS,
) -> bytes:
    """A project with these scripts on its stage, as Scratch saves it.

    Args:
        scripts: The scripts.
        variables: The names of its variables.
        lists: The names of its lists.
        monitors: The opcodes of the reporters that the stage shows.
        extension: Where it has its blocks from.
    """
    blocks: dict[str, dict] = {}
    for script in scripts:
        _write(script, blocks, itertools.count(len(blocks)), None)
    return packed(
        {
            "variables": {name: [name, ""] for name in variables},
            "lists": {name: [name, []] for name in lists},
            "blocks": blocks,
        },
        monitors=[_monitor(opcode) for opcode in monitors],
        extensions=["cloudlink"],
        extensionURLs={"cloudlink": extension},
    )


def _monitor(opcode: str) -> dict:
    return {
        "id": opcode,
        "mode": "default",
        "opcode": opcode,
        "params": {},
        "spriteName": None,
        "value": "",
        "width": 0,
        "height": 0,
        "x": 5,
        "y": 5,
        "visible": True,
    }


def _write(script, blocks, numbers, parent) -> str:
    """Put a script's blocks among `blocks`; return the id of its first."""
    ids = [f"block{next(numbers)}" for _ in script]
    for index, (opcode, arguments) in enumerate(script):
        block = blocks[ids[index]] = {
            "opcode": opcode,
            "next": ids[index + 1] if index + 1 < len(ids) else None,
            "parent": ids[index - 1] if index else parent,
            "inputs": {},
            "fields": {},
            "shadow": False,
            "topLevel": parent is None and index == 0,
        }
        if block["topLevel"]:
            block |= {"x": 0, "y": 0}
        for name, value in arguments.items():
            if name in FIELDS:
                block["fields"][name] = [value, value]
            elif isinstance(value, list):
                block["inputs"][name] = [2, _write(value, blocks, numbers, ids[index])]
            elif isinstance(value, tuple):
                inner = _write([value], blocks, numbers, ids[index])
                block["inputs"][name] = [2, inner] if name == "CONDITION" else [3, inner, [10, ""]]
            else:
                block["inputs"][name] = [1, [10, str(value)]]
    return ids[0]


def change(variable: str) -> tuple:
    """The block that adds 1 to a variable."""
    return "data_changevariableby", {"VARIABLE": variable, "VALUE": 1}


def put(variable: str, value: object) -> tuple:
    """The block that sets a variable."""
    return "data_setvariableto", {"VARIABLE": variable, "VALUE": value}


def note(name: str, value: object) -> tuple:
    """The block that adds to a list."""
    return "data_addtolist", {"LIST": name, "ITEM": value}
