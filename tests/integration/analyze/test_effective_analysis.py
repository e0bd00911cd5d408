"""The analysis `effective` on networks in which the difference between stored and effective weights is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from support.synthetic_datasets import SMOOTH, Net, analysed, kernels, plant, rows


def folded(name: str, seed: int) -> Net:
    """A layer of 32 filters before a batch normalization that nearly turns off every other one."""
    random = np.random.default_rng(seed)
    gain = torch.ones(32)
    gain[::2] = 1e-4
    state = {
        "features.0.weight": kernels(random, SMOOTH, 512).reshape(32, 16, 3, 3),
        "features.1.weight": gain,
        "features.1.bias": torch.zeros(32),
        "features.1.running_mean": torch.zeros(32),
        "features.1.running_var": torch.ones(32),
    }
    return Net(name=name, state=state)


def branched(name: str, seed: int) -> Net:
    """A block of RepVGG whose 1x1 branch adds a large center to each kernel."""
    random = np.random.default_rng(seed)
    state = {
        "block.rbr_dense.conv.weight": kernels(random, SMOOTH, 512).reshape(32, 16, 3, 3),
        "block.rbr_1x1.conv.weight": torch.full((32, 16, 1, 1), 5.0),
    }
    for path in ("block.rbr_dense.bn", "block.rbr_1x1.bn"):
        for leaf, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            state[f"{path}.{leaf}"] = torch.full((32,), value)
    return Net(name=name, state=state)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nets = [folded(f"folded{i}", i) for i in range(8)] + [branched(f"branched{i}", 100 + i) for i in range(8)]
    return plant(tmp_path_factory.mktemp("effective"), nets)


@pytest.mark.parametrize("view", ["raw", "effective"])
def test_planted_differences_are_found_and_no_others(dataset: Path, view: str) -> None:
    result = analysed("effective", dataset, by=("task",), resamples=2_000, view=view)
    assert [(row["steps"], row["layers"], row["share"]) for row in rows(result, "effective_steps")] == [
        ("batch_norm", 8, 0.5), ("branches", 8, 0.5)
    ]  # fmt: skip
    drift = {(row["column"], row["group"]): row for row in rows(result, "effective_drift")}
    assert drift["steps", "branches"]["verdict"] == "differs"
    assert drift["steps", "branches"]["drift"] > 1
    # Positive factors change no kernel that is divided by its largest magnitude.
    assert drift["steps", "batch_norm"]["verdict"] == "no difference found"
    assert drift["steps", "batch_norm"]["drift"] < 0.01
    quality = {
        (row["group"], row["measure"]): row for row in rows(result, "effective_quality") if row["column"] == "steps"
    }
    sparsity = quality["batch_norm", "sparsity"]
    assert (sparsity["stored"], sparsity["effective"], sparsity["verdict"]) == (0.0, 0.5, "higher")
    assert quality["branches", "sparsity"]["verdict"] == "too little to tell"  # no model changes
    texts = [str(finding) for finding in result.findings]
    assert (
        texts[0]
        == "16 layers are not convolved with as stored (100% of those analyzed): 8 by batch norm, 8 by branches."
    )
    assert any("differ from the stored ones" in text and "q <= 0.05 among" in text for text in texts)
    assert {figure.name for figure in result.figures} == {"effective_quality", "effective_drift"}
    tables = {table.name: table.rows.num_rows for table in result.tables}
    for finding in result.findings:
        assert not isinstance(finding, str)
        assert all(row < tables[str(finding.table)] for row in finding.rows)


def test_where_nothing_is_known_it_says_so(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    plain = Net(name="plain", state={"conv.weight": kernels(random, SMOOTH, 64).reshape(8, 8, 3, 3)})
    result = analysed("effective", plant(tmp_path, [plain]))
    assert result.tables == ()
    assert result.note == "Nothing to analyze: no layer is known to be convolved with otherwise than it is stored."
