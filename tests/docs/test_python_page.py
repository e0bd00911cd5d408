"""The examples of docs/python.md run one after the other, and find what is in the dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import filtercrawl
from support.paths import REPOSITORY
from support.zoo_files import put, state

pytestmark = pytest.mark.usefixtures("forked_children")

PAGE = (REPOSITORY / "docs/python.md").read_text("utf-8")


def test_the_examples_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("abc"):
        put(tmp_path / f"models/{name}.safetensors", state(seed))
    names: dict[str, Any] = {}
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
        exec(compile(code, f"docs/python.md, example {number}", "exec"), names)
    assert names["report"].checkpoints["new"] == names["status"].checkpoints == 3
    assert PAGE.count(names["message"]) == 1
    assert [row["outcome"] for row in names["ledger"] if row["tensor"] == "stem.weight"] == ["emitted"]
    assert names["comparison"].judgement.relation == "none"
    by_size = {row["kernel"]: row["n_kernels_sum"] for row in names["by_size"].to_pylist()}
    assert by_size == {"1x1": 48, "3x3": 36, "5x5": 12}
    assert names["outcomes"].outcome.tolist() == ["emitted"] * 3
    assert len(names["weights"]) == 3
    assert names["kernels"].shape == (36, 3, 3)
    assert names["training"].n_kernels == 36
    assert len(names["quality"]) == 6
    assert names["result"].version == "v2026.11.23"
    assert names["published"].info.counts["layers"] == 6
    assert capsys.readouterr().out


def test_the_reference_has_every_public_name() -> None:
    reference = set(re.findall(r"^::: filtercrawl\.(\w+)$", PAGE, re.MULTILINE))
    assert reference == set(filtercrawl.__all__) - {"__version__", "FiltercrawlError", "UsageError"}
