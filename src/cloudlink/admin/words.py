"""Finds the words of a list in texts, and the texts in a value of JSON.

A word of a text is compared as names are (`cloudlink.admin.names`), so that `B.a.d` is the word `bad`. The work for a text grows with its length, and hardly with the number of words in the list.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from cloudlink import jsontext
from cloudlink.admin.names import folded_with_map, is_separator

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

MOST_CHARACTERS = 4096
"""The characters of a value that are looked at."""
_DEEPEST = 8
"""How deep lists and objects may be nested for their texts to be looked at."""
_MOST_TOKENS = 10_000
"""The most texts and brackets of a value that are looked at."""
_HEAD = 4
"""Characters by which parts of words are looked up first."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_KEY_FOLLOWS = re.compile(rb"[ \t\r\n]*:")
_ASCII_WORD = re.compile(r"""[^!"#%&'()*,/:;?@\[\\\]{}\s]+""")
_WORD = re.compile(r"\S+")
_PIECE = re.compile(r"[^_\-.]+")


class Span(NamedTuple, Generic[T]):
    """A place in a text: its characters `start:end`, and what was found there."""

    start: int
    end: int
    found: T


class Words(Generic[T]):
    """A list of words; a word that begins or ends with `*` stands for a part of a word."""

    def __init__(self) -> None:
        self._whole: dict[str, T] = {}
        self._beginnings: dict[str, T] = {}
        self._ends: dict[str, T] = {}
        self._lengths_of_beginnings: set[int] = set()
        self._lengths_of_ends: set[int] = set()
        self._parts: dict[str, T] = {}
        # By the length of heads: the lengths of the parts that begin with a head.
        self._heads: dict[int, dict[str, set[int]]] = {}

    def add(self, entry: str, found: T) -> None:
        """Add a word; the first of several that mean the same counts.

        Raises:
            ValueError: The entry is not one word; the text says why, to follow "The word x".
        """
        plain = plain_word(entry)
        before, after = entry.startswith("*"), entry.endswith("*")
        if before and after:
            self._parts.setdefault(plain, found)
            head = plain[:_HEAD]
            self._heads.setdefault(len(head), {}).setdefault(head, set()).add(len(plain))
        elif before:
            self._lengths_of_ends.add(len(plain))
            self._ends.setdefault(plain, found)
        elif after:
            self._lengths_of_beginnings.add(len(plain))
            self._beginnings.setdefault(plain, found)
        else:
            self._whole.setdefault(plain, found)

    def find(self, text: str) -> Iterator[Span[T]]:
        """Yield the places of a text that hold a word of the list; they may overlap."""
        for start, token in _tokens(text):
            yield from self._in_word(token, start)
            if "_" in token or "-" in token or "." in token:
                # `a.b` may be one word that somebody disguised, or two.
                for piece in _PIECE.finditer(token):
                    if piece[0] != token:
                        yield from self._in_word(piece[0], start + piece.start())

    def _in_word(self, token: str, start: int) -> Iterator[Span[T]]:
        if token.isalnum() and token.isascii():  # the usual case: each character is compared as it is
            for first, last, found in self._hits(token.lower()):
                yield Span(start + first, start + last, found)
            return
        word, places = folded_with_map(token)
        for first, last, found in self._hits(word):
            yield Span(start + places[first][0], start + places[last - 1][1], found)

    def _hits(self, word: str) -> list[tuple[int, int, T]]:
        size = len(word)
        hits = []
        found = self._whole.get(word)
        if found is not None:
            hits.append((0, size, found))
        for length in self._lengths_of_beginnings:
            found = self._beginnings.get(word[:length])
            if found is not None and length <= size:
                hits.append((0, length, found))
        for length in self._lengths_of_ends:
            found = self._ends.get(word[-length:])
            if found is not None and length <= size:
                hits.append((size - length, size, found))
        if self._heads:
            hits += self._within(word)
        return hits

    def _within(self, word: str) -> Iterator[tuple[int, int, T]]:
        for head, lengths in self._heads.items():
            for first in range(len(word) - head + 1):
                for length in lengths.get(word[first : first + head], ()):
                    found = self._parts.get(word[first : first + length])
                    if found is not None:
                        yield first, first + length, found


def plain_word(entry: str) -> str:
    """Return an entry of a list as words are compared, without `*` at its ends.

    Raises:
        ValueError: It is not one word; the text says why, to follow "The word x".
    """
    inner = entry.removeprefix("*").removesuffix("*")
    if any(map(is_separator, inner)):
        raise ValueError("holds a space, punctuation or a picture; each entry is one word")
    plain, _ = folded_with_map(inner)
    if not plain:
        raise ValueError("has no letter or digit")
    return plain


def masked(text: str, spans: list[tuple[int, int]]) -> str:
    """Return a text with the characters of some spans replaced by asterisks, one for each."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = "*" * (end - start)
    return "".join(characters)


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    if text.isascii():
        words = _ASCII_WORD.finditer(text)
    else:
        words = _WORD.finditer("".join([" " if is_separator(character) else character for character in text]))
    return ((match.start(), match[0]) for match in words)


# The texts in a value.


class Text(NamedTuple):
    """A text in a value: its bytes `start:end` there, quotes included, and the text itself."""

    start: int
    end: int
    text: str


def texts(raw: bytes) -> list[Text]:
    """Return the texts in a value of JSON, those nested too deeply and the keys of objects excepted.

    Args:
        raw: JSON text.
    """
    if raw[:1] not in (b'"', b"[", b"{"):
        return []
    found: list[Text] = []
    depth, left = 0, MOST_CHARACTERS
    for number, match in enumerate(_TOKEN.finditer(raw)):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
        elif token in (b"]", b"}"):
            depth -= 1
        elif depth <= _DEEPEST and not _KEY_FOLLOWS.match(raw, match.end()):
            text = jsontext.loads(token)[:left]
            left -= len(text)
            found.append(Text(match.start(), match.end(), text))
        if left <= 0 or number >= _MOST_TOKENS:
            break
    return found


def replaced(raw: bytes, changes: list[tuple[Text, str]]) -> bytes:
    """Return a value with some of its texts replaced, and everything else as it was.

    Args:
        raw: JSON text.
        changes: The texts to replace, in their order, each with the new text. What was cut off a long text stays.
    """
    parts, done = [], 0
    for old, new in changes:
        rest = jsontext.loads(raw[old.start : old.end])[len(old.text) :]
        parts += [raw[done : old.start], jsontext.dumps(new + rest)]
        done = old.end
    return b"".join([*parts, raw[done:]])
