"""Trying something step by step, and reporting what is wrong: `cloudlink doctor` and `cloudlink bridge test`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    Examination = Callable[[Callable[[str], None]], Coroutine[None, None, Iterable[str]]]
    """Tries all steps: gets a function to report each success with, and returns notes; raises `ClientError`."""


def run(examine: Examination) -> tuple[int, bool]:
    """Try all steps and print the results.

    Returns:
        The exit status, 0 if nothing is wrong and 1 otherwise, and whether there are notes.
    """
    from cloudlink.client.errors import ClientError, ConnectError  # noqa: PLC0415  # the other commands do without it

    try:
        notes = list(asyncio.run(examine(lambda text: report("ok", text))))
    except ConnectError as error:
        report("WRONG", error.problem)
        if error.remedy:
            report("", error.remedy)
        return 1, False
    except ClientError as error:
        report("WRONG", str(error))
        return 1, False
    for note in notes:
        report("note", note)
    return 0, bool(notes)


def report(mark: str, text: str) -> None:
    """Print one line with its mark."""
    print(f"{mark:<7}{printable(text)}", flush=True)
