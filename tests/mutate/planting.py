"""Single faults in a source file: what a tired programmer writes instead, found in the syntax tree.

Annotations, docstrings, imports, log lines and constants that only describe are left alone.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_LOGGERS = ("logger", "_picows")


@dataclass(frozen=True)
class Fault:
    """A fault in a file.

    Attributes:
        file: The file, relative to the repository.
        line: The number of the first line that it changes.
        before: The source that it replaces, on one line.
        after: What it is replaced by, on one line.
        text: The whole source of the file with the fault.
        lines: The lines of what it replaces.
        around: The lines of the statement with it, without those of statements inside.
    """

    file: str
    line: int
    before: str
    after: str
    text: str
    lines: range
    around: range

    @property
    def is_python(self) -> bool:
        """Whether the file can be read at all; a fault that any start would show says nothing about tests."""
        try:
            ast.parse(self.text)
        except SyntaxError:
            return False
        return True

    @property
    def key(self) -> str:
        """What recognizes the fault in other versions of the file."""
        return f"{self.file} | {self.before} | {self.after}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}\n    - {self.before}\n    + {self.after}"


def faults_in(file: str, source: str) -> Iterator[Fault]:
    """Yield every fault that can be planted in a file."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    data = source.encode()
    tree = ast.parse(source)
    around = _statements(tree)
    for node, changed in _changes(tree):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        text = (data[:begin] + changed.encode() + data[end:]).decode()
        before = "".join(lines[node.lineno - 1 : node.end_lineno])
        head = data[starts[node.lineno - 1] : begin].decode()
        rest = data[end : starts[node.end_lineno]].decode()
        own = range(node.lineno, node.end_lineno + 1)
        yield Fault(
            file, node.lineno, _one_line(before), _one_line(head + changed + rest), text, own, around[node]
        )


def _statements(tree: ast.Module) -> dict[ast.AST, range]:
    """Return the lines of the statement around each node, without those of statements inside."""
    found: dict[ast.AST, range] = {}

    def visit(node: ast.AST, lines: range) -> None:
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            body = getattr(node, "body", None)
            end = body[0].lineno if isinstance(body, list) and body else node.end_lineno + 1
            lines = range(node.lineno, max(end, node.lineno + 1))
        found[node] = lines
        for child in ast.iter_child_nodes(node):
            visit(child, lines)

    visit(tree, range(0))
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield nodes and what replaces them."""
    for node in _meant(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            yield node.type, "ZeroDivisionError"
        yield from ((node, changed) for changed in _instead_of(node))


def _meant(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that do something when the program runs."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _only_describes(child):
                yield child
                yield from _meant(child)


def _only_describes(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Expr):
        call = node.value
        return isinstance(call, ast.Constant) or (
            isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[0] in _LOGGERS
        )
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("__all__", "__slots__", "logger")
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ("cast", "TypeVar", "option", "field")
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr))


def _instead_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            if type(operator) in _COMPARISONS:
                other = copy.deepcopy(node)
                other.ops[number] = _COMPARISONS[type(operator)]()
                yield ast.unparse(other)
    elif isinstance(node, ast.BoolOp):
        other_operator = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.unparse(ast.BoolOp(other_operator, node.values))
        for number in range(len(node.values)):
            rest = node.values[:number] + node.values[number + 1 :]
            yield ast.unparse(ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0])
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        yield from _other_arithmetic(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield ast.unparse(node.operand)
    elif isinstance(node, ast.Constant):
        yield from _other_constant(node.value)
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield "continue" if isinstance(node, ast.Break) else "break"
    else:
        yield from _other_statement(node)


def _other_arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[str]:
    if type(node.op) in _ARITHMETIC:
        other = copy.deepcopy(node)
        other.op = _ARITHMETIC[type(node.op)]()
        yield ast.unparse(other)
    if isinstance(node, ast.AugAssign):
        yield "pass"


def _other_constant(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
    elif isinstance(value, float):
        yield str(2 * value if value else 1.0)


def _other_statement(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Expr):
        yield "pass"
    elif isinstance(node, (ast.Assign, ast.Delete)) and not (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Tuple))
    ):
        yield "pass"  # a local name that is missing would be noticed by any test
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return None"
