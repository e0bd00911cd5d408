"""The examples of docs/search.md run, and what the page says of the benchmark set is so."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

import filtercrawl
from filtercrawl_publish.export.fanns import BenchmarkOptions, write_benchmark
from filtercrawl_publish.export.fanns.attributes import ABOUT
from filtercrawl_publish.export.fanns.filters import TAGS
from support.paths import REPOSITORY
from support.zoo_files import put, state

PAGE = (REPOSITORY / "docs/search.md").read_text("utf-8")


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "models/a.safetensors", state())
    filtercrawl.sync("local:models", dataset="kernels")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "docs/search.md", "exec"), names)
    assert len(names["rows"]) == 5
    assert set(names["rows"][0]) >= {"kernel_id", "cosine", "image", "values", "layer_id"}
    assert "kernels of 3x3 searched" in capsys.readouterr().out


def test_the_files_of_a_benchmark_set(tmp_path: Path) -> None:
    put(tmp_path / "models/a.safetensors", state())
    filtercrawl.sync(f"local:{tmp_path / 'models'}", dataset=tmp_path / "kernels")
    write_benchmark(tmp_path / "kernels", tmp_path / "set", BenchmarkOptions(size=20, queries=2, neighbors=2))
    patterns = {*re.findall(r"`([\w*]+(?:\.\w+)+)`", PAGE), "README.md"}
    files = [path.name for path in (tmp_path / "set").rglob("*") if path.is_file()]
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert len(files) == 22


def test_numbers_of_attributes() -> None:
    assert f"The {len(ABOUT)} attributes" in PAGE
    assert f"of {len(TAGS)} attributes" in PAGE
