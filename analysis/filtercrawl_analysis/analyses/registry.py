"""Registration of the bundled analyses, by the hook that plugins use; each module is imported when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from filtercrawl.api.analysis import Analysis, DatasetView, Result
from filtercrawl.api.hookspecs import hookimpl


@dataclass(frozen=True, kw_only=True)
class LazyAnalysis:
    """An analysis whose module is imported on its first run, as the import takes a second.

    Attributes:
        name: The name of the analysis.
        title: Its heading in the report.
        module: The module of this package with its function `analyze`.
        default: Whether it runs without being asked for by name.
        by_step: Whether it compares the steps of training runs itself, so that `--along step` runs it once.
        reads_kernels: Whether it reads kernels from the layers files also without `--exact`.
    """

    name: str
    title: str
    module: str
    default: bool = True
    by_step: bool = False
    reads_kernels: bool = False

    def run(self, dataset: DatasetView) -> Result:
        """Import the module and run the analysis."""
        result: Result = import_module(f"filtercrawl_analysis.analyses.{self.module}").analyze(dataset)
        return result


ANALYSES: Final = (
    LazyAnalysis(name="accuracy", title="Quality of kernels against stated accuracy", module="accuracy"),
    LazyAnalysis(name="census", title="What the dataset holds", module="census"),
    LazyAnalysis(name="degeneracy", title="Quality and degeneracy", module="degeneracy"),
    LazyAnalysis(name="drift", title="Drift between groups", module="drift"),
    LazyAnalysis(name="effective", title="Effective and stored weights", module="effective", default=False),
    LazyAnalysis(name="eigenkernels", title="Principal components", module="principal_components"),
    LazyAnalysis(name="family", title="Models in their family", module="family"),
    LazyAnalysis(name="filters", title="Filters", module="filters", default=False, reads_kernels=True),
    LazyAnalysis(name="form", title="Form of kernels", module="form", default=False, reads_kernels=True),
    LazyAnalysis(name="first-layers", title="First layers", module="first_layers", reads_kernels=True),
    LazyAnalysis(name="influence", title="One model left out", module="influence"),
    LazyAnalysis(name="initialization", title="Distance from initialization", module="initialization"),
    LazyAnalysis(
        name="lineage",
        title="Which checkpoint was made from which",
        module="lineage",
        default=False,
        reads_kernels=True,
    ),
    LazyAnalysis(name="published", title="Published values", module="published"),
    LazyAnalysis(name="shape", title="Frequency, symmetry and separability", module="kernel_shape"),
    LazyAnalysis(name="spectra", title="Spectra of layers", module="spectra", default=False, reads_kernels=True),
    LazyAnalysis(name="training", title="Kernels over training", module="training", by_step=True, reads_kernels=True),
)


def empty_result(reason: str) -> Result:
    """Return a result without tables and figures that says why there are none."""
    return Result(note=f"Nothing to analyze: {reason}.")


@hookimpl
def filtercrawl_analyses() -> Iterator[Analysis]:
    """Register the bundled analyses."""
    yield from ANALYSES
