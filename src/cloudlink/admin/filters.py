"""Word filters: lists of words or regular expressions, and what happens to whoever uses one.

This module finds and masks; `cloudlink.admin.policy` acts.
"""

from __future__ import annotations

import secrets
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from cloudlink.admin.actors import AdminError
from cloudlink.admin.targets import invalid
from cloudlink.admin.words import MOST_CHARACTERS, Span, Words, masked, plain_word, replaced, texts
from cloudlink.slices import finish, sliced
from cloudlink.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cloudlink.slices import Slices

Action = Literal["notice", "mask", "block", "mute", "kick"]
Scope = Literal["messages", "names", "rooms", "variables"]

ACTIONS: tuple[Action, ...] = ("notice", "mask", "block", "mute", "kick")
"""What may happen, the mildest first; of several filters that match, the strictest acts."""
SCOPES: tuple[Scope, ...] = ("messages", "names", "rooms", "variables")
DEFAULT_SCOPE: tuple[Scope, ...] = ("messages", "names")

MOST_FILTERS = 100
MOST_WORDS = 5000
LONGEST_WORD = 32
MOST_EXPRESSIONS = 50
LONGEST_EXPRESSION = 256
DEFAULT_MUTE = 300
"""Seconds of a mute by a filter that says no other time."""
LONGEST_MUTE = 604_800

_SLOW_IN_TEST = 0.002
"""Seconds of a trial run beyond which an expression is refused."""
_SLOW = 0.005
"""Seconds of a run beyond which it counts as slow."""
_MOST_SLOW_RUNS = 3
_MOST_MATCHES = 100
"""Matches of an expression in a text that are masked one by one; beyond them, the rest of the text is masked."""
_TRIAL_RUNS = 3
_WORDS_AT_ONCE = 20
"""Words that are checked, or prepared, in one slice."""
_LARGEST_SHARED = 1 << 40
_TRIALS = ("a" * MOST_CHARACTERS, ("The quick brown fox. " * MOST_CHARACTERS)[:MOST_CHARACTERS])


class Expression(Protocol):
    """A compiled regular expression."""

    def finditer(self, text: str) -> Iterator[Any]:
        """Yield the matches."""
        ...


class Filter(msgspec.Struct, kw_only=True, eq=False):
    """One filter.

    Attributes:
        id: Its number.
        kind: `words` or `regex`.
        entries: The words, or the regular expressions.
        action: What happens to a text that has one of them.
        scope: Where it looks.
        seconds: How long a mute lasts, None for the usual time.
        by: Who made it.
        at: Unix time at which it was made.
    """

    id: int
    kind: Literal["words", "regex"]
    entries: list[str]
    action: Action
    scope: list[Scope]
    seconds: int | None = None
    by: str = ""
    at: int = 0

    def record(self) -> dict[str, Any]:
        """Return it as a dict."""
        return {field: getattr(self, field) for field in self.__struct_fields__}


def from_record(record: dict[str, Any]) -> Filter:
    """Return a filter that `record` made. Raises `msgspec.ValidationError`."""
    return msgspec.convert(record, Filter)


class Finding(msgspec.Struct, frozen=True):
    """The result of checking a value or a text with filters.

    Attributes:
        filter: The one that acts.
        text: The first word that it found.
        masked: The value or text with all words masked of filters that mask.
        notices: The filters that matched and only give notice.
    """

    filter: Filter
    text: str
    masked: bytes
    notices: tuple[Filter, ...] = ()


class Filters:
    """All filters, and what they find.

    Args:
        clock: Returns the time in seconds, for measuring.

    Attributes:
        is_shared: Whether other nodes of a cluster have the same filters.
        on_off: Called with a filter that is switched off because it is slow.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.on_off: Callable[[Filter], None] = lambda _filter: None
        self._clock = clock
        self._filters: dict[int, Filter] = {}
        self._words: dict[Scope, Words[Filter]] = {}
        self._expressions: dict[int, list[Expression]] = {}
        self._slow_runs: dict[int, int] = {}
        self._off: set[int] = set()
        self._scopes: frozenset[str] = frozenset()
        self._last = 0
        self._version = 0  # the number of changes
        self.is_shared = False

    def __len__(self) -> int:
        return len(self._filters)

    def __iter__(self) -> Iterator[Filter]:
        return iter(self._filters.values())

    def holds(self, one: Filter) -> bool:
        """Return whether there is exactly this filter."""
        known = self._filters.get(one.id)
        return known is not None and known.record() == one.record()

    def next_id(self) -> int:
        """Return a number that no filter has had."""
        if self.is_shared:  # other nodes may give out numbers at the same time, and cannot be asked
            return secrets.randbelow(_LARGEST_SHARED) + 1
        self._last += 1
        return self._last

    def get(self, number: int) -> Filter | None:
        """Return the filter of a number, None if there is none."""
        return self._filters.get(number)

    def is_off(self, number: int) -> bool:
        """Return whether a filter is switched off, because it is slow or cannot be compiled here."""
        return number in self._off

    def looks_at(self, scope: Scope) -> bool:
        """Return whether a filter looks there."""
        return scope in self._scopes

    def putting(self, one: Filter) -> Slices[None]:
        """Add a filter once its words are prepared, so that the first message that is checked does not wait for that."""
        words: dict[Scope, Words[Filter]] = {}
        while True:
            version = self._version
            for scope in one.scope:
                words[scope] = yield from self._preparing(scope, [*self, one])
            if version == self._version:  # no other filter was added or removed meanwhile
                break
        self.put(one)
        self._words |= words

    def put(self, one: Filter) -> None:
        """Add a filter at once. One with expressions that cannot be compiled here is off."""
        self._last = max(self._last, one.id)
        self._filters[one.id] = one
        if one.kind == "regex":
            try:
                self._expressions[one.id] = [compiled(entry) for entry in one.entries]
            except AdminError:
                self._off.add(one.id)
        self._changed(one.scope)

    def drop(self, number: int) -> Filter | None:
        """Remove and return a filter, None if there is none."""
        self._expressions.pop(number, None)
        self._slow_runs.pop(number, None)
        self._off.discard(number)
        dropped = self._filters.pop(number, None)
        self._changed(dropped.scope if dropped is not None else ())
        return dropped

    def _changed(self, scopes: Iterable[Scope] = ()) -> None:
        self._version += 1
        for scope in scopes:
            self._words.pop(scope, None)
        self._scopes = frozenset(scope for one in self if one.id not in self._off for scope in one.scope)

    def check_room_for(self, kind: str, entries: list[str]) -> None:
        """Raise `AdminError` if there are too many filters, words or expressions to add these."""
        if len(self._filters) >= MOST_FILTERS:
            raise AdminError("too_many", f"There can be at most {MOST_FILTERS} filters; remove one first.")
        present = sum(len(one.entries) for one in self if one.kind == kind)
        most, what = (MOST_WORDS, "words") if kind == "words" else (MOST_EXPRESSIONS, "regular expressions")
        if present + len(entries) > most:
            raise AdminError(
                "too_many", f"There can be at most {most} {what} in all filters; {present} are there."
            )

    # Looking.

    def look_at_value(self, raw: bytes, scope: Scope) -> Finding | None:
        """Return what is found in the texts of a JSON value, None for nothing."""
        found: list[tuple[Filter, str]] = []
        changes = []
        for text in texts(raw):
            spans = list(self._spans(text.text, scope))
            found += [(span.found, text.text[span.start : span.end]) for span in spans]
            masks = _masks(spans)
            if masks:
                changes.append((text, masked(text.text, masks)))
        return _finding(found, replaced(raw, changes) if changes else raw)

    def look_at_text(self, text: str, scope: Scope) -> Finding | None:
        """Return what is found in a text, such as a name, None for nothing."""
        spans = list(self._spans(text[:MOST_CHARACTERS], scope))
        found = [(span.found, text[span.start : span.end]) for span in spans]
        return _finding(found, masked(text, _masks(spans)).encode(errors="surrogatepass"))

    def matches(self, text: str) -> Iterator[tuple[Filter, str]]:
        """Yield each filter that finds something in a text, and the first that it finds, wherever it looks."""
        for one in self:
            for scope in one.scope[:1]:
                spans = [span for span in self._spans(text[:MOST_CHARACTERS], scope) if span.found is one]
                if spans:
                    yield one, text[spans[0].start : spans[0].end]

    def _spans(self, text: str, scope: Scope) -> Iterator[Span[Filter]]:
        yield from self._words_in(scope).find(text)
        for number, expressions in self._expressions.items():
            one = self._filters[number]
            if scope in one.scope and number not in self._off:
                yield from self._run(one, expressions, text)

    def _words_in(self, scope: Scope) -> Words[Filter]:
        if scope not in self._words:
            self._words[scope] = finish(self._preparing(scope, self))
        return self._words[scope]

    @staticmethod
    def _preparing(scope: Scope, filters: Iterable[Filter]) -> Slices[Words[Filter]]:
        words: Words[Filter] = Words()
        # Of two filters with the same word, the stricter one acts.
        for one in sorted(filters, key=lambda one: -ACTIONS.index(one.action)):
            if one.kind == "words" and scope in one.scope:
                for part in sliced(one.entries, _WORDS_AT_ONCE):
                    for entry in part:
                        words.add(entry, one)
                    yield
        return words

    def _run(self, one: Filter, expressions: list[Expression], text: str) -> list[Span[Filter]]:
        began = self._clock()
        spans = [span for expression in expressions for span in _found(one, expression, text)]
        if self._clock() - began > _SLOW:
            self._slow_runs[one.id] = self._slow_runs.get(one.id, 0) + 1
            if self._slow_runs[one.id] >= _MOST_SLOW_RUNS:
                self._off.add(one.id)
                self._changed()
                self.on_off(one)
        return spans


def _found(one: Filter, expression: Expression, text: str) -> Iterator[Span[Filter]]:
    """Yield the matches of an expression in a text: all of them if they are to be masked, else the first.

    If there are very many, the last span covers the rest of the text, so that a message made for it neither holds the server
    up nor gets the filter switched off for being slow.
    """
    matches = (match for match in expression.finditer(text) if match.end() > match.start())
    for match in islice(matches, _MOST_MATCHES if one.action == "mask" else 1):
        yield Span(match.start(), match.end(), one)
    rest = next(matches, None) if one.action == "mask" else None
    if rest is not None:
        yield Span(rest.start(), len(text), one)


def checking_entries(
    kind: str, entries: Iterable[str], clock: Callable[[], float] = time.perf_counter
) -> Slices[None]:
    """Check the entries of a new filter.

    Raises:
        AdminError: `invalid` for a wrong word or expression, `unavailable` without google-re2, `too_slow`.
    """
    for part in sliced(entries, _WORDS_AT_ONCE if kind == "words" else 1):
        for entry in part:
            if kind == "words":
                _check_word(entry)
            else:
                _check_expression(entry, clock)
        yield


def _check_word(entry: str) -> None:
    if len(entry) > LONGEST_WORD:
        raise invalid("entries", f"has the word {quoted(entry)}, which is longer than {LONGEST_WORD}")
    try:
        plain_word(entry)
    except ValueError as error:
        raise invalid("entries", f"has the word {quoted(entry)}, which {error}") from None


def _check_expression(entry: str, clock: Callable[[], float]) -> None:
    if len(entry) > LONGEST_EXPRESSION:
        raise invalid("entries", f"has {quoted(entry)}, which is longer than {LONGEST_EXPRESSION} characters")
    expression = compiled(entry)
    if expression_matches(expression, ""):
        raise invalid("entries", f"has {quoted(entry)}, which matches every text, even an empty one")
    for trial in _TRIALS:
        times = []
        for _ in range(_TRIAL_RUNS):
            began = clock()
            expression_matches(expression, trial)
            times.append(clock() - began)
        if min(times) > _SLOW_IN_TEST:
            raise AdminError(
                "too_slow",
                f"The expression {quoted(entry)} takes more than {_SLOW_IN_TEST * 1000:g} ms for a long message; "
                "make it simpler.",
            )


def expression_matches(expression: Expression, text: str) -> bool:
    """Return whether an expression matches anywhere; all matches are looked for, as in a message."""
    return bool([True for _ in expression.finditer(text)])


def compiled(entry: str) -> Expression:
    """Compile a regular expression.

    Python's own expressions can be made to run for ever by a rule or by a text, so only RE2 is used, whose time
    grows with the text.

    Raises:
        AdminError: `unavailable` without google-re2, `invalid` for a wrong expression.
    """
    try:
        import re2  # noqa: PLC0415  # an extra, and only who uses it pays for it
    except ImportError:
        raise AdminError(
            "unavailable",
            "Regular expressions need google-re2, which is not installed: pip install 'cloudlink-server[regex]'.",
        ) from None
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    try:
        expression: Expression = re2.compile(entry, options)
    except (re2.error, UnicodeError) as error:
        raise invalid("entries", f"has {quoted(entry)}, which is not a regular expression: {error}") from None
    return expression


def _masks(spans: list[Span[Filter]]) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in spans if span.found.action == "mask"]


def _finding(found: list[tuple[Filter, str]], value: bytes) -> Finding | None:
    if not found:
        return None
    one, text = max(found, key=lambda pair: ACTIONS.index(pair[0].action))
    notices = {filter_.id: filter_ for filter_, _ in found if filter_.action == "notice"}
    return Finding(one, text, value, tuple(notices.values()))
