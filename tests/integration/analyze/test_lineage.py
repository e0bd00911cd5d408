"""The analysis `lineage` over a dataset: every planted relation, and nothing else."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch

import filtercrawl
from filtercrawl.api import CheckpointMetadata, Result
from filtercrawl_analysis.analyses.lineage import stated_parents
from filtercrawl_analysis.analyses.registry import ANALYSES
from filtercrawl_analysis.report.run_analyses import select_analyses
from support.synthetic_datasets import Net, analysed, plant, rows
from support.zoo_files import State

pytestmark = pytest.mark.usefixtures("forked_children")

SHAPES = {"stem": (24, 3, 3, 3), "block1": (32, 24, 3, 3), "block2": (32, 32, 3, 3), "block3": (48, 32, 3, 3)}


def new(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def trained(start: State, seed: int, size: float) -> State:
    """Add steps of low rank that are orthogonal to the weights, as training takes them."""
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for name, weight in start.items():
        flat = weight.flatten(1)
        step = torch.randn(len(flat), 3, generator=generator) @ torch.randn(3, flat.shape[1], generator=generator)
        step -= (step * flat).sum() / (flat**2).sum() * flat
        result[name] = (flat + size * flat.norm() / step.norm() * step).view(weight.shape)
    return result


def permuted(state: State) -> State:
    result, order = {}, None
    for number, (name, weight) in enumerate(state.items()):
        inputs = weight if order is None else weight[:, order]
        order = torch.randperm(len(weight), generator=torch.Generator().manual_seed(number))
        result[name] = inputs[order]
    return result


def _last_two_permuted(state: State) -> State:
    """Permute the filters of the last layer but one with the inputs of the last one."""
    one, two = list(state)[-2:]
    order = torch.arange(len(state[one])).flip(0)
    return {one: state[one][order], two: state[two][:, order]}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    networks: dict[str, State] = {}
    for number in range(2):
        start = new(number)
        base = trained(start, 10 + number, 0.8)
        tuned = trained(base, 20 + number, 0.4)
        scale = {name: weight.abs().amax((1, 2, 3), keepdim=True) / 127 for name, weight in base.items()}
        made = {
            "base": base,
            "tuned": tuned,
            "tuned-again": trained(tuned, 30 + number, 0.4),
            "same-start": trained(start, 40 + number, 0.8),
            "same-start-too": trained(start, 50 + number, 0.8),
            "half": {name: weight.half() for name, weight in base.items()},
            "int8": {
                **{name: (weight / scale[name]).round().to(torch.int8) for name, weight in base.items()},
                **{f"{name}_scale": scale[name] for name in base},
            },
            "pruned": {name: weight * (weight.abs() > 0.7) for name, weight in base.items()},
            "permuted": permuted(base),
            "deep-permuted": {**base, **_last_two_permuted(base)},
            "negated": {name: -weight for name, weight in base.items()},
            "stem-kept": {**new(60 + number), "stem.weight": base["stem.weight"]},
        }
        networks |= {f"{number}-{name}": state for name, state in made.items()}
    nets = [Net(name=name, state=state) for name, state in networks.items()]
    card = CheckpointMetadata(extra={"parents": ["org/base"], "parent_relation": "finetune"})
    return plant(tmp_path_factory.mktemp("lineage"), [*nets, Net(name="carded", state=new(99), meta=card)])


@pytest.fixture(scope="module")
def result(dataset: Path) -> Result:
    return analysed("lineage", dataset)


def test_planted_relations_are_found_and_no_others(result: Result) -> None:
    found = {row["child"]: (row["parent"], row["relation"]) for row in rows(result, "lineage")}
    expected = {
        "tuned": ("base", "finetune"),
        "tuned-again": ("tuned", "finetune"),
        "half": ("base", "same"),
        "int8": ("base", "quantized"),
        "pruned": ("base", "pruned"),
        "permuted": ("base", "permuted"),
        "deep-permuted": ("base", "permuted"),
        "negated": ("base", "negated"),
        "stem-kept": ("base", "partial"),
    }
    planted = {
        f"acme/{number}-{child}": (f"acme/{number}-{parent}", relation)
        for number, (child, (parent, relation)) in itertools.product(range(2), expected.items())
    }
    assert found == planted | {"acme/carded": ("org/base", "finetune")}


def test_base_models_of_cards_are_models_of_the_dataset_where_it_has_one_of_the_repository() -> None:
    extra = {
        "hub/me/tuned/model.safetensors": {"parents": ["org/base", "org/two", "org/gone"], "parent_relation": "merge"},
        "hub/me/other/model.safetensors": {"parents": ["org/base"]},
        "hub/org/base/model.safetensors": {"parents": ["org/base"]},
        "hub/org/two/a.safetensors": {},
        "hub/org/two/b.safetensors": [],
        "hub/unread/model.safetensors": {"parents": ["org/base"]},
    }
    table = pa.table({"model_id": list(extra), "extra": [json.dumps(value) for value in extra.values()]})
    assert stated_parents(table, [name for name in extra if "unread" not in name]) == {
        ("hub/me/tuned/model.safetensors", "hub/org/base/model.safetensors"): "merge",
        ("hub/me/tuned/model.safetensors", "org/two"): "merge",
        ("hub/me/tuned/model.safetensors", "org/gone"): "merge",
        ("hub/me/other/model.safetensors", "hub/org/base/model.safetensors"): "finetune",
    }


def test_siblings_are_related_models_without_a_parent(result: Result) -> None:
    pairs = {(row["model_a"], row["model_b"]): row for row in rows(result, "related_models")}
    siblings = pairs["acme/0-same-start", "acme/0-same-start-too"]
    assert siblings["relation"] == "sibling"
    assert siblings["parent"] is None
    assert not [pair for pair in pairs if pair[0][5] != pair[1][5]]  # of different families


def test_findings_rest_on_rows_and_the_figure_is_drawn(dataset: Path) -> None:
    report = filtercrawl.analyze(dataset, only=["lineage"], device="cpu", progress=False)
    assert not report.left_out
    assert report.findings[0].startswith("19 checkpoints were made from another one: 5 trained on")
    assert any("has 9 descendants, over 2 generations" in finding for finding in report.findings)
    assert (dataset / "analysis/figures/lineage.svg").is_file()
    assert "analysis/tables/lineage.parquet" in report.paths


def test_lineage_does_not_run_unless_it_is_asked_for() -> None:
    assert "lineage" not in [analysis.name for analysis in select_analyses(ANALYSES)]
    assert [analysis.name for analysis in select_analyses(ANALYSES, only=["lineage"])] == ["lineage"]


def test_a_dataset_without_pairs_says_so(tmp_path: Path) -> None:
    alone = plant(tmp_path, [Net(name="alone", state=new(0))])
    assert "fewer than two models" in analysed("lineage", alone).note


def test_unrelated_models_give_an_empty_table_and_say_so(tmp_path: Path) -> None:
    strangers = plant(tmp_path, [Net(name=f"net{seed}", state=new(seed)) for seed in range(4)])
    result = analysed("lineage", strangers)
    assert rows(result, "lineage") == rows(result, "related_models") == []
    assert [str(finding) for finding in result.findings] == [
        "None of 4 models was made from another one of the dataset."
    ]


@pytest.mark.parametrize("others", [0, 1])
def test_duplicates_are_models_that_were_made_from_another_one(tmp_path: Path, others: int) -> None:
    names = ["a", "b", "c"]
    nets = [
        *(Net(name=name, state=new(0)) for name in names),
        *(Net(name=f"z{i}", state=new(9)) for i in range(others)),
    ]
    result = analysed("lineage", plant(tmp_path, nets))
    assert {(row["child"], row["relation"]) for row in rows(result, "lineage")} == {
        ("acme/b", "same"),
        ("acme/c", "same"),
    }
    first = result.findings[0]
    assert not isinstance(first, str)
    assert first.estimate is not None
    assert (first.estimate.value, first.estimate.note.partition(";")[0]) == (2, f"of {3 + others} models")
