"""Names as they are compared: what looks alike, or differs in invisible characters only, is the same name.

Words of messages are compared in the same way, with a map from the compared characters to those of the message.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_IGNORED = frozenset("_-.")
_ROUNDS = 4
"""Most rounds of folding; removing a character can let two others compose, so one round is not always enough."""
_BLANK = "\u2800"  # the empty Braille pattern, which no category marks as a space
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + _BLANK)
"""Characters without a glyph whose category does not say so."""
_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
"""Variation selectors."""
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zs", "Zl", "Zp"})
_JAMO = range(0x1160, 0x1200)
"""Vowels and finals of Hangul, which compose with the letter before them."""
_LONGEST_CLUSTER = 32
"""The characters of a cluster that are looked at; sorting very many accents would take long."""
_SEPARATORS = frozenset("ZP")
_SYMBOL = "So"


def fold(name: str) -> str:
    """Return a name in the form in which names are compared.

    NFKC and casefold, without invisible characters, spaces, `_`, `-` and `.`. A name of such characters only is
    compared without removing them, so that two of them are not the same.
    """
    if name.isascii():  # the usual case
        lower = name.lower()
        return lower.translate(_ASCII_WITHOUT_IGNORED) or lower
    return _fold(name)


@lru_cache(maxsize=16384)
def _fold(name: str) -> str:
    return _folded(name) or unicodedata.normalize("NFKC", name).casefold()


def _folded(text: str) -> str:
    for _ in range(_ROUNDS):
        former = text
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(filter(_is_kept, text))
        if text == former:
            break
    return text


def _is_kept(character: str) -> bool:
    return not (character in _IGNORED or is_invisible(character))


@lru_cache(maxsize=4096)
def is_invisible(character: str) -> bool:
    """Return whether a character is a space or is not seen."""
    code = ord(character)
    return (
        character in _FILLERS
        or unicodedata.category(character) in _INVISIBLE
        or any(code in selectors for selectors in _SELECTORS)
    )


@lru_cache(maxsize=4096)
def is_separator(character: str) -> bool:
    """Return whether a character ends a word: a space, punctuation or a picture, but not `_`, `-` or `.`."""
    category = unicodedata.category(character)
    return character not in _IGNORED and (
        category[0] in _SEPARATORS
        or category == _SYMBOL
        or (category == "Cc" and character.isspace())
        or character == _BLANK
    )


_ASCII_WITHOUT_IGNORED = {code: None for code in range(128) if not _is_kept(chr(code))}
"""For `str.translate`."""


def folded_with_map(word: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a word as names are compared, and for each of its characters the place in the word it comes from.

    A run of folded characters `first:last` covers `word[places[first][0]:places[last - 1][1]]`.
    """
    if word.isascii():  # the usual case
        kept = [place for place, character in enumerate(word) if _is_kept(character)]
        return "".join([word[place] for place in kept]).lower(), [(place, place + 1) for place in kept]
    folded: list[str] = []
    places: list[tuple[int, int]] = []
    # The cluster: a character, and those after it that compose with it or are not seen.
    start, is_single = 0, True
    for place, character in enumerate(word):
        part, extends = _of_character(character)
        if extends and place:
            is_single = False
            continue
        if not is_single:
            _refold(word, start, place, folded, places)
        start, is_single = place, True
        folded.append(part)
        places += [(place, place + 1)] * len(part)
    if not is_single:
        _refold(word, start, len(word), folded, places)
    return "".join(folded), places


def _refold(word: str, start: int, end: int, folded: list[str], places: list[tuple[int, int]]) -> None:
    """Replace the entries of a cluster's first character by those of the whole cluster."""
    former = folded.pop()
    del places[len(places) - len(former) :]
    part = _folded(word[start : min(end, start + _LONGEST_CLUSTER)])
    while not _is_kept(word[end - 1]) and end > start + 1:
        end -= 1
    folded.append(part)
    places += [(start, end)] * len(part)


@lru_cache(maxsize=16384)
def _of_character(character: str) -> tuple[str, bool]:
    """Return a character as names are compared, and whether it may compose with the one before it."""
    part = _folded(character)
    first = part[:1]
    return part, not first or unicodedata.category(first)[0] == "M" or ord(first) in _JAMO
