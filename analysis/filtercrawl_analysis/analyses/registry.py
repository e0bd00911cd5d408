"""The bundled analyses, by the same hook as anybody's; each is imported when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from filtercrawl.api.analysis import Analysis, DatasetView, Result
from filtercrawl.api.hookspecs import hookimpl


@dataclass(frozen=True, kw_only=True)
class LazyAnalysis:
    """An analysis whose module, with a function `analyze`, takes a second to import. module: below this package."""

    name: str
    title: str
    module: str

    def run(self, dataset: DatasetView) -> Result:
        result: Result = import_module(f"filtercrawl_analysis.analyses.{self.module}").analyze(dataset)
        return result


ANALYSES: Final = (
    LazyAnalysis(name="census", title="What the dataset holds", module="census"),
    LazyAnalysis(name="degeneracy", title="Quality and degeneracy", module="degeneracy"),
    LazyAnalysis(name="drift", title="Drift between groups", module="drift"),
    LazyAnalysis(name="eigenkernels", title="Principal components", module="principal_components"),
    LazyAnalysis(name="initialisation", title="Distance from initialisation", module="initialisation"),
    LazyAnalysis(name="shape", title="Frequency, symmetry and separability", module="kernel_shape"),
)


@hookimpl
def filtercrawl_analyses() -> Iterator[Analysis]:
    yield from ANALYSES
