"""The JSON of `cloudlink vars export` and `import`: `{project: {name: value}}`.

`import` also takes a database of TurboWarp's cloud-server, whose rows have the same objects (`cloudlink.cli.cloudserver`).

Values keep their spelling: `1.0` stays `1.0`, and no digit of a long number is lost.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
from pathlib import Path

from cloudlink import jsontext
from cloudlink.errors import StartError

_SQLITE = b"SQLite format 3\0"
_TEXT_START = 0x22
_VALUE_STARTS = b'"-0123456789'
_NOT_ASCII = re.compile(r"[^\x20-\x7e\n]")


def text_of(projects: dict[str, dict[str, bytes]]) -> str:
    """Return projects as JSON text, one variable a line, in the given order."""
    blocks = [
        f"  {quoted(project)}: {{\n"
        + ",\n".join(f"    {quoted(name)}: {value.decode()}" for name, value in variables.items())
        + "\n  }"
        for project, variables in projects.items()
    ]
    return "{\n" + ",\n".join(blocks) + "\n}\n" if blocks else "{}\n"


def read(source: str) -> dict[str, dict[str, bytes]]:
    """Read projects from a file, or from standard input for `-`.

    Raises:
        StartError: The file cannot be read, or does not have the format of `text_of`.
    """
    name = "Standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except FileNotFoundError:
        raise StartError(f"There is no file {name}.") from None
    except OSError as error:
        raise StartError(f"{name} cannot be read: {error.strerror}.") from None
    if source != "-" and data.startswith(_SQLITE):
        from cloudlink.cli import cloudserver  # noqa: PLC0415  # loads SQLite

        rows = cloudserver.read(source)
        return {project: _variables(project, text, name) for project, text in rows.items()}
    try:
        # Editors on Windows put a byte order mark first.
        projects = jsontext.members(data.decode("utf-8-sig").encode())
    except UnicodeDecodeError:
        raise StartError(
            f"{name} is not an export of CloudLink: it is not UTF-8 text; nothing was written."
        ) from None
    except jsontext.JSONTextError as error:
        raise StartError(f"{name} is not an export of CloudLink: {error}; nothing was written.") from None
    return {project: _variables(project, text, name) for project, text in projects.items()}


def _variables(project: str, text: bytes, name: str) -> dict[str, bytes]:
    try:
        variables = jsontext.members(text)
    except jsontext.JSONTextError:
        raise StartError(
            f"{name} is not an export of CloudLink: the project {quoted(project)} must be an object of names and values; "
            f"nothing was written."
        ) from None
    for variable, value in variables.items():
        if value[0] not in _VALUE_STARTS or (value[0] != _TEXT_START and math.isinf(float(value))):
            raise StartError(
                f"{name} is not an export of CloudLink: the variable {quoted(variable)} of project {quoted(project)} "
                f"must be a finite number or text; nothing was written."
            )
    return variables


def print_text(text: str) -> None:
    """Print JSON text.

    For a terminal, control characters are escaped; so are characters that the encoding of a terminal or pipe
    lacks. Escapes are JSON too.
    """
    try:
        sys.stdout.write(terminal_text(text) if sys.stdout.isatty() else text)
    except UnicodeEncodeError:
        sys.stdout.write(ascii_text(text))


def write_text(text: str, output: Path, *, storage: Path) -> None:
    """Write JSON text to a file; if that fails, the file keeps its contents.

    Raises:
        StartError: The file cannot be written, or is the storage file itself.
    """
    if output.resolve() == storage.resolve():
        raise StartError(f"{output} is the storage file itself; name another file with --output.")
    draft = output.with_name(f"{output.name}.{os.getpid()}")
    try:
        if output.exists() and not output.is_file():  # /dev/stdout, a named pipe
            with output.open("w", encoding="utf-8") as file:
                file.write(terminal_text(text) if file.isatty() else text)
            return
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(output)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StartError(f"{output} cannot be written: {error.strerror}.") from None


def quoted(name: str) -> str:
    """Return a name as JSON text, with escapes only where they are required."""
    text = json.dumps(name, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair cannot be encoded as UTF-8.
        return json.dumps(name)
    return text


def ascii_text(text: str) -> str:
    """Return JSON text with an escape for each non-ASCII character."""
    return _NOT_ASCII.sub(lambda match: _escape(match[0]), text)


def terminal_text(text: str) -> str:
    """Return JSON text with an escape for each unprintable character except line ends."""
    return "\n".join(
        line if line.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in line)
        for line in text.split("\n")
    )


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1].replace("\x7f", "\\u007f")
