"""Finds a place on the editor's workspace for each script and comment, so that none lies on another.

Sizes are in the workspace's pixels and estimated from the text: only the editor knows them exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb3.notation import Block

_BLOCK_HEIGHT, _NESTING_HEIGHT = 52, 12  # of a block, and what each level of blocks inside its slots adds
_HAT_HEIGHT, _MOUTH_HEIGHT, _EMPTY_HEIGHT = 28, 32, 24
_LETTER_WIDTH = 9
_NOTE_WIDTH, _NOTE_HEAD, _NOTE_LINE, _NOTE_LETTERS = 320, 60, 20, 28
_GAP = 60


class Workspace:
    """The workspace of one sprite, filled from top to bottom."""

    def __init__(self) -> None:
        self._bottom = 0
        self._notes_bottom = 0
        self._notes_left = 0
        self._tops: dict[int, int] = {}

    def place(self, script: list[Block]) -> int:
        """Place a script below everything that there is; return its y."""
        top = max(self._bottom, self._notes_bottom) + (_GAP if self._tops else 0)
        self._notes_left = _width(script) + _GAP
        self._notes_bottom = top
        self._bottom = self._stack(script, top + _HAT_HEIGHT)
        return top

    def note(self, block: Block, text: str) -> dict[str, int]:
        """Place a comment to the right of a block, below the comments that there are."""
        lines = -(-len(text) // _NOTE_LETTERS)
        height = _NOTE_HEAD + _NOTE_LINE * lines
        top = max(self._tops[block.line], self._notes_bottom)
        self._notes_bottom = top + height + _NOTE_LINE
        return {"x": self._notes_left, "y": top, "width": _NOTE_WIDTH, "height": height}

    def _stack(self, script: list[Block], top: int) -> int:
        """Place blocks from `top` on; return where they end."""
        for block in script:
            self._tops[block.line] = top
            top += _BLOCK_HEIGHT + _NESTING_HEIGHT * _nesting(block)
            for mouth in block.mouths:
                top = self._stack(mouth, top) + (0 if mouth else _EMPTY_HEIGHT) + _MOUTH_HEIGHT
        return top


def _nesting(block: Block) -> int:
    """How many levels of blocks are inside its slots."""
    return max((1 + _nesting(slot.block) for slot in block.slots if slot.block), default=0)


def _width(script: list[Block]) -> int:
    return max(
        max([_LETTER_WIDTH * block.length, *(_width(mouth) for mouth in block.mouths if mouth)])
        for block in script
    )
