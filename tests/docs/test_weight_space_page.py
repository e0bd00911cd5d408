"""The code of docs/weight-space.md runs, and so does the example that the page names."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from support.loading_dataset import loading_dataset
from support.paths import REPOSITORY

PAGE = (REPOSITORY / "docs/weight-space.md").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page")
    loading_dataset(made).rename(made / "kernels")
    return made


def test_the_code_of_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "docs/weight-space.md", "exec"), names)
    assert len(names["weights"]) == 3


def test_the_example_learns(folder: Path) -> None:
    example = runpy.run_path(str(REPOSITORY / "examples/weight_space.py"))
    tokens = example["read"](str(folder / "kernels"), "train", 500)
    before = example["explained"](example["train"](tokens, 0), tokens)
    after = example["explained"](example["train"](tokens, 100), tokens)
    assert before < 0.05
    assert after > 0.3
