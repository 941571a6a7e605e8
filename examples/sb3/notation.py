"""Reads the scratchblocks notation, in which Scratchers write scripts in forums and wikis.

Only the form of it: which words and which slots a block has, and what stands in its slots and mouths. What a block
means is for `vocabulary`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENING = {"(": ")", "[": "]", "<": ">", "{": "}"}
_MENU = re.compile(r"^(.*) v(?::(\w+))?$", re.DOTALL)
_WITH_MOUTHS = ("if _ then", "forever", "repeat _", "repeat until _")
_NUMBER = re.compile(r"^-?(\d+\.?\d*|\.\d+)?$")


class SourceError(Exception):
    """Something in the sources that no project can be made of; the text says where and what."""


@dataclass
class Slot:
    """What stands between brackets.

    `kind` is `text` for `[…]`, `number` for `(12)`, `menu` for `[… v]`, `round menu` for `(… v)`, `block` for a block
    inside round brackets, `boolean` for one inside pointed ones (`block` is None if it is empty) and `mouth` for `{…}`,
    which only the list of blocks has.
    """

    kind: str
    text: str = ""
    block: Block | None = None
    shadow: str = ""
    """After `v:` in the list of blocks: the block that is the menu."""


@dataclass
class Block:
    """A block: its words and slots in order, and, where it has mouths, the scripts in them."""

    parts: list[str | Slot]
    line: int = 0
    mouths: list[list[Block]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    @property
    def slots(self) -> list[Slot]:
        return [part for part in self.parts if isinstance(part, Slot)]

    @property
    def words(self) -> str:
        """The words alone; `_` stands for a slot."""
        return " ".join("_" if isinstance(part, Slot) else part for part in self.parts)


def read_block(text: str, line: int = 0) -> Block:
    """The block that a line describes."""
    reader = _Reader(text)
    block = Block(list(reader.parts("")), line)
    if not block.parts:
        raise SourceError("there is no block")
    return block


def read_scripts(text: str) -> list[list[Block]]:
    """All scripts of a sprite, each a list of blocks with the hat first; empty lines are between them.

    Raises SourceError, with the number of the line.
    """
    scripts: list[list[Block]] = []
    path: list[tuple[Block, list[Block]]] = []  # the open C-blocks, each with the script that it stands in
    script: list[Block] = []
    notes: list[str] = []  # comments above a hat
    number = 0
    for number, whole in enumerate(text.splitlines(), 1):
        code, comment = _split_comment(whole.strip())
        try:
            if not code and not comment:
                if path:
                    raise SourceError("an empty line, but a block is still open: `end` is missing")
                if script:
                    scripts.append(script)
                script = []
            elif code in ("else", "end"):
                if not path:
                    raise SourceError(f"`{code}`, but no block is open")
                block, around = path[-1]
                if code == "else":
                    script = []
                    block.mouths.append(script)
                else:
                    path.pop()
                    script = around
            elif code:
                block = read_block(code, number)
                block.comments, notes = notes, []
                script.append(block)
                if block.words in _WITH_MOUTHS:
                    path.append((block, script))
                    script = []
                    block.mouths.append(script)
            if comment:
                (script[-1].comments if code and script else notes).append(comment)
        except SourceError as error:
            raise SourceError(f"line {number}: {error}") from None
    if path:
        raise SourceError(f"line {number}: the block of line {path[-1][0].line} is still open: `end` is missing")
    return [*scripts, script] if script else scripts


def _split_comment(line: str) -> tuple[str, str]:
    """A line without its comment, and the comment: what follows `//` outside of texts."""
    depth = 0
    for index, character in enumerate(line):
        if character == "[":
            depth += 1
        elif character == "]" and line[index - 1] != "\\":
            depth -= 1
        elif line.startswith("//", index) and depth == 0:
            return line[:index].strip(), line[index + 2 :].strip()
    return line, ""


class _Reader:
    """Reads one line from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parts(self, closing: str) -> Iterator[str | Slot]:
        """Words and slots up to the closing bracket, or to the end of the line."""
        word = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            is_sign = character in "<>" and self._stands_alone()
            if character == closing and not is_sign:
                break
            self.at += 1
            if character == "(" and word:  # as in "room(s)"
                end = self.text.find(")", self.at) + 1 or len(self.text)
                word += self.text[self.at - 1 : end]
                self.at = end
            elif character in _OPENING and not is_sign:
                if word:
                    yield word
                word = ""
                yield self._slot(character)
            elif character != " ":
                word += character
            elif word:
                yield word
                word = ""
        else:
            if closing:
                raise SourceError(f"`{closing}` is missing")
        if word:
            yield word

    def _stands_alone(self) -> bool:
        """Whether there are spaces around: then `<` and `>` compare, else they are brackets."""
        around = self.text[max(self.at - 1, 0) : self.at + 2]
        return len(around) == 3 and around[0] == around[2] == " "

    def _slot(self, opening: str) -> Slot:
        start = self.at
        if opening == "[":
            return self._text()
        parts = list(self.parts(_OPENING[opening]))
        inside = self.text[start : self.at]
        self.at += 1
        if opening == "{":
            return Slot("mouth", inside)
        if opening == "<":
            return Slot("boolean", inside, Block(parts) if parts else None)
        if _NUMBER.match(inside):
            return Slot("number", inside)
        if menu := _MENU.match(inside):
            return Slot("round menu", menu[1], shadow=menu[2] or "")
        return Slot("block", inside, Block(parts))

    def _text(self) -> Slot:
        """A text, in which `\\]` is a bracket; after ` v` it is a menu."""
        text = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == "]":
                menu = _MENU.match(text)
                return Slot("menu", menu[1]) if menu else Slot("text", text)
            if character == "\\" and self.at < len(self.text):
                character = self.text[self.at]
                self.at += 1
            text += character
        raise SourceError("`]` is missing")
