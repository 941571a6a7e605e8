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
_SEPARATORS = frozenset("ZP")
_SYMBOL = "So"


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """Return a name in the form in which names are compared.

    NFKC and casefold, without invisible characters, spaces, `_`, `-` and `.`. A name of such characters only is
    compared without removing them, so that two of them are not the same.
    """
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


def folded_with_map(word: str) -> tuple[str, list[int]]:
    """Return a word as names are compared, and for each of its characters the place in the word it comes from.

    The list has one entry more, the length of the word, so that a run of folded characters `start:end` covers
    `word[places[start]:places[end]]`.
    """
    if word.isascii():  # as nearly always
        places = [place for place, character in enumerate(word) if _is_kept(character)]
        return "".join([word[place] for place in places]).lower(), [*places, len(word)]
    folded, places = [], []
    for start, cluster in _clusters(word):
        part = _cluster_folded(cluster)
        folded.append(part)
        places += [start] * len(part)
    return "".join(folded), [*places, len(word)]


def _clusters(word: str) -> list[tuple[int, str]]:
    """Split a word into characters, each with those after it that compose with it or are not seen."""
    clusters: list[tuple[int, str]] = []
    start = 0
    for place, character in enumerate(word):
        if place and not _extends(character):
            clusters.append((start, word[start:place]))
            start = place
    if word:
        clusters.append((start, word[start:]))
    return clusters


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    first = _folded(character)[:1]
    return not first or unicodedata.category(first)[0] == "M" or ord(first) in _JAMO


@lru_cache(maxsize=8192)
def _cluster_folded(cluster: str) -> str:
    return _folded(cluster)
