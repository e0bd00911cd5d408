"""Checks of analyses, which are run by `filtercrawl analyze` over a small dataset and an empty one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.isolation import IsolatedPlugin
from filtercrawl.testing.sample_weights import sample_weights

_SECONDS: Final = 600
_CANVAS: Final = "draw on the canvas that `draw` is given, and use neither pyplot nor rcParams: other figures follow"

_FOLDER: Final = "return tables and figures, and write no files: they go where `--out` says"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run of `filtercrawl analyze`.

    Attributes:
        left_out: Analyses and figures that failed, with the reason.
        left: What the run left behind in its process and its folder.
        results: The file `results.json`; empty where none was written.
    """

    left_out: Mapping[str, str]
    left: tuple[str, ...]
    results: Mapping[str, Any]


def analyses(isolated: IsolatedPlugin, module: str) -> Iterator[Violation]:
    """An analysis gives results that can be written, also without kernels, and the same ones twice."""
    found = isolated.own.analyses
    for analysis in found:
        if not isinstance(analysis.title, str) or not analysis.title:
            yield (f"{analysis.name}: has no title", "give it one: it is a heading")
    with temporary_folder() as folder:
        small, empty = (
            _dataset(folder / name, count, isolated.plugins) for name, count in (("small", 3), ("empty", 0))
        )
        again = Path(shutil.copytree(small, folder / "again" / small.name))
        everything = Path(shutil.copytree(small, folder / "everything" / small.name))
        own = [argument for analysis in found for argument in ("--only", analysis.name)]
        first = _analyze(small, module, isolated, own)
        yield from _failures(first, "a dataset")
        yield from _failures(_analyze(empty, module, isolated, own), "a dataset without kernels")
        yield from ((what, _CANVAS if "matplotlib" in what or "pyplot" in what else _FOLDER) for what in first.left)
        yield from _figures(first)
        if not first.left_out:
            yield from _changes(first, _analyze(again, module, isolated, own))
            also = ["--also" if argument == "--only" else argument for argument in own]
            yield from _clashes(_analyze(everything, module, isolated, also))


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
    settings = Settings(dataset=dataset, device="cpu", engine="threads", jobs=1)
    sync([f"local:{zoo}"], SyncContext(settings=settings, plugins=plugins))
    return dataset


def _analyze(dataset: Path, module: str, isolated: IsolatedPlugin, chosen: list[str]) -> _Run:
    without = [argument for name in isolated.left_out for argument in ("--no-plugin", name)]
    options = ["--dataset", str(dataset), "--resamples", "3", *chosen, "--json"]
    place = dataset.parent / "place"
    place.mkdir(exist_ok=True)
    left = dataset.parent / "left.txt"
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "filtercrawl.testing.analysis_run", str(left), *without, "--plugin", module, "analyze",
         *options],
        capture_output=True, timeout=_SECONDS, check=False, cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)},
    )  # fmt: skip
    lines = tuple(left.read_text("utf-8").splitlines()) if left.is_file() else ()
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return _Run(left_out={analysis.name: reason for analysis in isolated.own.analyses}, left=lines, results={})
    results = dataset / "analysis" / "results.json"
    return _Run(
        left_out=answer.get("left_out", {}),
        left=lines,
        results=json.loads(results.read_text("utf-8")) if results.is_file() else {},
    )


def _failures(run: _Run, over: str) -> Iterator[Violation]:
    for name, why in run.left_out.items():
        yield (
            f"{name}: is left out over {over}: {why}",
            "leave out groups that are too small, state it in a finding, and return a Result",
        )


def _figures(run: _Run) -> Iterator[Violation]:
    for analysis in run.results.get("analyses", ()):
        for figure in analysis["figures"]:
            if zeros := [name for name, count in figure["basis"].items() if count <= 0]:
                yield (
                    f"{analysis['name']}: the figure {figure['name']!r} says that it is of 0 {zeros[0]}",
                    "state in `basis` how many kernels, layers and models the figure shows",
                )


def _changes(first: _Run, second: _Run) -> Iterator[Violation]:
    """Yield what differs between two runs over one dataset."""
    one, two = _results(first), _results(second)
    if changed := sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name)):
        yield (
            f"two runs over one dataset give two results: {changed[0]}",
            "seed random numbers with `dataset.options.seed`, sort collections without an order, and show no times",
        )


def _results(run: _Run) -> dict[str, object]:
    """Return what a run found by name: digests of tables and figures, and findings."""
    files = {
        path: digest
        for path, digest in run.results.get("sha256", {}).items()
        if {"tables", "figures"} & set(Path(path).parts)
    }
    found = {f"findings of {row['name']}": row["findings"] for row in run.results.get("analyses", ())}
    return {**files, **found}


def _clashes(run: _Run) -> Iterator[Violation]:
    for name, why in run.left_out.items():
        yield (
            f"beside the analyses of filtercrawl {name} is left out: {why}",
            "begin the names of tables and figures with the name of the plugin: all analyses share one folder",
        )
