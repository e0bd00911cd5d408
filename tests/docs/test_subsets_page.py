"""The recipe and the examples of docs/subsets.md, over a dataset whose weights are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import pytest

from filtercrawl import subset
from filtercrawl.subsets.recipe import Caps, Deduplication, KernelRules, LayerRules, Recipe, Splits, parse_recipe
from support.loading_dataset import loading_dataset
from support.paths import REPOSITORY

PAGE = (REPOSITORY / "docs/subsets.md").read_text("utf-8")


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    recipe = parse_recipe(toml.replace("train = 0.8", "train = 1.0").replace("= 0.1", "= 0.0"), "docs/subsets.md")
    assert parse_recipe(toml, "docs/subsets.md").splits.fractions == {"train": 0.8, "validation": 0.1, "test": 0.1}
    dataset = loading_dataset(tmp_path)
    subset(recipe, dataset, progress=False)
    names: dict[str, Any] = {"REPO": str(dataset)}
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
        exec(compile(code, f"docs/subsets.md, example {number}", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "timm/convnext_tiny.fb_in22k_ft_in1k#2.weight (128, 3, 3)"
    assert "timm/resnet18.a1_in1k#1.weight (256, 3, 3)" in printed
    assert names["batches"].n_kernels == names["subset"].n_kernels == 128 + 48 + 2 * 256
    assert names["kept"].sum() == names["row"]["n_kept"]


def test_every_key_of_a_recipe_is_explained() -> None:
    models = (Recipe, LayerRules, KernelRules, Deduplication, Caps, Splits)
    keys = {key for model in models for key in model.__annotations__} - {"layers", "kernels"}
    rows = "".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    described = set(re.findall(r"`(?:\[\w+\] )?(\w+)", rows))
    assert keys - {"deduplicate", "caps", "splits"} <= described
