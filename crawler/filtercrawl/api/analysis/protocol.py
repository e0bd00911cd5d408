"""The protocol of an analysis, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from filtercrawl.api.analysis.dataset_view import DatasetView
from filtercrawl.api.analysis.figures import Figure
from filtercrawl.api.analysis.findings import Finding
from filtercrawl.api.analysis.tables import ResultTable


@dataclass(frozen=True, kw_only=True)
class Result:
    """The results of an analysis.

    Attributes:
        tables: Tables.
        figures: Figures.
        findings: Sentences for the top of the report, the most important first; a string is a `Finding` without a row.
        note: Why there is nothing to analyze; shown in the section of the analysis and no finding. Empty elsewhere.
    """

    tables: tuple[ResultTable, ...] = ()
    figures: tuple[Figure, ...] = ()
    findings: tuple[Finding | str, ...] = ()
    note: str = ""


@runtime_checkable
class Analysis(Protocol):
    """An analysis of a dataset.

    An attribute `default = False`, which an analysis need not have, keeps it out of runs that do not name it by
    `--only` or `--also`: for one that reads all kernels, or that takes more than about 10 ms a layer. An attribute
    `reads_kernels = True` lets the page say that its results are not from sketches.
    """

    @property
    def name(self) -> str:
        """Name of the analysis: lower-case letters, digits and hyphens."""
        ...

    @property
    def title(self) -> str:
        """Heading in the report."""
        ...

    def run(self, dataset: DatasetView) -> Result:
        """Analyze the dataset; groups that are too small are left out and reported, not raised.

        Args:
            dataset: The kernels and tables to analyze, and the options of the run.

        Raises:
            Cancelled: The run is to end.
        """
        ...
