"""Recognises complete server programs among files that should be plugins, by parsing them.

Users of CloudLink 0.2.0 have a script that creates and runs the server; loaded as a plugin, it does nothing
or fails.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OLD_CLASSES = {"Cloudlink", "CloudLink"}
_SERVERS = {"server", "Server"}


class Program(Enum):
    """The kinds of files that create a server of their own."""

    SCRIPT = "a script that makes a server and runs it"
    OLD_SCRIPT = "the same for CloudLink 0.1"


def program_in(file: Path) -> Program | None:
    """Return which kind of program a Python file is, None if it is not a program or cannot be read."""
    tree = _parsed(file)
    if not any(_imports_cloudlink(node) for node in ast.walk(tree)):
        return None
    called = set(_called(tree))
    if called & _OLD_CLASSES:
        return Program.OLD_SCRIPT
    return Program.SCRIPT if called & _SERVERS and called & {"run", "serve"} else None


def how_to_run(file: Path) -> str:
    """Return the command that runs a file as a program."""
    return f"{sys.executable} {file}"


def forgotten_self(file: Path) -> str:
    """Return an error text about the first class that takes a server but not `self`; empty if there is none."""
    for found in (node for node in _parsed(file).body if isinstance(node, ast.ClassDef)):
        for method in found.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                names = [argument.arg for argument in (*method.args.posonlyargs, *method.args.args)]
                if names[:1] == ["server"]:
                    return (
                        f"{found.name}.__init__ at line {method.lineno} must take "
                        f"({', '.join(['self', *names])}), not ({', '.join(names)})"
                    )
    return ""


def _parsed(file: Path) -> ast.Module:
    """Return the syntax tree of a file, an empty one if it cannot be parsed."""
    try:
        with tokenize.open(file) as opened:
            return ast.parse(opened.read())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _imports_cloudlink(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] == "cloudlink"
    return isinstance(node, ast.Import) and any(
        alias.name.partition(".")[0] == "cloudlink" for alias in node.names
    )


def _called(tree: ast.AST) -> Iterator[str]:
    """Yield the last part of each called name: `server` for `cloudlink.server()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node.func.id
