"""Convolutions in the graph of an exported program, the JSON of `torch._export.serde.schema.ExportedProgram`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from filtercrawl.api.convolution import Convolution, Op

# Overloads are `default`, `padding` (a name in place of sizes) and `input`.
_CONVOLUTION: Final = re.compile(r"torch\.ops\.aten\.(?:conv(_transpose)?([123])d|_?convolution)\.\w+")
# Operators whose result has the numbers of their input.
_SAME_NUMBERS: Final = re.compile(
    r"torch\.ops\.aten\.(alias|clone|contiguous|detach|lift_fresh_copy|to|_to_copy)\.\w+|"
    r"torch\.ops\.prims\.convert_element_type\.\w+"
)
# Kinds of inputs that are tensors of the archive, and the fields that name them.
_INPUTS: Final = {
    "parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name",
}  # fmt: skip
# Operators that move a weight before it is convolved with, at most.
_MAX_STEPS: Final = 64

Node = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class WeightUses:
    """How a graph uses the tensors of its archive as weights of convolutions.

    Attributes:
        convolutions: The convolution of each tensor that is a weight; None where calls disagree, or a setting is not
            a number.
        computed_from: Tensors that weights of convolutions are computed from.
        is_complete: Whether the graph calls no graph of its own, in which there may be other convolutions.
    """

    convolutions: Mapping[str, Convolution | None] = field(default_factory=dict)
    computed_from: frozenset[str] = frozenset()
    is_complete: bool = False

    def may_convolve(self, name: str) -> bool:
        """Return whether the graph may convolve with a tensor."""
        return not self.is_complete or name in self.convolutions or name in self.computed_from


def weight_uses(program: object) -> WeightUses:
    """Return how the graph of a program uses its tensors; of a program that is not understood, nothing is known."""
    try:
        return _weight_uses(program)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
        return WeightUses()


def _weight_uses(program: Any) -> WeightUses:
    module = program["graph_module"]
    nodes: list[Node] = module["graph"]["nodes"]
    tensors = dict(_tensors(module["signature"]["input_specs"]))
    producers = {name: node for node in nodes for output in node["outputs"] for name in _names(output)}
    found: dict[str, list[Convolution | None]] = defaultdict(list)
    computed: set[str] = set()
    for node in nodes:
        match = _CONVOLUTION.fullmatch(node["target"])
        if match is None:
            continue
        arguments = {one["name"]: one["arg"] for one in node["inputs"]}
        source = _follow(arguments["weight"]["as_tensor"]["name"], producers)
        if source in tensors:
            name, learned = tensors[source]
            found[name].append(_convolution(match, arguments, learned=learned))
        else:
            computed.add(source)
    origins = _origins(computed, producers)
    return WeightUses(
        convolutions={name: _agreed(calls) for name, calls in found.items()},
        computed_from=frozenset(tensors[name][0] for name in origins if name in tensors),
        is_complete=not any("as_graph" in one["arg"] for node in nodes for one in node["inputs"]),
    )


def _tensors(inputs: list[Node]) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Yield the inputs of a graph that are tensors of the archive: (name in the graph, (name, is a parameter))."""
    for one in inputs:
        for kind, key in _INPUTS.items():
            if kind in one:
                yield one[kind]["arg"]["name"], (one[kind][key], kind == "parameter")


def _follow(name: str, producers: Mapping[str, Node]) -> str:
    """Return the value that a chain of operators took its numbers from."""
    for _ in range(_MAX_STEPS):
        node = producers.get(name)
        if node is None or not _SAME_NUMBERS.fullmatch(node["target"]):
            break
        name = node["inputs"][0]["arg"]["as_tensor"]["name"]
    return name


def _origins(names: Iterable[str], producers: Mapping[str, Node]) -> set[str]:
    """Return the values that values are computed from, and themselves."""
    seen = set(names)
    pending = list(seen)
    while pending:
        node = producers.get(pending.pop())
        for argument in node["inputs"] if node else ():
            new = [name for name in _names(argument["arg"]) if name not in seen]
            seen.update(new)
            pending += new
    return seen


def _names(value: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the tensors in an argument or a result."""
    for tensor in (value.get("as_tensor"), *(value.get("as_tensors") or ())):
        if tensor:
            yield tensor["name"]


def _convolution(match: re.Match[str], arguments: Mapping[str, Any], *, learned: bool) -> Convolution | None:
    """Return the convolution of a call, None if its operator or number of groups is not stated."""
    transposed = match[1] is not None or arguments.get("transposed", {}).get("as_bool", False)
    stride = arguments.get("stride", {}).get("as_ints")
    rank = int(match[2]) if match[2] else len(stride or ())
    groups = arguments.get("groups", {"as_int": 1}).get("as_int")
    if not 1 <= rank <= 3 or type(groups) is not int or not 1 <= groups < 1 << 31:
        return None
    named = arguments.get("padding", {}).get("as_string")
    padding = (0,) * rank if named == "valid" else None if named else _sizes(arguments, "padding", rank, 0)
    return Convolution(
        op=cast("Op", f"conv_transpose{rank}d" if transposed else f"conv{rank}d"),
        groups=groups,
        stride=_sizes(arguments, "stride", rank, 1),
        padding=padding,
        dilation=_sizes(arguments, "dilation", rank, 1),
        learned=learned,
        n_calls=1,
        source="export_graph",
    )


def _sizes(arguments: Mapping[str, Any], name: str, rank: int, default: int) -> tuple[int, ...] | None:
    """Return a setting, one number for each spatial axis; None if it is something else."""
    if name not in arguments:
        return (default,) * rank
    sizes = arguments[name].get("as_ints")
    if not isinstance(sizes, list) or not all(type(size) is int and 0 <= size < 1 << 31 for size in sizes):
        return None
    sizes = sizes * rank if len(sizes) == 1 else sizes
    return tuple(sizes) if len(sizes) == rank else None


def _agreed(calls: list[Convolution | None]) -> Convolution | None:
    first = calls[0]
    return None if first is None or any(call != first for call in calls) else replace(first, n_calls=len(calls))
