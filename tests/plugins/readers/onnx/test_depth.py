"""Depths of convolutions in ONNX models, against a longest path that is found in another way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from filtercrawl.api.convolution import Depth
from filtercrawl_plugins.readers.onnx.usage import depth as depth_of_onnx
from support.onnx_models import branch, model, node, random_array, read, tensor

CONVOLUTIONS = {"Conv", "ConvTranspose", "QLinearConv", "ConvInteger", "FusedConv"}


def inlined(graph: onnx.GraphProto, names: dict[str, str], prefix: str) -> list[tuple[str, list[str], list[str]]]:
    """Flatten a graph with If branches into (operator, inputs, outputs), every value with a name of its own."""
    nodes = []
    names = dict(names)
    for held in graph.initializer:
        names[held.name] = f"{prefix}{held.name}"
    for i, n in enumerate(graph.node):
        inputs = [names.get(name, name) for name in n.input if name]
        names.update({name: f"{prefix}{name}" for name in n.output})
        outputs = [names[name] for name in n.output]
        branches = [a.g for a in n.attribute if a.HasField("g")]
        for k, inner in enumerate(branches):
            deeper = f"{prefix}{i}.{k}/"
            nodes += inlined(inner, names, deeper)
            own = {name for m in inner.node for name in m.output} | {t.name for t in inner.initializer}
            results = [deeper + o.name if o.name in own else names[o.name] for o in inner.output]
            nodes += [("Join", [result], [output]) for result, output in zip(results, outputs, strict=True)]
        if not branches:
            nodes.append((n.op_type, inputs, outputs))
    return nodes


def expected(nodes: list[tuple[str, list[str], list[str]]]) -> dict[str, tuple[int, int]]:
    """Return (longest path, ancestors) by the value that is the weight: relaxation until nothing changes."""
    ways: dict[str, list[int]] = {}
    for i, (_, _, outputs) in enumerate(nodes):
        for output in outputs:
            ways.setdefault(output, []).append(i)
    before = [{way for name in inputs for way in ways.get(name, [])} for _, inputs, _ in nodes]
    length, above = [0] * len(nodes), [set[int]() for _ in nodes]
    changed = True
    while changed:
        changed = False
        for i, sources in enumerate(before):
            longest = max((length[s] + (nodes[s][0] in CONVOLUTIONS) for s in sources), default=0)
            reached = set().union(*(above[s] | ({s} if nodes[s][0] in CONVOLUTIONS else set()) for s in sources))
            if (longest, reached) != (length[i], above[i]):
                length[i], above[i], changed = longest, reached, True
    found: dict[str, tuple[int, int]] = {}
    for i, (op, inputs, _) in enumerate(nodes):
        if op in CONVOLUTIONS:
            found.setdefault(inputs[1], (length[i], len(above[i])))
    return found


def depths(source: onnx.ModelProto | bytes | Path) -> dict[str, Depth]:
    return {name: t.depth for name, t in read(source).items() if t.depth is not None}


def numbers(found: dict[str, Depth]) -> dict[str, tuple[int, int | None]]:
    return {name: (depth.conv_depth, depth.n_conv_ancestors) for name, depth in found.items()}


def weights(names: Iterable[str]) -> list[TensorProto]:
    return [tensor(name, random_array(2, 2, 3, 3)) for name in names]


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw a graph of convolutions, sums and activations over any values made before."""
    values, nodes, held = ["x"], [], []
    for i in range(draw(st.integers(1, 14))):
        op = draw(st.sampled_from(["Conv", "Conv", "Add", "Relu"]))
        taken = [draw(st.sampled_from(values)) for _ in range(2 if op == "Add" else 1)]
        if op == "Conv":
            held.append(f"w{i}")
            taken.append(f"w{i}")
        nodes.append(node(op, taken, f"v{i}"))
        values.append(f"v{i}")
    nodes.append(node("Sum", values, "y"))
    return model(nodes, weights(held))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_depths_in_drawn_graphs(drawn: onnx.ModelProto) -> None:
    found = depths(drawn)
    assert numbers(found) == expected(inlined(drawn.graph, {}, ""))
    deepest = max((depth.conv_depth for depth in found.values()), default=0)
    for depth in found.values():
        assert depth.conv_depth_norm == (depth.conv_depth / deepest if deepest else 0.0)
        assert depth.is_first == (depth.conv_depth == 0)
    assert any(depth.is_last for depth in found.values()) == bool(found)


def shipped(distribution: str) -> list[Path]:
    return [Path(str(f.locate())) for f in files(distribution) or [] if f.suffix == ".onnx"]


def resolved(nodes: list[tuple[str, list[str], list[str]]]) -> dict[str, str]:
    """Name the value that each value merely passes on."""
    passes = {o: inputs[0] for op, inputs, outputs in nodes if op in ("Identity", "Cast") for o in outputs if inputs}
    found = {}
    for name in passes:
        at = name
        while at in passes:
            at = passes[at]
        found[name] = at
    return found


@pytest.mark.parametrize("path", shipped("speechmos") + shipped("silero-vad"), ids=lambda path: path.stem)
def test_depths_in_shipped_networks(path: Path) -> None:
    nodes = inlined(onnx.load(path).graph, {}, "")
    passed = resolved(nodes)
    oracle = {passed.get(name, name): value for name, value in expected(nodes).items()}
    found = sorted(numbers(depths(path)).values())
    assert found
    assert found == sorted(oracle.values())


def test_an_exported_network_has_the_depths_of_its_modules() -> None:
    from filtercrawl.extraction.architecture import trace

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 3)
            self.left = torch.nn.Conv2d(4, 4, 3, padding=1)
            self.right = torch.nn.ConvTranspose2d(4, 4, 3, padding=1)
            self.tail = torch.nn.Conv2d(4, 2, (1, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x).relu()
            return self.tail(x + self.right(self.left(x).relu()))

    module = Net().eval()
    exported = torch.onnx.export(module, (torch.randn(1, 3, 12, 12),), dynamo=True, verbose=False)
    assert exported is not None
    found = depths(exported.model_proto)
    traced = trace(module, (torch.empty(1, 3, 12, 12, device="meta"),))
    expected_depths = {
        name: facts.depth and replace(facts.depth, place=None) for name, facts, _ in traced.convolutions()
    }
    assert {name: replace(depth, place=None) for name, depth in found.items()} == expected_depths


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def body(nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], outputs: Sequence[str]) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "body", [value(i) for i in inputs], [value(o) for o in outputs])


def test_a_loop_counts_one_round_and_passes_each_value_on_at_its_place() -> None:
    rounds = body(
        [node("Conv", ["a_in", "wa"], "a_out"), node("Identity", ["go_in"], "go_out"), node("Relu", ["b_in"], "b_out")],
        ["i", "go_in", "a_in", "b_in"],
        ["go_out", "a_out", "b_out"],
    )
    nodes = [
        node("Conv", ["x", "first"], "s"),
        helper.make_node("Loop", ["n", "go", "s", "x"], ["a", "b"], body=rounds),
        node("Conv", ["a", "after_a"], "p"),
        node("Conv", ["b", "after_b"], "q"),
        node("Add", ["p", "q"], "y"),
    ]
    held = [*weights(("first", "wa", "after_a", "after_b")), tensor("n", np.array(3)), tensor("go", np.array(True))]
    found = numbers(depths(model(nodes, held)))
    assert found == {"first": (0, 0), "wa": (1, 1), "after_a": (2, 2), "after_b": (0, 0)}


def test_a_scan_starts_where_its_states_and_slices_do() -> None:
    step = body([node("Conv", ["s", "w"], "t"), node("Relu", ["e"], "f")], ["s", "e"], ["t", "f"])
    nodes = [
        node("Conv", ["x", "first"], "slices"),
        helper.make_node("Scan", ["x", "slices"], ["state", "stacked"], body=step, num_scan_inputs=1),
        node("Conv", ["state", "of_state"], "p"),
        node("Conv", ["stacked", "of_stack"], "y"),
    ]
    found = numbers(depths(model(nodes, weights(("first", "w", "of_state", "of_stack")))))
    assert found == {"first": (0, 0), "w": (0, 0), "of_state": (1, 1), "of_stack": (1, 1)}


def test_both_branches_of_a_condition_lead_on_and_the_condition_does_not() -> None:
    then = branch([node("Conv", ["s", "deep"], "y")], weights(["deep"]))
    other = branch([node("Identity", ["x"], "y")])
    nodes = [
        node("Conv", ["x", "first"], "s"),
        node("Conv", ["x", "judge"], "c"),
        helper.make_node("If", ["c"], ["z"], name="if", then_branch=then, else_branch=other),
        node("Conv", ["z", "after"], "y"),
    ]
    found = depths(model(nodes, weights(("first", "judge", "after"))))
    assert numbers(found) == {"first": (0, 0), "judge": (0, 0), "if/then_branch/deep": (1, 1), "after": (2, 2)}
    assert {name for name, depth in found.items() if depth.is_last} == {"judge", "after"}


def test_a_function_is_walked_where_it_is_called_and_a_shared_weight_counts_first() -> None:
    opset = [helper.make_opsetid("", 18)]
    block = helper.make_function(
        "own", "Block", ["a", "w"], ["b"], [node("Conv", ["a", "w"], "c"), node("Relu", ["c"], "b")], opset
    )
    nodes = [
        helper.make_node("Block", ["x", "one"], ["p"], domain="own"),
        helper.make_node("Block", ["p", "two"], ["q"], domain="own"),
        helper.make_node("Block", ["q", "one"], ["y"], domain="own"),
    ]
    found = read(model(nodes, weights(("one", "two")), [block]))
    assert numbers({name: t.depth for name, t in found.items() if t.depth}) == {"one": (0, 0), "two": (1, 1)}
    one = found["one"]
    assert one.convolution is not None
    assert one.convolution.n_calls == 2
    assert one.depth is not None
    assert one.depth.is_last


def test_an_unknown_operator_leads_from_all_it_takes_to_all_it_gives() -> None:
    nodes = [
        node("Conv", ["x", "first"], "s"),
        helper.make_node("Magic", ["s"], ["p", "q"], domain="elsewhere", inner=branch([node("Relu", ["x"], "y")])),
        node("Conv", ["q", "after"], "y"),
    ]
    assert numbers(depths(model(nodes, weights(("first", "after"))))) == {"first": (0, 0), "after": (1, 1)}


@pytest.mark.parametrize("first", ["later", "nowhere"])
def test_nodes_out_of_order_have_no_depth(first: str) -> None:
    nodes = [node("Conv", [first, "one"], "y"), node("Conv", ["x", "two"], "later")]
    found = read(model(nodes, weights(("one", "two"))))
    assert [t.depth for t in found.values()] == [None, None]
    assert all(t.convolution for t in found.values())


def test_a_loop_that_gives_too_little_leaves_what_follows_unknown() -> None:
    rounds = body([node("Identity", ["go_in"], "go_out")], ["i", "go_in"], ["go_out"])
    nodes = [
        helper.make_node("Loop", ["n", "go"], ["a", "b"], body=rounds),
        node("Conv", ["a", "one"], "y"),
    ]
    held = [*weights(["one"]), tensor("n", np.array(3)), tensor("go", np.array(True))]
    assert depths(model(nodes, held)) == {}


def test_ancestors_are_not_counted_where_that_costs_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of 1,001 convolutions has a bit in the sets of two inputs and an output of each.
    monkeypatch.setattr(depth_of_onnx, "MAX_ANCESTOR_BITS", 3 * 1_001**2 - 1)
    n = 1_000
    names = ["x", *(f"v{i}" for i in range(n))]
    nodes = [node("Conv", [a, "w"], b) for a, b in pairwise(names)]
    depth = depths(model([*nodes, node("Conv", [names[-1], "z"], "y")], weights(("w", "z"))))["z"]
    assert (depth.conv_depth, depth.n_conv_ancestors, depth.is_first, depth.is_last) == (n, None, False, None)
