"""Layers with something planted in them, in networks that sync wrote: their verdicts, and what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl.api.analysis import Finding, Result
from support.layer_simulation import INNER, OUT, noisy_copies, trained, with_outliers
from support.synthetic_datasets import Net, analysed, plant, rows


def weight(kernels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(kernels.reshape(OUT, INNER, 3, 3).astype(np.float32))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained networks, two untrained ones, one trained a little, and one of layers that are none of that."""
    torch.manual_seed(12)
    random = np.random.default_rng(12)
    noise = random.standard_normal((OUT * INNER, 9))
    odd = {
        "laplace.weight": random.laplace(size=noise.shape),
        "student.weight": random.standard_t(5, noise.shape),
        "uniform.weight": random.uniform(-1, 1, noise.shape),
        "scaled.weight": noise * np.exp(0.5 * random.standard_normal((OUT * INNER, 1))),
        "outlier.weight": with_outliers(noise, 1, 0.95),
        "few_outliers.weight": with_outliers(trained(random), 2, 0.9),
        "copies.weight": noisy_copies(random, 0.1),
        "dead.weight": np.where(random.random((OUT * INNER, 1)) < 0.97, 1e-5, 1.0) * trained(random),
    }
    nets = [
        Net(name=f"trained{i}", state={f"l{j}.weight": weight(0.1 * trained(random)) for j in range(4)})
        for i in range(2)
    ]
    nets[0].state["small.weight"] = 0.02 * torch.randn(2, 4, 3, 3)
    nets.append(Net(name="torch", state={f"l{j}.weight": torch.nn.Conv2d(INNER, OUT, 3).weight.data for j in range(5)}))
    tuned = {f"l{j}.weight": torch.nn.Conv2d(INNER, OUT, 3).weight.data for j in range(3)}
    nets.append(Net(name="tuned", state={name: w + 0.05 * w.std() * torch.randn(w.shape) for name, w in tuned.items()}))
    keras = {f"l{j}.weight": torch.nn.init.xavier_uniform_(torch.empty(OUT, INNER, 3, 3)) for j in range(3)}
    nets.append(Net(name="keras", state=keras | {"l3.weight": weight(0.1 * trained(random))}))
    nets.append(Net(name="odd", state={name: weight(layer) for name, layer in odd.items()}))
    return plant(tmp_path_factory.mktemp("planted"), nets)


@pytest.fixture(scope="module")
def degeneracy(dataset: Path) -> Result:
    return analysed("degeneracy", dataset)


@pytest.fixture(scope="module")
def initialization(dataset: Path) -> Result:
    return analysed("initialization", dataset)


def test_verdicts_are_those_that_were_planted(degeneracy: Result) -> None:
    found = {
        str(row["layer_id"]).removeprefix("acme/").removesuffix(".weight"): row["verdict"]
        for row in rows(degeneracy, "layer_quality")
    }
    assert found == {
        **{f"trained{i}#l{j}": "ok" for i in range(2) for j in range(4)},
        "trained0#small": "too small",
        **{f"torch#l{j}": "random" for j in range(5)},
        **{f"tuned#l{j}": "random" for j in range(3)},
        **{f"keras#l{j}": "random" for j in range(3)},
        "keras#l3": "ok",
        "odd#laplace": "random",
        "odd#student": "random",
        "odd#uniform": "random",
        "odd#scaled": "random",
        "odd#outlier": "outliers",
        "odd#few_outliers": "outliers",
        "odd#copies": "near copies",
        "odd#dead": "dead",
    }


def test_the_page_says_so(degeneracy: Result) -> None:
    said = [str(finding) for finding in degeneracy.findings]
    assert said[0] == (
        "Of 29 layers, 24 can be judged: 9 are ok, 15 cannot be told from random weights (29 tests, false discovery "
        "rate 0.05). Of the others, 1 is dead, 2 are dominated by outliers, 1 consists of near copies, 1 is too small "
        "to judge."
    )
    (random,) = (text for text in said if "that can be judged cannot be told from random weights" in text)
    assert random.startswith("15 of 24 layers that can be judged cannot be told from random weights: ")
    assert "acme/torch 5 of 5 (3,200 kernels)" in random
    assert "acme/keras 3 of 4 (1,920 kernels)" in random
    assert any(
        text.startswith("acme/odd: 2 of 8 layers are dominated by outliers; the largest, outlier.weight, has at least ")
        and text.endswith("of its energy in at most 1 of 640 kernels.")
        for text in said
    )
    assert (
        "acme/odd: 1 of 8 layers consists of near copies; copies.weight has 640 kernels; 100% of those sampled are "
        "within 20 % of another one." in said
    )
    assert any("acme/odd: 1 of 8 layers is dead; dead.weight has 640 kernels of which about 9" in text for text in said)
    assert not any("trained" in text for text in said)


def test_untrained_networks_are_named_and_trained_ones_are_not(initialization: Result) -> None:
    found = {row["model_id"]: row for row in rows(initialization, "model_initialization")}
    assert {name: row["verdict"] for name, row in found.items()} == {
        "acme/keras": "looks untrained",
        "acme/odd": "differs",
        "acme/torch": "looks untrained",
        "acme/trained0": "differs",
        "acme/trained1": "differs",
        "acme/tuned": "close to initialization",
    }
    assert [str(finding) for finding in initialization.findings] == [
        "2 of 6 models look untrained (acme/torch, acme/keras); 1 is close to initialization (acme/tuned).",
        "Models that look untrained, with their judged layers that may be draws from one initial distribution: "
        "acme/torch (5 of 5 layers, 100% of the weights, torch default), "
        "acme/keras (3 of 4 layers, 75% of the weights, glorot uniform).",
        "acme/tuned is close to its initialization: 3 of 3 judged layers, with 100% of its weights, have the standard "
        "deviation and the shape of one initial distribution (torch default) and are not told from random; 3 of them "
        "hold weights beyond its bound, so it was trained a little.",
    ]


def test_findings_point_to_the_rows_that_they_are_derived_from(degeneracy: Result, initialization: Result) -> None:
    for result in (degeneracy, initialization):
        tables = {table.name: table.rows for table in result.tables}
        for finding in result.findings:
            assert isinstance(finding, Finding)
            if finding.table is not None:
                models = tables[finding.table].column("model_id").take(list(finding.rows)).to_pylist()
                assert re.findall(r"acme/\w+", finding.text) == models


def test_the_models_table_agrees_with_both(degeneracy: Result, initialization: Result) -> None:
    verdicts = {row["model_id"]: row["verdict"] for row in rows(initialization, "model_initialization")}
    models = rows(degeneracy, "model_quality")
    assert {row["model_id"]: row["initialization"] for row in models} == verdicts
    assert sum(int(row["layers"]) for row in models) == len(rows(degeneracy, "layer_quality"))  # type: ignore[call-overload]
    odd = next(row for row in models if row["model_id"] == "acme/odd")
    assert (odd["outliers"], odd["near_copies"], odd["dead"], odd["random"]) == (2, 1, 1, 4)


def test_the_curve_of_random_layers_is_solid_and_the_caption_says_so(dataset: Path, tmp_path: Path) -> None:
    line = Net(name="line", state={"l.weight": torch.randn(16, 16, 3, 1)})
    for folder, taps in ((dataset, 9), (plant(tmp_path, [line]), 3)):
        from matplotlib.figure import Figure as Canvas

        figure = next(f for f in analysed("degeneracy", folder).figures if f.name.startswith("quality_"))
        canvas = Canvas()
        figure.draw(canvas)
        styles = {str(drawn.get_label()): drawn.get_linestyle() for drawn in canvas.axes[0].get_lines()}
        assert styles["5 % of random layers"] == "-"
        assert "95 % lie above the solid curve" in figure.caption
        assert (styles.get("T_H") == "--") == ("the dashed curve is T_H" in figure.caption) == (taps == 9)
