"""`filtercrawl compare`: files, models of a dataset, what it tells and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from support.zoo_files import State, put

pytestmark = pytest.mark.usefixtures("forked_children")


def network(seed: int, width: int = 16) -> State:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"stem": (width, 3, 3, 3), "mix": (width, width, 1, 1), "deep": (width, width, 3, 3)}
    return {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def tuned(base: State, scale: float = 0.1) -> State:
    """The network with a step that is orthogonal to its weights, as training takes them."""
    generator = torch.Generator().manual_seed(99)
    steps = {name: torch.randn(weight.shape, generator=generator) for name, weight in base.items()}
    return {
        name: weight + scale * (steps[name] - (steps[name] * weight).sum() / (weight**2).sum() * weight)
        for name, weight in base.items()
    }


def _with(weight: torch.Tensor, value: float) -> torch.Tensor:
    changed = weight.clone()
    changed[0, 0, 0, 0] = value
    return changed


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    base = network(0)
    inner, outer = torch.randperm(16, generator=torch.Generator().manual_seed(0)), torch.arange(16).flip(0)
    permuted = {
        "stem.weight": base["stem.weight"][inner],
        "mix.weight": base["mix.weight"][outer][:, inner],
        "deep.weight": base["deep.weight"][:, outer],
    }
    scale = base["deep.weight"].abs().amax((1, 2, 3), keepdim=True) / 127
    made = {
        "base": base,
        "copy": base,
        "half": {name: weight.half() for name, weight in base.items()},
        "tuned": tuned(base),
        "frozen": {**tuned(base), "stem.weight": base["stem.weight"]},
        "stem-only": {**network(1), "stem.weight": base["stem.weight"]},
        "pruned": {name: weight * (weight.abs() > 0.7) for name, weight in base.items()},
        "codes": {name: (weight * 40).round().clamp(-127, 127) / 40 for name, weight in base.items()},
        "int8": {
            "deep.weight": (base["deep.weight"] / scale).round().to(torch.int8),
            "deep.weight_scale": scale,
        },
        "permuted": permuted,
        "transposed": {name: weight.transpose(-1, -2) for name, weight in base.items()},
        "renamed": {f"backbone.{name}": weight for name, weight in base.items()},
        "stranger": network(2),
        "one-weight": {**base, "deep.weight": _with(base["deep.weight"], 5.0)},
        "nan": {**base, "deep.weight": _with(base["deep.weight"], float("nan"))},
        "part-permuted": {
            **base,
            "mix.weight": permuted["mix.weight"].clone()[:, inner.argsort()],
            "deep.weight": permuted["deep.weight"],
        },
        "twice": {name: 2 * weight for name, weight in base.items()},
        "minus": {name: -weight for name, weight in base.items()},
        "many": {**base, **{f"extra.{i}.weight": torch.ones(2, 2, 5, 5) for i in range(7)}},
        "linear": {"fc.weight": torch.randn(3, 3)},
        "wide": network(3, width=24),
    }
    return {name: put(tmp_path / f"{name}.safetensors", weights) for name, weights in made.items()}


@pytest.mark.parametrize(
    ("name", "relation", "parent"),
    [
        ("copy", "same", None),
        ("half", "same", "a"),
        ("tuned", "finetune", "a"),
        ("frozen", "finetune", "a"),
        ("stem-only", "partial", None),
        ("pruned", "pruned", "a"),
        ("codes", "quantized", "a"),
        ("int8", "quantized", "a"),
        ("permuted", "permuted", None),
        ("transposed", "permuted", None),
        ("renamed", "same", None),
        ("stranger", "none", None),
        ("one-weight", "finetune", None),
        ("nan", "finetune", None),
        ("part-permuted", "permuted", None),
        ("twice", "scaled", None),
        ("minus", "negated", None),
        ("many", "same", None),
        ("wide", "none", None),
    ],
)
def test_the_relation_of_two_files_and_its_direction(
    files: dict[str, Path], name: str, relation: str, parent: str | None
) -> None:
    report = filtercrawl.compare(files["base"], files[name], progress=False)
    assert (report.judgement.relation, report.judgement.parent) == (relation, parent), report.verdict
    back = filtercrawl.compare(files[name], files["base"], progress=False)
    assert (back.judgement.relation, back.judgement.parent) == (relation, parent and "b"), back.verdict


def test_the_row_of_a_layer(files: dict[str, Path]) -> None:
    rows = {row["layer_a"]: row for row in _compare(files, "frozen").layers.to_pylist()}
    assert set(rows) == {"stem.weight", "mix.weight", "deep.weight"}
    assert rows["stem.weight"]["frozen"]
    assert rows["stem.weight"]["relative_change"] == rows["stem.weight"]["drift"] == 0
    deep = rows["deep.weight"]
    assert not deep["frozen"]
    first, second = network(0)["deep.weight"], tuned(network(0))["deep.weight"]
    assert deep["relative_change"] == pytest.approx(float((first - second).norm() / first.norm()), rel=1e-5)
    assert deep["matched_change"] == pytest.approx(deep["relative_change"])
    assert deep["moved_filters"] == 0
    assert rows["mix.weight"]["drift"] is None  # kernels of one tap have no distribution of shapes
    assert deep["drift"] > 0


def test_permuted_channels_are_matched_in_filters_and_inputs(files: dict[str, Path]) -> None:
    rows = {row["layer_a"]: row for row in _compare(files, "permuted").layers.to_pylist()}
    assert {name: row["inputs"] for name, row in rows.items()} == {
        "stem.weight": "as stored",
        "mix.weight": "carried",
        "deep.weight": "carried",
    }
    assert max(row["matched_change"] for row in rows.values()) == 0
    assert rows["mix.weight"]["moved_filters"] == 16


def test_layers_in_only_one_and_layers_matched_by_shape_are_said(files: dict[str, Path]) -> None:
    report = _compare(files, "int8")
    assert report.only_a == ("mix.weight (16x16x1x1)", "stem.weight (16x3x3x3)")
    assert "only in" in str(report)
    renamed = _compare(files, "renamed")
    assert set(renamed.layers["matched_by"].to_pylist()) == {"shape and order"}
    assert "by shape and order" in str(renamed)
    assert "&lt;" not in report._repr_html_()
    assert report.verdict.split(" (")[0] in report._repr_html_()


def test_weights_that_are_not_finite_are_counted_in_the_row_and_the_verdict(files: dict[str, Path]) -> None:
    report = _compare(files, "nan")
    rows = {row["layer_a"]: row for row in report.layers.to_pylist()}
    assert (rows["deep.weight"]["frozen"], rows["deep.weight"]["nonfinite_a"], rows["deep.weight"]["nonfinite_b"]) == (
        False,
        0,
        1,
    )
    assert "differs (1 not finite in b)" in str(report)
    assert "1 weight of b not finite" in report.verdict


def test_many_layers_of_only_one_are_counted(files: dict[str, Path]) -> None:
    report = _compare(files, "many")
    assert len(report.only_b) == len(report.to_dict()["only_b"]) == 7
    assert "extra.3.weight (2x2x5x5) and 3 more (all with --json)" in str(report)
    assert "extra.4.weight" not in str(report)
    assert "extra.4.weight" not in report._repr_html_()


def test_a_checkpoint_without_convolutions_is_an_error(files: dict[str, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.pth"
    torch.save({}, empty)
    for other in (files["linear"], empty):
        for pair in ((files["base"], other), (other, files["base"]), (other, other)):
            with pytest.raises(CheckpointError, match=f"{other.stem}.*has no convolutions"):
                filtercrawl.compare(*pair, progress=False)


def test_models_of_a_dataset_are_compared_without_their_files(files: dict[str, Path], tmp_path: Path) -> None:
    dataset = tmp_path / "kernels"
    filtercrawl.sync(f"local:{tmp_path}/*.safetensors", dataset=dataset, device="cpu", progress=False)
    report = filtercrawl.compare("local/base.safetensors", "local/tuned.safetensors", dataset=dataset, progress=False)
    from_files = _compare(files, "tuned").to_pandas().set_index("layer_a")
    stored = report.to_pandas().set_index("layer_a")
    assert sorted(stored.index) == ["deep.weight", "stem.weight"]  # pointwise layers are not stored
    for name in ("cosine", "relative_change", "z", "drift"):
        np.testing.assert_allclose(stored[name], from_files.loc[stored.index, name])
    with pytest.raises(filtercrawl.UsageError, match=r"local/tuned\.safetensors"):
        filtercrawl.compare("local/tuned.safetensor", "local/base.safetensors", dataset=dataset, progress=False)
    mixed = filtercrawl.compare("local/base.safetensors", files["half"], dataset=dataset, progress=False)
    assert mixed.judgement.relation == "same"


def test_the_command_prints_a_table_json_and_csv(plugins: Plugins, files: dict[str, Path], tmp_path: Path) -> None:
    words = ["compare", str(files["base"]), str(files["half"])]
    shown = CliRunner().invoke(build(plugins), [*words, "--out", str(tmp_path / "layers.csv")])
    assert shown.exit_code == 0, shown.stderr
    assert "the same weights" in shown.stdout.splitlines()[-1]
    assert len((tmp_path / "layers.csv").read_text().splitlines()) == 4
    found = json.loads(CliRunner().invoke(build(plugins), [*words, "--json"]).stdout)
    assert (found["relation"], found["parent"], len(found["layers"])) == ("same", "a", 3)
    refused = CliRunner().invoke(build(plugins), [*words, "--out", str(tmp_path / "layers.txt")])
    assert isinstance(refused.exception, filtercrawl.UsageError)


def _compare(files: dict[str, Path], name: str) -> filtercrawl.ComparisonReport:
    return filtercrawl.compare(files["base"], files[name], progress=False)
