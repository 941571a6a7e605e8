"""`cloudlink migrate`: says line by line what to change in scripts written for CloudLink 0.1.x or 0.2.0.

`cloudlink.cli.migration` reads them; they are not run and not changed.
"""

from __future__ import annotations

import tokenize
from typing import TYPE_CHECKING

from cloudlink.cli import migration
from cloudlink.cli.storagefile import print_text
from cloudlink.errors import StartError
from cloudlink.text import counted, one_line, printable

if TYPE_CHECKING:
    import argparse

HELP = "Say what to change in a script for CloudLink 0.1 or 0.2."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files."""
    parser.add_argument("files", metavar="FILE.py", nargs="+", help="a script, which is read but not run")


def run(arguments: argparse.Namespace) -> int:
    """Print the lines to change, and return 0 if there are none, else 1.

    Raises:
        StartError: A file does not exist, cannot be read, or is not Python 3.
    """
    reports = [(file, _read(file)) for file in arguments.files]
    for file, report in reports:
        for found in report.findings:
            print_text(printable(f"{file}:{found.line}: instead of {found.name}: {found.successor}"))
        print_text(printable(f"{file} is {report.kind}: {_outcome(report)}"))
    return int(any(report.findings for _, report in reports))


def _outcome(report: migration.Report) -> str:
    if not report.findings:
        return "nothing to change."
    return f"{counted(len(report.findings), 'change')}; docs/migrating.md has whole scripts to compare with."


def _read(file: str) -> migration.Report:
    try:
        with tokenize.open(file) as opened:
            return migration.read(opened.read())
    except OSError as error:
        raise StartError(f"Cannot read {file}: {error.strerror}.") from None
    except SyntaxError as error:
        place = f" (line {error.lineno})" if error.lineno else ""
        raise StartError(
            f"{file} is not Python 3{place}: {one_line(error.msg)}; if it was written for Python 2, convert it first."
        ) from None
    except ValueError:
        raise StartError(f"{file} is not a Python script: it contains bytes that are not text.") from None
