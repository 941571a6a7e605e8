"""The list of blocks: the opcode of a line in the scratchblocks notation, and the names of its slots."""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from sb3.notation import Block, Slot, SourceError, read_block

LIST = Path(__file__).with_name("blocks.txt")


@dataclass(frozen=True)
class Known:
    """A block of the list: its opcode, its label as it is written there, and its slots, mouths among them."""

    opcode: str
    label: str
    slots: tuple[Slot, ...]
    shape: str
    """`command`, `hat`, `reporter` or `boolean`."""


def look_up(block: Block, shape: str) -> Known:
    """The known block that is meant; raises SourceError, with the most similar label, if there is none."""
    found = _blocks().get((_shape_of(shape), _form(block, len(block.mouths))))
    if found is not None and not (shape == "boolean" and found.shape == "reporter"):
        return found
    labels = {re.sub(r"[(\[<{].*?[)\]>}]+", "_", known.label): known.label for known in known_blocks()}
    similar = difflib.get_close_matches(block.words, labels, n=1)
    hint = f"; did you mean `{labels[similar[0]]}`?" if similar else ""
    kind = "variable, list or block" if shape == "reporter" and not block.slots else shape
    raise SourceError(f"there is no {kind} `{block.words}`{hint}")


@functools.cache
def _blocks() -> dict[tuple[str, str], Known]:
    blocks = {}
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        opcode, label = line.split(maxsplit=1)
        block, shape = read_block(label), "command"
        whole = block.parts[0] if len(block.parts) == 1 else ""
        if isinstance(whole, Slot) and whole.block:
            shape = "boolean" if whole.kind == "boolean" else "reporter"
            block = whole.block
        elif label.startswith("when "):
            shape = "hat"
        mouths = sum(slot.kind == "mouth" for slot in block.slots)
        words = [part for part in block.parts if not _is_after_mouth(block, part)]
        key = _shape_of(shape), _form(Block(words), mouths)
        if key in blocks:
            raise SourceError(f"{LIST.name}: `{label}` is there twice")
        blocks[key] = Known(opcode, label, tuple(block.slots), shape)
    return blocks


def known_blocks() -> list[Known]:
    """All blocks of the list."""
    return list(_blocks().values())


def _is_after_mouth(block: Block, part: str | Slot) -> bool:
    """Whether a part of a label is a mouth or the word `else` between two; in a script those have lines of their own."""
    is_mouth = isinstance(part, Slot) and part.kind == "mouth"
    has_mouths = any(slot.kind == "mouth" for slot in block.slots)
    return is_mouth or (has_mouths and part == "else")


def _shape_of(shape: str) -> str:
    """A boolean may be in round slots too, so both kinds share one table."""
    return "reporter" if shape == "boolean" else shape


def _form(block: Block, mouths: int) -> str:
    """The key that identifies a block: its words, which of its slots are menus or conditions, and its mouths."""
    signs = {"menu": "[v]", "boolean": "<>"}
    parts = [signs.get(part.kind, "()") if isinstance(part, Slot) else part for part in block.parts]
    return " ".join(parts + ["{}"] * mouths)
