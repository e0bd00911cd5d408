"""The changes that are tried: where a test is decided, what is combined, what is returned, what is left out."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip
_FUNCTIONS: Final = {"sorted": "list", "min": "max", "max": "min", "any": "all", "all": "any"}
# Read by the type checker, or what every module would fail without.
_SKIPPED_FIELDS: Final = {"annotation", "returns", "type_params", "decorator_list"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of a module.

    Attributes:
        name: `function: before -> after`, with a number where a function has the same change several times.
        line: Where the change is.
        function: First line of the function or method that it is in, its decorators included; None outside of all.
        parent: The node whose field changes.
        field: The field.
        index: Of the child in the field; None for a field that is no list.
        replacement: The other child; None where it is left out.
    """

    name: str
    line: int
    function: int | None
    parent: ast.AST
    field: str
    index: int | None
    replacement: ast.AST | None

    def apply(self) -> None:
        """Change the tree."""
        if self.index is None:
            setattr(self.parent, self.field, self.replacement)
        elif self.replacement is None:
            del getattr(self.parent, self.field)[self.index]
        else:
            getattr(self.parent, self.field)[self.index] = self.replacement
        ast.fix_missing_locations(self.parent)


def mutants(tree: ast.Module) -> list[Mutant]:
    """Return the changes of a module, in the order of its lines."""
    counts: Counter[str] = Counter()
    found: list[Mutant] = []
    for place in _places(tree, "", None):
        for replacement in _replacements(place.child, place.parent, place.field):
            name = f"{place.scope or 'module'}: {_text(place.child)} -> {_text(replacement)}"
            counts[name] += 1
            found.append(
                Mutant(
                    name=name if counts[name] == 1 else f"{name} #{counts[name]}",
                    line=getattr(place.child, "lineno", 0) or getattr(place.parent, "lineno", 0),
                    function=place.function,
                    parent=place.parent,
                    field=place.field,
                    index=place.index,
                    replacement=replacement,
                )
            )
    return sorted(found, key=lambda mutant: mutant.line)


@dataclass(frozen=True, kw_only=True)
class _Place:
    parent: ast.AST
    field: str
    index: int | None
    child: ast.AST
    scope: str
    function: int | None


def _places(parent: ast.AST, scope: str, function: int | None) -> Iterator[_Place]:
    """Yield every node below one with its place, but those without a meaning for what the code does."""
    for field, value in ast.iter_fields(parent):
        if field in _SKIPPED_FIELDS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(child, ast.AST) or _is_skipped(child):
                continue
            yield _Place(parent=parent, field=field, index=index, child=child, scope=scope, function=function)
            if isinstance(child, ast.Raise | ast.JoinedStr):
                continue  # the text of a message
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                start = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                inside = function if function is not None or isinstance(child, ast.ClassDef) else start
                yield from _places(child, f"{scope}.{child.name}".lstrip("."), inside)
            else:
                yield from _places(child, scope, function)


def _is_skipped(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger")))):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "logger")]):
            return True
        case ast.FunctionDef(name="_repr_html_" | "__repr__"):
            return True
    return False


def _replacements(node: ast.AST, parent: ast.AST, field: str) -> Iterator[ast.AST | None]:
    """Yield what takes the place of a node, None to leave it out."""
    is_condition = (field == "test" and isinstance(parent, ast.If | ast.IfExp)) or field == "ifs"
    if is_condition:
        yield from (ast.Constant(value) for value in (True, False))
    if isinstance(node, ast.Compare):
        yield from _other_comparisons(node, is_condition=is_condition)
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.UnaryOp):
        yield from _other_operations(node)
    elif isinstance(node, ast.Constant | ast.JoinedStr):
        yield from _other_values(node)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.keyword):
        yield from () if node.arg is None else (None,)
    elif isinstance(node, ast.Return):
        yield from () if isinstance(node.value, ast.Constant | None) else (ast.Return(ast.Constant(None)),)
    elif isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Delete | ast.Break | ast.Continue):
        yield ast.Pass()


def _other_comparisons(node: ast.Compare, *, is_condition: bool) -> Iterator[ast.AST]:
    """Yield the comparison with the border on the other side, or the opposite one."""
    operator = node.ops[0]
    # Of a condition the opposite adds nothing to true and false.
    is_order = isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    if len(node.ops) == 1 and (is_order or not is_condition):
        yield ast.Compare(node.left, [_COMPARISONS[type(operator)]()], node.comparators)


def _other_operations(node: ast.BoolOp | ast.BinOp | ast.UnaryOp) -> Iterator[ast.AST]:
    """Yield an operation without one of its operands, and with another operator."""
    match node:
        case ast.BoolOp(op=operator, values=values):
            for i in range(len(values)):
                rest = values[:i] + values[i + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right):
            if isinstance(operator, ast.BitOr | ast.BitAnd | ast.Add | ast.Sub):
                yield from (left, right)
            if type(operator) in _ARITHMETIC:
                yield ast.BinOp(left, _ARITHMETIC[type(operator)](), right)


def _other_values(node: ast.Constant | ast.JoinedStr) -> Iterator[ast.AST]:
    match node:
        case ast.JoinedStr():
            yield ast.Constant("other")
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str(value)):
            yield ast.Constant(f"other {value}")
        case ast.Constant(value=bytes(value)):
            yield ast.Constant(b"other " + value)


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    match node.func:
        case ast.Name(id="abs"):
            yield node.args[0]
        case ast.Name(id=name) if name in _FUNCTIONS:
            kept = node.keywords if _FUNCTIONS[name] != "list" else []
            yield ast.Call(ast.Name(_FUNCTIONS[name], ast.Load()), node.args, kept)


def _text(node: ast.AST | None) -> str:
    if node is None or isinstance(node, ast.Pass):
        return "nothing"
    return ast.unparse(node).partition("\n")[0]
