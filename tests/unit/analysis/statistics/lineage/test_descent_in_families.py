"""Trees of networks whose weights were made as training makes them, by steps orthogonal to what they change."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures, descent_probabilities
from filtercrawl_analysis.statistics.lineage.edges import LineageEdge, lineage_edges
from filtercrawl_analysis.statistics.lineage.family_tree import branching
from filtercrawl_analysis.statistics.lineage.layer_pair import compare_weights
from filtercrawl_analysis.statistics.lineage.models import ModelLayer
from filtercrawl_analysis.statistics.lineage.pairs import ModelPair
from filtercrawl_analysis.statistics.lineage.relation import judge

Network = list[np.ndarray]
SHAPES = ((16, 3, 3, 3), (24, 16, 3, 3), (24, 24, 3, 3))


class Trainer:
    """Makes networks from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def new(self) -> Network:
        return [self.random.standard_normal(shape) for shape in SHAPES]

    def step(self, start: Network, size: float) -> Network:
        """Add a step of low rank, as long as `size` times the weights and orthogonal to them."""
        result = []
        for weight in start:
            flat = weight.reshape(len(weight), -1)
            step = self.random.standard_normal((len(flat), 3)) @ self.random.standard_normal((3, flat.shape[1]))
            step -= (step * flat).sum() / (flat**2).sum() * flat
            result.append((flat + size * np.linalg.norm(flat) / np.linalg.norm(step) * step).reshape(weight.shape))
        return result


def compared(networks: Mapping[str, Network]) -> list[ModelPair]:
    pairs = []
    for a, b in itertools.combinations(sorted(networks), 2):
        layers = []
        for number, (x, y) in enumerate(zip(networks[a], networks[b], strict=True)):
            layer = ModelLayer(tensor=f"conv{number}", shape=x.shape, sha256=f"{a}{number}", norms=None)
            layers.append((layer, compare_weights(x.astype(np.float32), y.astype(np.float32))))
        found = [pair for _, pair in layers]
        equal = sum(pair.equal for pair in found)
        pairs.append(ModelPair(a=a, b=b, layers=tuple(layers), judgement=judge(found), common=len(found), equal=equal))
    return pairs


def parents(edges: Sequence[LineageEdge]) -> dict[str, tuple[str, str]]:
    return {edge.child: (edge.parent, edge.relation) for edge in edges}


def family(seed: int) -> dict[str, Network]:
    train = Trainer(seed)
    start = train.new()
    base = train.step(start, 0.8)
    first, second = train.step(base, 0.4), train.step(base, 0.5)
    return {
        "base": base,
        "first": first,
        "second": second,
        "third": train.step(first, 0.4),
        "same-start": train.step(start, 0.8),
        "same-start-too": train.step(start, 0.8),
        "stranger": train.new(),
    }


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_tree_of_a_family_is_found_without_siblings_and_strangers(seed: int) -> None:
    assert parents(lineage_edges(compared(family(seed)), {})) == {
        "first": ("base", "finetune"),
        "second": ("base", "finetune"),
        "third": ("first", "finetune"),
    }


def test_copies_are_children_of_their_originals_and_no_parents() -> None:
    networks = {name: family(0)[name] for name in ("base", "first", "second")}
    base = [weight.astype(np.float32) for weight in networks["base"]]
    steps = [np.abs(weight).max((1, 2, 3), keepdims=True) / 127 for weight in base]
    networks["a-half"] = [weight.astype(np.float16).astype(np.float32) for weight in base]
    networks["a-quantized"] = [np.rint(weight / step) * step for weight, step in zip(base, steps, strict=True)]
    networks["a-pruned"] = [np.where(np.abs(weight) > 0.7, weight, 0) for weight in base]
    networks["a-stem"] = [base[0], *Trainer(9).new()[1:]]
    assert parents(lineage_edges(compared(networks), {})) == {
        "a-half": ("base", "same"),
        "a-pruned": ("base", "pruned"),
        "a-quantized": ("base", "quantized"),
        "a-stem": ("base", "partial"),
        "first": ("base", "finetune"),
        "second": ("base", "finetune"),
    }


def test_dates_decide_what_weights_do_not() -> None:
    train = Trainer(0)
    base = train.new()
    equal = {"a": base, "b": base}
    (unknown,) = lineage_edges(compared(equal), {})
    assert unknown.probability == pytest.approx(0.5, abs=0.01)
    assert "nothing tells the direction" in unknown.evidence
    (known,) = lineage_edges(compared(equal), {"a": "2024-05-01", "b": "2023-01-01"})
    assert (known.child, known.parent) == ("a", "b")
    assert known.probability > 0.85
    assert "by date" in known.evidence


def test_what_a_card_states_comes_first_and_says_whether_the_weights_agree() -> None:
    networks = family(1)
    pairs = compared({name: networks[name] for name in ("base", "first", "stranger")})
    stated = {
        ("first", "base"): "finetune",
        ("first", "a/model"): "finetune",
        ("stranger", "base"): "finetune",
        ("base", "org/elsewhere"): "adapter",
    }
    edges = {edge.child: edge for edge in lineage_edges(pairs, {}, stated)}
    assert edges["first"].parent == "base"
    assert edges["first"].probability > 0.95
    assert edges["stranger"].probability == 0.5
    assert "not related" in edges["stranger"].evidence
    assert (edges["base"].parent, edges["base"].relation) == ("org/elsewhere", "adapter")


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_probabilities_of_both_directions_are_mirrored(seed: int) -> None:
    networks = family(seed)
    names = ("base", "first")
    both = [
        DescentFeatures.of([compare_weights(x.astype("f4"), y.astype("f4")) for x, y in zip(*pair, strict=True)])
        for pair in ([networks[name] for name in names], [networks[name] for name in reversed(names)])
    ]
    assert both[0] is not None
    assert both[1] is not None
    for side in (None, 0.1):
        forth, back = descent_probabilities(both[0], side), descent_probabilities(both[1], side)
        assert forth == pytest.approx(back[::-1], rel=1e-6)
        assert forth[0] > 0.5


def test_branching_is_zero_along_a_path_and_half_in_a_star_of_equal_arms() -> None:
    path = np.array([[0.0, 1, 3], [1, 0, 2], [3, 2, 0]])
    star = np.array([[0.0, 2, 2], [2, 0, 2], [2, 2, 0]])
    assert branching(path, 0, 1) == pytest.approx(0)
    assert branching(star, 0, 1) == pytest.approx(0.5)
    assert branching(path[:2, :2], 0, 1) is None


def test_the_original_of_scaled_copies_is_the_one_that_others_agree_with() -> None:
    networks = {name: [x.astype(np.float32) for x in family(0)[name]] for name in ("base", "first", "second")}
    networks["a-scaled"] = [np.float32(1.7) * weight for weight in networks["base"]]
    networks["a-scaled-half"] = [(1.7 * weight).astype(np.float16).astype(np.float32) for weight in networks["base"]]
    edges = {edge.child: edge for edge in lineage_edges(compared(networks), {})}
    assert parents(list(edges.values())) == {
        "a-scaled": ("base", "scaled"),
        "a-scaled-half": ("base", "scaled"),
        "first": ("base", "finetune"),
        "second": ("base", "finetune"),
    }
    assert "from a-scaled to base" in edges["a-scaled"].evidence


def test_a_factor_of_all_layers_tells_no_direction() -> None:
    networks = family(0)
    for factor in (1, 3, 1 / 3):
        pairs = [
            compare_weights(x.astype("f4"), (factor * y).astype("f4"))
            for x, y in zip(networks["base"], networks["first"], strict=True)
        ]
        features = DescentFeatures.of(pairs)
        assert features is not None
        from_base, from_first = descent_probabilities(features)
        assert from_base > from_first


@pytest.mark.parametrize("dates", [{}, {"a": "2020-01-01", "b": "2021-01-01"}])
@pytest.mark.parametrize("size", [0.0, 0.4])
def test_what_a_card_states_is_not_contradicted_by_the_weights(dates: dict[str, str], size: float) -> None:
    """Copies and trained networks whose weights or dates tell the other direction than the card."""
    train = Trainer(0)
    a = train.new()
    networks = {"a": a, "b": train.step(a, size), "c": a}
    edges = lineage_edges(compared(networks), dates, {("a", "b"): "finetune"})
    found = {edge.child: edge.parent for edge in edges}
    assert found["a"] == "b"
    assert "b" not in found
    assert found["c"] == "a"


def test_cards_that_state_each_other_give_one_row() -> None:
    stated = {("a", "b"): "finetune", ("b", "a"): "finetune"}
    assert len(lineage_edges(compared({"a": Trainer(0).new(), "b": Trainer(1).new()}), {}, stated)) == 1


def test_a_network_with_some_weights_changed_is_a_row_even_where_nothing_tells_which_was_first() -> None:
    base = [weight.astype(np.float32) for weight in Trainer(0).new()]
    edited = [base[0], base[1].copy(), base[2]]
    edited[1][3] = 0.5
    (edge,) = lineage_edges(compared({"base": base, "edited": edited}), {"base": "2020-01-01", "edited": "2021-01-01"})
    assert (edge.child, edge.parent, edge.relation) == ("edited", "base", "finetune")
    assert "changed weights" in edge.evidence
