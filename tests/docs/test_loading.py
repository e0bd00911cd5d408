"""Every example of docs/loading.md runs, and says what is true of a dataset whose weights are known."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from support.loading_dataset import loading_dataset
from support.loading_examples import BLOCKS, CHECKS, PAGE, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loading_dataset(tmp_path_factory.mktemp("loading"))


def test_every_example_is_held_to_something() -> None:
    assert BLOCKS.keys() == CHECKS.keys()
    assert PAGE.read_text("utf-8").count("```python\n") == len(CHECKS)


# A worker is forked here; newer Pythons say that threads do not come along.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("title", CHECKS)
def test_examples_run(title: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    run(title, str(folder), str(folder))
