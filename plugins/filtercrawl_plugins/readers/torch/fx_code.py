"""How the code of a `torch.fx.GraphModule` uses the parameters of its modules; it is parsed as text and never run.

The code has one operation a line (`torch/fx/graph.py`): a call, an operator, or an attribute of the module.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from filtercrawl_plugins.formats.pickle.objects import PickledBytes, Stub
from filtercrawl_plugins.readers.torch.weight_uses import WeightUses

MAX_CODE_BYTES: Final = 1 << 20
# Calls of `getattr` inside of each other, one for each numbered module on a path.
MAX_NESTING: Final = 16
# Modules on a path.
MAX_PATH: Final = 64

KeyPath = tuple[str, ...]

_GRAPH_MODULE: Final = "torch.fx.graph_module.GraphModule"
_GETATTR: Final = re.compile(r'getattr\((self(?:\.\w+)*), "(\w+)"\)')
_PATH: Final = re.compile(r"self((?:\.\w+)+)")
_NAME: Final = re.compile(r"[^\W\d]\w*")
_CALL: Final = re.compile(r"([\w.]+)\(")
_BRACKET: Final = re.compile(r"[()\[\]{},]")
# What else a weight can be convolved by, over the columns of `unfold`.
_PRODUCT: Final = re.compile(r" @ |(?:matmul|mm|einsum|linear|dot)\(")
_KNOWN: Final = ("torch.", "math.", "operator.", "_operator.")


@dataclass
class _Flow:
    """Variables and attributes that reach a place, found from the last line to the first."""

    variables: set[str] = field(default_factory=set)
    paths: set[KeyPath] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Add what an expression is computed from."""
        self.variables.update(_NAME.findall(text))

    def pass_line(self, variable: str, expression: str, path: KeyPath | None) -> None:
        """Go from a variable to what its line computes it from: an attribute of this path, or an expression."""
        if variable in self.variables:
            if path is not None:
                self.paths.add(path)
            else:
                self.add(expression)


def graph_code(stub: Stub) -> str:
    """Return the code of a graph module; empty for any other object, and if there is too much of it."""
    code = stub.attributes().get("_code") if stub.path == _GRAPH_MODULE else None
    if isinstance(code, PickledBytes) and code.length <= MAX_CODE_BYTES:
        code = code.file.read(code.start, code.length).decode("utf-8", "replace")
    return code if isinstance(code, str) and len(code) <= MAX_CODE_BYTES else ""


def code_uses(code: str) -> dict[KeyPath, WeightUses]:
    """Return how code uses attributes of modules, by the path of the module.

    Modules of whose attributes the code proves nothing are left out.
    """
    called, read = set[KeyPath](), set[KeyPath]()
    direct, computed, unknown = _Flow(), _Flow(), _Flow()
    unfolds = "unfold" in code or "im2col" in code
    for variable, expression in reversed(list(_statements(code))):
        path = _path(expression)
        if path is not None:
            read.add(path)
        call = _CALL.match(expression)
        name = call[1] if call else ""
        arguments = _arguments(expression[call.end() :]) if call else []
        unknown.pass_line(variable, expression, path)
        if name.startswith("self."):
            called.add(tuple(name.split(".")[1 : MAX_PATH + 1]))
        elif "conv" in name.rpartition(".")[2]:
            for weight in _weights(arguments):
                computed.add(weight)
                direct.add(weight if _NAME.fullmatch(weight) else "")
            unknown.add(",".join(arguments[2:]))
            continue
        direct.pass_line(variable, "", path)
        computed.pass_line(variable, expression, path)
        if not _is_followed(name, len(arguments)) or (unfolds and _PRODUCT.search(expression)):
            unknown.add(expression)
    return _by_module(read, called, computed.paths - direct.paths, direct.paths | computed.paths | unknown.paths)


def _by_module(
    read: set[KeyPath], called: set[KeyPath], computed: set[KeyPath], convolved: set[KeyPath]
) -> dict[KeyPath, WeightUses]:
    """Return the uses of each module that is not called itself.

    Args:
        read: Attributes that the code reads.
        called: Modules that the code calls: what they do with their attributes is not in the code.
        computed: Attributes that weights of convolutions are computed from.
        convolved: Attributes that convolutions may use in any way.
    """
    names: dict[KeyPath, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for path in read:
        if any(path[:length] in called for length in range(1, len(path))):
            continue
        if path in computed:
            names[path[:-1]][0].add(path[-1])
        elif path not in convolved:
            names[path[:-1]][1].add(path[-1])
    return {
        module: WeightUses(computed_from=frozenset(origins), not_convolved=frozenset(others))
        for module, (origins, others) in names.items()
    }


def _statements(code: str) -> Iterator[tuple[str, str]]:
    """Yield the variable and the expression of each line; what follows a semicolon only frees or renames variables.

    An operation in place, such as `a += b` or `a[0] = b`, is yielded as a call of a function that is not known.
    """
    for line in map(str.strip, code.splitlines()):
        if line.startswith(("#", "def ", "return")):
            continue
        variable, equals, expression = line.partition(";")[0].partition("= ")
        variable = variable.partition(":")[0].rstrip()
        if not equals:
            continue
        if not _NAME.fullmatch(variable):
            yield "", f"in_place({variable}, {expression})"
            continue
        for _ in range(MAX_NESTING):
            expression, replaced = _GETATTR.subn(r"\1.\2", expression)
            if not replaced:
                break
        yield variable, expression.strip()


def _path(expression: str) -> KeyPath | None:
    """Return the path of an attribute if that is all of an expression."""
    match = _PATH.fullmatch(expression)
    path = tuple(match[1].split(".")[1:]) if match else ()
    return path if 0 < len(path) <= MAX_PATH else None


def _arguments(text: str) -> list[str]:
    """Return the arguments of a call from the text behind its opening parenthesis."""
    arguments, start, depth = list[str](), 0, 0
    for bracket in _BRACKET.finditer(text):
        if bracket[0] in "([{":
            depth += 1
        elif depth and bracket[0] != ",":
            depth -= 1
        elif not depth:
            arguments.append(text[start : bracket.start()].strip())
            start = bracket.end()
            if bracket[0] != ",":
                break
    return [argument for argument in arguments if argument]


def _weights(arguments: list[str]) -> Iterator[str]:
    """Yield the argument of a convolution that is the weight: the second, or one by name."""
    for position, argument in enumerate(arguments[1:]):
        weight = argument.removeprefix("weight = ")
        if position == 0 or weight != argument:
            yield weight


def _is_followed(name: str, arguments: int) -> bool:
    """Return whether a call only computes its result from its arguments, and convolves with none of them.

    Args:
        name: Name of the function, or of a method of a variable or a module; empty for operators.
        arguments: Number of arguments.
    """
    head, dot, function = name.rpartition(".")
    if name.startswith("self."):
        return arguments < 2
    if function == "setitem" or (function.endswith("_") and not function.endswith("__")):
        return False  # changes a tensor in place
    if name.startswith("torch.ops.") and not name.startswith("torch.ops.aten."):
        return False
    return name.startswith(_KNOWN) or (bool(dot) and "." not in head) or name in ("", "getattr")
