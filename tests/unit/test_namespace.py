"""What `import filtercrawl` offers, and that it costs nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import filtercrawl
import filtercrawl.load
from filtercrawl.config.fields import settings_of
from filtercrawl.config.settings import Settings

PUBLIC = [
    "AnalysisReport", "ComparisonReport", "Dataset", "DatasetStatus", "Difference", "FiltercrawlError", "Inspection",
    "KernelDataset", "ModelTokens", "PublishResult", "SearchReport", "Subset", "SubsetReport", "SyncReport",
    "TokenDataset", "TokenSequence", "UsageError", "VerifyReport", "__version__", "analyze", "compare", "detokenize",
    "diff", "first_layer_pictures", "inspect", "load_first_layers", "load_layers", "load_subset", "open_dataset",
    "publish", "search", "status", "subset", "sync", "to_flat_tensor", "to_tensors", "tokenize", "verify",
]  # fmt: skip


def test_the_public_names() -> None:
    assert filtercrawl.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(filtercrawl))
    for name in PUBLIC:
        if name != "__version__":
            assert getattr(filtercrawl, name).__name__ == name
            assert inspect.getdoc(getattr(filtercrawl, name)), name


def test_functions_are_documented_with_an_example() -> None:
    for name in PUBLIC:
        what = getattr(filtercrawl, name)
        if inspect.isfunction(what) or name == "KernelDataset":
            assert "Example:" in (inspect.getdoc(what) or ""), name


def test_the_names_of_load() -> None:
    assert filtercrawl.load.__all__ == [
        "Dataset", "DatasetInfo", "KernelDataset", "Subset", "SubsetLayer", "first_layer_pictures",
        "load_first_layers", "load_layers", "load_subset", "open_dataset", "to_flat_tensor", "to_tensors",
    ]  # fmt: skip
    assert set(filtercrawl.load.__all__) <= set(dir(filtercrawl.load))
    assert all(getattr(filtercrawl.load, name).__doc__ for name in filtercrawl.load.__all__)


@pytest.mark.parametrize("module", [filtercrawl, filtercrawl.load])
def test_other_names_are_no_attributes(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'crew'"):
        module.crew  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_is_cheap() -> None:
    """Neither the import nor the functions that need no tensors load a heavy library."""
    code = """
import sys, time
started = time.process_time()
import filtercrawl
seconds = time.process_time() - started
heavy = {"torch", "datasets", "huggingface_hub", "pandas", "matplotlib", "duckdb", "pyarrow", "numpy", "pluggy", "rich"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
assert seconds < 0.05, seconds
dir(filtercrawl), filtercrawl.__version__, filtercrawl.sync, filtercrawl.inspect, filtercrawl.analyze
filtercrawl.status, filtercrawl.load_layers, filtercrawl.open_dataset, filtercrawl.SyncReport
assert not {"torch", "datasets", "matplotlib", "typer"} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sync_has_every_setting_as_a_keyword() -> None:
    parameters = inspect.signature(filtercrawl.sync).parameters
    settings = settings_of(Settings)
    others = ["selectors", "plugins", "progress", "cancellation"]
    assert [name for name in parameters if name not in others] == list(settings)
    assert all(parameters[name].default is None for name in settings)
    doc = inspect.getdoc(filtercrawl.sync) or ""
    assert all(f"    {name}: " in doc for name in settings)
