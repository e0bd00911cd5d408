"""The examples of docs/loading.md, and what each must find in the dataset of `support.loading_dataset`.

`python -m support.loading_examples DIR REPO` runs all of them in a process of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import filtercrawl
from support.loading_dataset import META, SOBEL, network
from support.paths import REPOSITORY

PAGE = REPOSITORY / "docs/loading.md"
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))
BLOCKS = {
    title: code for title, text in SECTIONS.items() for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
}
Names = dict[str, Any]


def run(title: str, folder: str, repo: str) -> None:
    """Run an example and hold what it found against what is so."""
    names: Names = {"DIR": folder, "REPO": repo}
    exec(compile(BLOCKS[title], f"docs/loading.md: {title}", "exec"), names)
    CHECKS[title](names)


def what_is_in_it(names: Names) -> None:
    assert names["index"].n_kernels.sum() == 2 * (48 + 16 + 128) + 2 * (48 + 512 + 512)
    assert set(names["index"].model_id) == {f"timm/{name}" for name in META}


def one_kind(names: Names) -> None:
    assert names["k"].shape == (32, 7, 7)
    assert names["t"]["model_id"].to_pylist() == [f"timm/{name}" for name in META if name.startswith("convnext")]


def as_convolved(names: Names) -> None:
    assert len(names["steps"]) == 8
    folded = names["folded"]
    assert set(folded) == {f"timm/{name}#2.weight" for name in META if not name.startswith("convnext")}
    raw = filtercrawl.load_layers(names["REPO"], "layer = '2' and kernel = '3x3'", ["layer_id"])
    for name, weight in zip(raw["layer_id"].to_pylist(), filtercrawl.to_tensors(raw), strict=True):
        if name in folded:  # the running variance is 1, and epsilon that of the network that was built
            torch.testing.assert_close(folded[name], weight / (1 + 1e-5) ** 0.5, rtol=1e-6, atol=0)


def dead_by_depth(names: Names) -> None:
    found: pd.DataFrame = names["dead"]
    assert found.models.tolist() == [1, 1, 1]
    assert found.kernels.tolist() == [48, 512, 512]
    assert found.dead.tolist() == [0, 0, 16 / 512]


def moved(names: Names) -> None:
    assert list(names["moved"]) == ["0", "1", "2"]
    assert all(0.01 < value < 0.2 for value in names["moved"].values())
    assert [tuple(w.shape) for w in names["before"].values()] == [(16, 3, 4, 4), (16, 1, 7, 7), (8, 16, 3, 3)]


def nearest(names: Names) -> None:
    assert names["cited"][0] == "timm/resnet18.a1_in1k#1.weight#part0:5:7"
    assert names["v"][0].item() == pytest.approx(1)
    assert len(set(names["cited"])) == 10
    for cited, score in zip(names["cited"], names["v"].tolist(), strict=True):
        row_id, out, inner = cited.rsplit(":", 2)
        row = names["t"]["row_id"].to_pylist().index(row_id)
        shape = names["t"]["shape"][row].as_py()
        kernel = torch.tensor(names["t"]["weight"][row].as_py()).view(shape)[int(out), int(inner)]
        assert torch.cosine_similarity(kernel.flatten(), SOBEL.flatten(), 0).item() == pytest.approx(score, abs=1e-5)


def pictures(names: Names) -> None:
    assert sorted(path.name for path in Path.cwd().glob("*.png")) == ["fb_in22k.png", "fb_in22k_ft_in1k.png"]
    assert names["pictures"].shape == (16, 4, 4, 3)
    assert str(names["pictures"].dtype) == "uint8"


def training(names: Names) -> None:
    assert names["kernels"].n_kernels == 2 * 128 + 2 * (48 + 512 + 512)
    assert [tuple(x.shape) for x in [names["batch"]]] == [(names["kernels"].n_kernels, 3, 3)]
    assert len(names["losses"]) == 2
    assert names["losses"][1] < names["losses"][0]


def single(names: Names) -> None:
    assert names["w"].shape == (16, 1, 7, 7)


def pandas_alone(names: Names) -> None:
    torch.manual_seed(len("resnet18"))
    first: torch.Tensor = network("resnet18").state_dict()["0.weight"]
    assert torch.equal(torch.tensor(names["w"]), first)


CHECKS: dict[str, Callable[[Names], None]] = {
    "What is in it": what_is_in_it,
    "Kernels of one kind as one tensor": one_kind,
    "As the network convolves": as_convolved,
    "Dead kernels by depth": dead_by_depth,
    "What fine-tuning changed": moved,
    "Nearest kernels": nearest,
    "First layers as pictures": pictures,
    "Training on kernels": training,
    "Single layers with `datasets`": single,
    "pandas only": pandas_alone,
}


if __name__ == "__main__":
    import datasets

    datasets.config.USE_PARQUET_EXPORT = False  # it would ask another host
    for title in CHECKS:
        run(title, *sys.argv[1:])
        sys.stdout.write(f"{title}\n")
