"""Faults of what was published with CNN Filter DB, each with a test that shows it is not ours."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.quality.paper_thresholds import degenerate, randomness_threshold
from support import cnn_filter_db_reference as paper
from support.synthetic_datasets import EDGES, SMOOTH, Net, analysed, net, plant, rows
from support.zoo_files import layers

# Columns that hold an entropy of variances by its bound log10(taps).
BOUNDS = {"2x2": math.log10(4), "5x5": math.log10(25), "3x3": math.log10(9), "5": math.log10(5)}


def test_fault_1_quality_of_weights_in_float16(tmp_path: Path) -> None:
    """The notebook's quality cell hands float16 to numpy's SVD, which refuses it; its cells cannot run twice."""
    half = net("half", SMOOTH, 1).state
    half = {name: weight.half() for name, weight in half.items()}
    with pytest.raises(TypeError, match="float16"):
        np.linalg.svd(half["conv0.weight"].numpy().reshape(-1, 9))
    dataset = plant(tmp_path, [Net(name="half", state=half)])
    first, second = (rows(analysed("degeneracy", dataset), "layer_quality") for _ in range(2))
    assert first == second
    for row in first:
        weight = layers(dataset)[str(row["layer_id"])].reshape(-1, 9)
        assert row["variance_entropy"] == pytest.approx(paper.entropy(weight), abs=1e-6)


def test_fault_2_the_threshold_says_nothing_off_nine_taps(tmp_path: Path) -> None:
    """T_H is fitted for nine taps, negative for two kernels, and misses some of the random layers of 128 to 256."""
    shapes = {"2x2": (16, 16, 2, 2), "5x5": (16, 16, 5, 5), "3x3": (16, 16, 3, 3), "5": (16, 16, 5)}
    generator = torch.Generator().manual_seed(0)
    state = {f"l{name}.weight": torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    dataset = plant(tmp_path, [Net(name="noise", state=state)])
    found = {str(row["kernel"]): row for row in rows(analysed("degeneracy", dataset), "layer_quality")}
    for kernel, bound in BOUNDS.items():
        row = found[kernel]
        assert 0.9 * bound < float(row["variance_entropy"]) < bound  # type: ignore[arg-type]
        assert row["verdict"] == "random"
        assert (row["randomness_threshold"] is None) == (row["degenerate"] is None) == (kernel != "3x3")
    assert randomness_threshold(2, 9) is None
    assert degenerate(0.0, 0.0, 2, 9) is None
    assert paper.threshold(2) < 0


@pytest.mark.parametrize("n", [128, 181, 256])
def test_fault_2_random_layers_are_missed_as_often_as_is_said_and_no_more(n: int) -> None:
    random = np.random.default_rng(n)
    entropies = [paper.entropy(random.standard_normal((n, 9)).astype(np.float32)) for _ in range(1500)]
    missed = np.mean([entropy < paper.threshold(n) for entropy in entropies])
    null = EntropyNull()
    p_values = np.array([null.p_values(entropy, n, 9, 0.0)[0] for entropy in entropies], np.float64)
    assert 0.055 < missed < 0.10
    # Four standard errors of 1500 draws.
    assert np.mean(p_values <= 0.05) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 1500))
    assert np.mean(p_values <= 0.5) == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 1500))


def test_fault_3_no_nan_for_copies_single_kernels_or_any_kind_of_convolution(tmp_path: Path) -> None:
    """torchconvquality: NaN on a zero singular value, division by zero at n = 1, 3x3 Conv2d only."""
    generator = torch.Generator().manual_seed(1)
    plane = torch.randn(64, 2, generator=generator) @ torch.randn(2, 9, generator=generator)
    state = {
        "flat.weight": plane.reshape(8, 8, 3, 3),
        "copies.weight": torch.randn(1, 1, 3, 3, generator=generator).expand(8, 8, 3, 3).contiguous(),
        "single.weight": torch.randn(1, 1, 3, 3, generator=generator),
        "zero.weight": torch.zeros(8, 8, 3, 3),
        "large.weight": torch.randn(8, 8, 7, 7, generator=generator),
        "line.weight": torch.randn(8, 8, 5, generator=generator),
        "cube.weight": torch.randn(8, 8, 3, 3, 3, generator=generator),
        "broken.weight": torch.full((8, 8, 3, 3), float("nan")),
    }
    dataset = plant(tmp_path, [Net(name="odd", state=state)])
    for name, tables in {
        "degeneracy": ("layer_quality", "group_quality"),
        "initialization": ("layer_weights",),
        "shape": ("layer_shape", "shape_of_noise"),
        "eigenkernels": ("eigenkernels",),
    }.items():
        result = analysed(name, dataset)
        for table in tables:
            for row in rows(result, table):
                assert not any(isinstance(v, float) and not math.isfinite(v) for v in row.values()), row
    found = {
        str(row["layer_id"]).partition("#")[2].partition(".")[0]: row
        for row in rows(analysed("degeneracy", dataset), "layer_quality")
    }
    assert set(found) == {name.partition(".")[0] for name in state}
    assert found["flat"]["variance_entropy"] == pytest.approx(paper.entropy(plane.numpy()), abs=1e-6)
    assert 0 < float(found["flat"]["variance_entropy"]) <= math.log10(2) + 1e-9  # type: ignore[arg-type]
    assert found["single"]["variance_entropy"] is None
    assert found["single"]["verdict"] == "too small"
    assert found["copies"]["verdict"] == "repeated"
    assert found["zero"]["verdict"] == "dead"
    assert found["broken"]["verdict"] is None
    assert all(row["orthogonality"] is not None for name, row in found.items() if name not in ("single", "broken"))


def test_fault_4_a_run_carries_basis_and_range_and_another_can_be_compared(tmp_path: Path) -> None:
    """D depends on range and basis; ours are fixed in sketch mode, and told in both."""
    two = [net(f"s{i}", SMOOTH, i, task="a") for i in range(2)] + [
        net(f"e{i}", EDGES, 9 + i, task="b") for i in range(2)
    ]
    more = [*two, net("n0", {8: 3.0}, 30, task="c")]
    few, many = plant(tmp_path / "few", two), plant(tmp_path / "many", more)

    def pair(dataset: Path, *, exact: bool) -> tuple[dict[str, object], list[dict[str, object]]]:
        result = analysed("drift", dataset, by=("task",), exact=exact, resamples=0)
        found = rows(result, "drift_task")
        return next(r for r in found if (r["group_a"], r["group_b"]) == ("a", "b")), rows(result, "drift_basis")

    (one, used), (other, used_later) = pair(few, exact=False), pair(many, exact=False)
    for before, after in zip(used, used_later, strict=True):
        assert {k: v for k, v in before.items() if k != "weight"} == {k: v for k, v in after.items() if k != "weight"}
    # What is left to differ are the weights, and with those of the other run the drift is that of the other run.
    assert one["by_component"] == other["by_component"]
    for row, weights in ((one, used), (other, used_later)):
        assert row["drift"] == pytest.approx(np.dot(row["by_component"], [w["weight"] for w in weights]))  # type: ignore[arg-type]
    (exact, frame), (exact_later, frame_later) = pair(few, exact=True), pair(many, exact=True)
    assert exact["by_component"] != exact_later["by_component"]
    assert [row["vector"] for row in frame] != [row["vector"] for row in frame_later]
    assert {row["mode"] for row in frame} == {"exact"}


def test_fault_5_every_cell_says_its_models_and_one_model_has_no_interval(tmp_path: Path) -> None:
    """The paper sets groups of one model beside one of 557, with no uncertainty."""
    nets = [net(f"s{i}", SMOOTH, i, task="many") for i in range(5)]
    nets += [net("e0", EDGES, 20, task="one"), net("e1", EDGES, 21, task="alone")]
    found = rows(analysed("drift", plant(tmp_path, nets), by=("task",), resamples=100), "drift_task")
    models = {"many": 5, "one": 1, "alone": 1}
    assert len(found) == 3
    for row in found:
        assert (row["models_a"], row["models_b"]) == (models[str(row["group_a"])], models[str(row["group_b"])])
        assert row["estimate"] is row["low"] is row["high"] is None
        assert row["verdict"] == "too little to tell"
        # Two single models can only be swapped.
        many = "many" in (row["group_a"], row["group_b"])
        reason = "6 assignments of models: p cannot be below 0.17" if many else "not tested: no models to exchange"
        assert row["note"] == reason
        assert (row["p"] is None) == (not many)
