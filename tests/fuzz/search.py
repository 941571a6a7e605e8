"""Runs a target with one input after another until one fails, and makes that one as small as possible.

An input is a list of messages. A target fails when it raises anything, when something is logged as an error meanwhile,
when an exception is lost, or when it takes seconds of processor time.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Messages = list[bytes]

_ROUND = 50
"""Inputs between two looks at the clock."""
_MOST_TIME = 5.0
"""Seconds of processor time that an input may take."""
_SHRINKING = 20.0
"""Seconds for making a failing input smaller."""


@dataclass(frozen=True)
class Target:
    """Something that reads what strangers send.

    Attributes:
        inputs: The grammar of its inputs.
        run: Sends an input; raises an exception if something does not behave as it should.
    """

    inputs: st.SearchStrategy[Messages]
    run: Callable[[Messages], None]


@dataclass(frozen=True)
class Failure:
    """What went wrong.

    Attributes:
        messages: The smallest input that was found.
        text: The traceback, or what was logged.
    """

    messages: Messages
    text: str


class Stuck(BaseException):
    """An input takes too long; nothing that runs catches this."""


class Search:
    """The search for a failure of a target.

    Attributes:
        count: The number of inputs so far.
    """

    def __init__(self, target: Target, known: list[Messages], first_seed: int) -> None:
        """Args: known: The corpus: inputs to begin with, and to change a little."""
        self.count = 0
        self._target = target
        self._known = known
        self._seed = first_seed
        self._failure: Failure | None = None
        self._shrunk_until = 0.0

    def run(self, seconds: float) -> Failure | None:
        """Search for so many seconds, and return the failure, None if there is none."""
        end = time.monotonic() + seconds
        for messages in self._known:
            self._try(messages)
            if self._failure is not None:
                return self._failure
        inputs = self._target.inputs
        if self._known:
            inputs = inputs | inputs | _changed(st.sampled_from(self._known))
        number = 0
        while self._failure is None and time.monotonic() < end:
            self._search_once(inputs, f"{self._seed} {number}", end)
            number += 1
        return self._failure

    def _search_once(self, inputs: st.SearchStrategy[Messages], chance: str, end: float) -> None:
        @seed(chance)
        @settings(
            max_examples=_ROUND,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(inputs)
        def probe(messages: Messages) -> None:
            if self._failure is not None or time.monotonic() < end:
                self._probe(messages)

        # What Hypothesis prints is known already; a failure that does not happen each time counts too.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # about the size of what is sent
            with contextlib.suppress(Exception):
                probe()

    def _probe(self, messages: Messages) -> None:
        if self._failure is not None and time.monotonic() > self._shrunk_until:
            if messages != self._failure.messages:
                return
            raise AssertionError(self._failure.text)
        error = self._try(messages)
        if error is not None:
            raise AssertionError(error)

    def _try(self, messages: Messages) -> str | None:
        self.count += 1
        error = attempt(self._target, messages)
        if error is not None:
            if self._failure is None:
                self._shrunk_until = time.monotonic() + _SHRINKING
            if self._failure is None or _size(messages) <= _size(self._failure.messages):
                self._failure = Failure(messages, error)
        return error


def attempt(target: Target, messages: Messages) -> str | None:
    """Run a target with an input, and return what went wrong, None if nothing did."""
    with _watched() as lines, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with _limited():
                target.run(messages)
        except Stuck:
            return f"It took more than {_MOST_TIME:g} seconds of processor time."
        except Exception:  # noqa: BLE001  # whatever it is, it is reported
            return traceback.format_exc()
    return "\n".join(lines) or None


def _size(messages: Messages) -> tuple[int, int]:
    return len(messages), sum(map(len, messages))


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Interrupt what takes too much processor time; waiting, and other programs, do not count."""

    def stop(*_details: object) -> None:
        raise Stuck

    former = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, _MOST_TIME)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


class _Errors(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextlib.contextmanager
def _watched() -> Iterator[list[str]]:
    """Collect what is logged as an error, and the exceptions that nobody could catch."""
    lines: list[str] = []
    handler = _Errors(lines)
    former = sys.unraisablehook
    sys.unraisablehook = lambda lost: lines.append(f"{lost.err_msg or 'lost'}: {lost.exc_value!r}")
    logging.getLogger().addHandler(handler)
    try:
        yield lines
    finally:
        gc.collect(0)  # tasks with exceptions that nobody has read say so now
        logging.getLogger().removeHandler(handler)
        sys.unraisablehook = former


def _changed(inputs: st.SearchStrategy[Messages]) -> st.SearchStrategy[Messages]:
    """Inputs of which a message is left out, repeated, cut, or has bytes put in or replaced."""
    return st.builds(
        _change,
        inputs,
        st.sampled_from(["omit", "repeat", "cut", "insert", "replace"]),
        st.integers(0, 20),
        st.integers(0, 300),
        st.binary(min_size=1, max_size=4),
    )


def _change(messages: Messages, how: str, number: int, at: int, junk: bytes) -> Messages:
    number %= max(1, len(messages))
    before, chosen, after = messages[:number], messages[number : number + 1], messages[number + 1 :]
    if how in ("omit", "repeat"):
        return [*before, *(chosen * 2 if how == "repeat" else []), *after]
    data = chosen[0] if chosen else b""
    at %= len(data) + 1
    rest = {"cut": b"", "insert": junk + data[at:], "replace": junk + data[at + len(junk) :]}[how]
    return [*before, data[:at] + rest, *after]
