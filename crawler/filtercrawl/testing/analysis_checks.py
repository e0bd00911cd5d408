"""Checks of analyses, which are run by `filtercrawl analyze` over a small dataset and an empty one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from filtercrawl.api.analysis import Analysis
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.isolation import IsolatedPlugin
from filtercrawl.testing.sample_weights import sample_weights

_SECONDS: Final = 600


def analyses(isolated: IsolatedPlugin, module: str) -> Iterator[Violation]:
    """An analysis gives results that can be written, also without kernels, and the same ones twice."""
    found = isolated.own.analyses
    with TemporaryDirectory(prefix="filtercrawl-check-") as temporary:
        for name, count in (("small", 3), ("empty", 0)):
            dataset = _dataset(Path(temporary) / name, count, isolated.plugins)
            first = _analyse(dataset, module, isolated)
            yield from _failures(first, found, name)
            if count and not first.get("left_out"):
                before = _tables(dataset)
                _analyse(dataset, module, isolated)
                if changed := sorted(path for path, data in _tables(dataset).items() if before.get(path) != data):
                    yield (
                        f"two runs over one dataset give two results: {changed[0]}",
                        "seed random numbers with `dataset.options.seed`, and sort collections without an order",
                    )


def _dataset(folder: Path, count: int, plugins: Plugins) -> Path:
    """Make a dataset of so many networks; with none, of a file without kernels."""
    zoo = folder / "zoo"
    zoo.mkdir(parents=True)
    for number in range(count):
        (zoo / f"net{number}.safetensors").write_bytes(sample_weights(number))
    if not count:
        header = b'{"head.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}'
        (zoo / "linear.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    dataset = folder / "dataset"
    sync(
        [f"local:{zoo}"],
        SyncContext(settings=Settings(dataset=dataset, device="cpu", engine="threads", jobs=1), plugins=plugins),
    )
    return dataset


def _analyse(dataset: Path, module: str, isolated: IsolatedPlugin) -> dict[str, Any]:
    found = isolated.own.analyses
    only = [argument for analysis in found for argument in ("--only", analysis.name)]
    without = [argument for name in isolated.left_out for argument in ("--no-plugin", name)]
    arguments = [
        *without,
        "--plugin",
        module,
        "analyze",
        "--dataset",
        str(dataset),
        "--resamples",
        "3",
        *only,
        "--json",
    ]
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "filtercrawl", *arguments], capture_output=True, timeout=_SECONDS, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"left_out": {analysis.name: reason for analysis in found}}
    return answer


def _failures(answer: dict[str, Any], found: tuple[Analysis, ...], dataset: str) -> Iterator[Violation]:
    over = "a dataset without kernels" if dataset == "empty" else "a dataset"
    for name, why in answer.get("left_out", {}).items():
        yield (
            f"{name}: is left out over {over}: {why}",
            "leave out groups that are too small, state it in a finding, and return a Result",
        )
    for analysis in found:
        if not isinstance(analysis.title, str) or not analysis.title:
            yield (f"{analysis.name}: has no title", "give it one: it is a heading")


def _tables(dataset: Path) -> dict[str, bytes]:
    folder = dataset / "analysis"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}
