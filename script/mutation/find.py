"""Where a file can be changed in one small place, and how."""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent.parent / "cheaprouter"

MODULES = {"gateway": ("gateway.py", "world.py", "control.py")}
"""Rooms that are modules of the package's root, where they are more than one."""

NEAR: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
OPPOSITES = (ast.Lt, ast.GtE), (ast.Gt, ast.LtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)
OPPOSITE: dict[type, type] = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
SUM: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
EXTREME = {"min": "max", "max": "min"}
ORDERLESS = {"isinstance", "issubclass", "cast", "min", "max", "TypeVar", "NewType"}
UNSEEN = {"annotation", "returns", "decorator_list", "msg"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False)
class Mutant:
    """One change. `scope`: the first line of the function that has to run for it to matter; 0: it matters everywhere."""

    id: str
    room: str
    file: str
    number: int
    line: str
    change: str
    scope: int
    tree: ast.Module = field(repr=False)
    place: tuple[Any, Any] = field(repr=False)
    node: Any = field(repr=False)

    def source(self) -> str:
        """The file with the change."""
        holder, key = self.place
        before = _swap(holder, key, self.node)
        try:
            return ast.unparse(self.tree)
        finally:
            _swap(holder, key, before)


def _swap(holder: Any, key: Any, value: Any) -> Any:
    if isinstance(holder, list):
        before, holder[key] = holder[key], value
    else:
        before = getattr(holder, key)
        setattr(holder, key, value)
    return before


def _with(node: Any, **changes: Any) -> Any:
    new = copy.copy(node)
    for name, value in changes.items():
        setattr(new, name, value)
    return new


def _name(node: ast.AST) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def _left_alone(node: ast.AST) -> bool:
    """Log lines, assertions for mypy, texts, imports for mypy."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or bool(
            re.match(r"_?log(ger|ging)?\.", _name(node.value), re.IGNORECASE)
        )
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.Assert | ast.JoinedStr) or (isinstance(node, Function) and node.name == "__repr__")


def _compares(node: ast.Compare) -> Iterator[tuple[str, Any]]:
    for table, operator in ((NEAR, "boundary"), (OPPOSITE, "compare")):
        for index, op in enumerate(node.ops):
            if type(op) in table:
                yield operator, _with(node, ops=[*node.ops[:index], table[type(op)](), *node.ops[index + 1 :]])


def _expressions(node: ast.AST) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.Compare():
            yield from _compares(node)
        case ast.BinOp() if type(node.op) in SUM and not isinstance(node.left, ast.Constant | ast.JoinedStr | ast.List):
            yield "arithmetic", _with(node, op=SUM[type(node.op)]())
        case ast.BoolOp():
            yield "logic", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield "not", node.operand
        case ast.Constant(value=bool()):
            yield "constant", ast.Constant(not node.value)
        case ast.Constant(value=int() | float() as number):
            yield "constant", ast.Constant(number + 1)
        case ast.Call():
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[tuple[str, Any]]:
    name = _name(node)
    if name in EXTREME:
        yield "extreme", _with(node, func=ast.Name(EXTREME[name], ast.Load()))
    first, second = (*node.args, node, node)[:2]
    if name in ORDERLESS or len(node.args) < 2 or ast.dump(first) == ast.dump(second):
        return
    if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
        yield "arguments", _with(node, args=[second, first, *node.args[2:]])


def _statements(node: ast.AST, function: str) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.AugAssign():
            if type(node.op) in SUM:
                yield "arithmetic", _with(node, op=SUM[type(node.op)]())
            yield "remove", ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise():
            yield "remove", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) if not function.endswith("__init__"):
            yield "remove", ast.Pass()
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            yield "return", _with(node, value=None)
        case ast.Break():
            yield "flow", ast.Continue()
        case ast.Continue():
            yield "flow", ast.Break()


class Finder:
    """Every mutant of one file, in the order of the source."""

    def __init__(self, room: str, path: Path) -> None:
        self.room, self.file = room, str(path.relative_to(PACKAGE))
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.tree = ast.parse("\n".join(self.lines))
        self.found: list[Mutant] = []
        self.counts: Counter[str] = Counter()
        for index, node in enumerate(self.tree.body):
            self.walk((self.tree.body, index), node, "", 0)

    def walk(self, place: tuple[Any, Any], node: ast.AST, function: str, scope: int, *, default: bool = False) -> None:
        """This node's mutants, then those of what it holds; `function` is its qualified name."""
        if _left_alone(node):
            return
        for operator, new in chain(_expressions(node), _statements(node, function)):
            self.add(place, node, new, function, "default" if default else operator, scope)
        outer = scope
        if isinstance(node, ast.ClassDef | Function):
            function = f"{function}.{node.name}".lstrip(".")
        if isinstance(node, Function):
            scope = min(node.lineno, *(decorator.lineno for decorator in node.decorator_list), node.lineno)
        for name, value in ast.iter_fields(node):
            if name in UNSEEN:
                continue
            for key, child in enumerate(value) if isinstance(value, list) else ((name, value),):
                if isinstance(child, ast.AST):
                    where = (value if isinstance(value, list) else node, key)
                    self.test(node, name, where, child, function, scope)
                    self.walk(where, child, function, outer if name == "args" else scope, default="defaults" in name)

    def test(self, node: ast.AST, name: str, place: tuple[Any, Any], child: Any, function: str, scope: int) -> None:
        """A condition turned round, where no operator in it could be."""
        condition = name == "ifs" or (name == "test" and isinstance(node, ast.If | ast.IfExp))
        if condition and not isinstance(child, ast.Compare | ast.BoolOp | ast.UnaryOp):
            self.add(place, child, ast.UnaryOp(ast.Not(), child), function, "not", scope)

    def add(self, place: tuple[Any, Any], node: Any, new: Any, function: str, operator: str, scope: int) -> None:
        key = f"{self.file}:{function or '<module>'}:{operator}"
        line = self.lines[node.lineno - 1].strip()
        change = f"{_short(node)} → {_short(new)}"
        name = f"{key}:{self.counts[key]}"
        self.counts[key] += 1
        self.found.append(Mutant(name, self.room, self.file, node.lineno, line, change, scope, self.tree, place, new))


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else text[:87] + "…"


def room_of(name: str) -> str:
    """The room of a mutant's id or of a file."""
    first = name.split(":", maxsplit=1)[0].split("/", maxsplit=1)[0].removesuffix(".py")
    return next((room for room, modules in MODULES.items() if f"{first}.py" in modules), first)


def candidates(room: str) -> list[Mutant]:
    """Every mutant of a room."""
    modules = MODULES.get(room, (f"{room}.py",))
    paths = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / name for name in modules]
    return [mutant for path in paths for mutant in Finder(room, path).found]


def pick(rooms: list[str], seed: int, count: int) -> list[Mutant]:
    """Equal shares of the rooms, as far as they have so many; what is picked stays so when code elsewhere changes."""

    def order(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed} {mutant.id} {mutant.line}".encode()).digest()

    turns = zip_longest(*(sorted(candidates(room), key=order) for room in rooms))
    return [mutant for turn in turns for mutant in turn if mutant is not None][:count]
