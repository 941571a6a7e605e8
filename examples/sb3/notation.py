"""Reads the scratchblocks notation, in which Scratchers write scripts in forums and wikis.

It parses only the form: the words and slots of a block, and the content of its slots and mouths. `vocabulary` knows the
meaning of blocks.
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
_INDENTATION = 2
_NUMBER = re.compile(r"^-?(\d+\.?\d*|\.\d+)?$")


class SourceError(Exception):
    """A mistake in the sources: a description, and the place if it is known."""

    place = ""

    def at(self, place: str) -> SourceError:
        """Return this error with its place, if it has none yet."""
        self.place = self.place or place
        return self

    def __str__(self) -> str:
        return f"{self.place}: {self.args[0]}" if self.place else str(self.args[0])


@dataclass
class Slot:
    """The content of brackets.

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
    """A block: its words and slots in order, and the scripts in its mouths."""

    parts: list[str | Slot]
    line: int = 0
    length: int = 0
    """The number of characters of its line, including indentation."""
    mouths: list[list[Block]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    @property
    def slots(self) -> list[Slot]:
        """The slots without the words."""
        return [part for part in self.parts if isinstance(part, Slot)]

    @property
    def words(self) -> str:
        """The words, with `_` for each slot."""
        return " ".join("_" if isinstance(part, Slot) else part for part in self.parts)


def read_block(text: str, line: int = 0) -> Block:
    """The block that a line describes."""
    reader = _Reader(text)
    block = Block(list(reader.parts("")), line, len(text))
    if not block.parts:
        raise SourceError("there is no block")
    return block


def read_scripts(text: str) -> list[list[Block]]:
    """All scripts of a sprite, each a list of blocks with the hat first; empty lines are between them.

    Raises SourceError with the line.
    """
    stack = _Stack()
    lines = text.splitlines()
    for number, line in enumerate([*lines, ""], 1):
        try:
            stack.take(*_split_comment(line.strip()), number)
        except SourceError as error:
            raise error.at(f"line {number}") from None
    return stack.scripts


class _Stack:
    """Stacks blocks line by line, as Scratch does: below each other, or into a mouth."""

    def __init__(self) -> None:
        self.scripts: list[list[Block]] = []
        self._script: list[Block] = []
        # The open blocks, each with the script that contains it.
        self._path: list[tuple[Block, list[Block]]] = []
        self._notes: list[str] = []  # comments above a block

    def take(self, code: str, comment: str, number: int) -> None:
        if code == "else":
            block = self._innermost(code)
            self._open(block)
        elif code == "end":
            block = self._innermost(code)
            _, self._script = self._path.pop()
        elif code:
            block = read_block(code, number)
            block.length += _INDENTATION * len(self._path)
            self._add(block)
        elif comment:
            self._notes.append(comment)
            return
        else:
            self._finish()
            return
        block.comments += [comment] if comment else []

    def _add(self, block: Block) -> None:
        block.comments, self._notes = self._notes, []
        self._script.append(block)
        if block.words in _WITH_MOUTHS:
            self._path.append((block, self._script))
            self._open(block)

    def _open(self, block: Block) -> None:
        self._script = []
        block.mouths.append(self._script)

    def _innermost(self, word: str) -> Block:
        """Return the block that `else` or `end` belongs to."""
        if not self._path:
            raise SourceError(f"`{word}`, but no block is open")
        return self._path[-1][0]

    def _finish(self) -> None:
        if self._path:
            raise SourceError(f"the block of line {self._path[-1][0].line} is still open: `end` is missing")
        if self._script:
            self.scripts.append(self._script)
        self._script = []


def _split_comment(line: str) -> tuple[str, str]:
    """Split a line into its code and its comment, the part after `//` outside of texts."""
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
        """Whether spaces surround it: then `<` and `>` compare, otherwise they are brackets."""
        return self.text[max(self.at - 1, 0) : self.at + 2] in (" < ", " > ")

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
        """A text, in which a bracket has a backslash before it; after ` v` it is a menu."""
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
