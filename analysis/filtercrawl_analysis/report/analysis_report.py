"""What `analyze` returns: the findings, tables and files of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from filtercrawl.api.analysis import SampleSize
from filtercrawl.api.formatting import format_plural, shorten_words
from filtercrawl.display.html import html_table
from filtercrawl_analysis.report.report_folder import ReportFolder
from filtercrawl_analysis.report.scope import nothing_text
from filtercrawl_analysis.report.section_view import format_sample_size

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class AnalysisReport:
    """The results of one run of `analyze`, as they were written.

    Attributes:
        dataset: The dataset folder.
        folder: Where the report is: `analysis` of the dataset, or the folder that was asked for.
        results: The content of results.json: with `only`, also what earlier runs wrote of other analyses.
        paths: All files that were written, relative to the dataset, or to the folder that was asked for.
        left_out: What failed and is not in the report (an analysis or a figure), with the reason.
        tables: The result tables by name, as Arrow; the files hold the same rows. Of a table that is too large for
            memory, such as `filters`, the first rows.
        seconds_by_analysis: Wall-clock seconds of each analysis, by its name.
        seconds: Wall-clock seconds of the whole run.
    """

    dataset: Path
    folder: ReportFolder
    results: Mapping[str, Any]
    paths: tuple[str, ...]
    left_out: Mapping[str, str]
    tables: Mapping[str, pa.Table] = field(repr=False)
    seconds_by_analysis: Mapping[str, float]
    seconds: float

    @property
    def page(self) -> Path:
        """The HTML report."""
        return self.folder.root / self.folder.page

    @property
    def sample_size(self) -> SampleSize:
        """How many kernels, layers and models were analyzed."""
        return SampleSize(**self.results["basis"])

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of the analyses of this run, one sentence or two each, in the order of the report."""
        return tuple(finding["text"] for analysis in self._analyses for finding in analysis["findings"])

    @property
    def nothing(self) -> str:
        """Why no layer was analyzed, and what to run; empty where there are some."""
        return nothing_text(self.results)

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Title and reason of each analysis of this run that had nothing to analyze."""
        return tuple((analysis["title"], analysis["note"]) for analysis in self._analyses if analysis["note"])

    @property
    def _analyses(self) -> list[Mapping[str, Any]]:
        """The analyses of this run; results.json may have others of earlier ones."""
        run = self.seconds_by_analysis.keys() - self.left_out.keys()
        return [analysis for analysis in self.results["analyses"] if analysis["name"] in run]

    def to_pandas(self, table: str) -> pd.DataFrame:
        """Return one result table as a pandas data frame.

        Args:
            table: The name of the table, such as `layer_quality`.

        Raises:
            KeyError: No table of this run has that name.
        """
        frame: pd.DataFrame = self.tables[table].to_pandas()
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the results with times and totals, and without the hashes of files: the output of `--json`."""
        results = {key: value for key, value in self.results.items() if key != "sha256"}
        analyses = [{**analysis, "seconds": self.seconds_by_analysis[analysis["name"]]} for analysis in self._analyses]
        return {
            "dataset": str(self.dataset),
            **results,
            "analyses": analyses,
            "tables": sum(len(analysis["tables"]) for analysis in analyses),
            "figures": sum(len(analysis["figures"]) for analysis in analyses),
            "findings": list(self.findings),
            "files": list(self.paths),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """Return the sample size, what failed, the findings and the path of the page, as text."""
        size = self.sample_size
        counts = (size.kernels, "kernel"), (size.layers, "layer"), (size.models, "model")
        lines = [" of ".join(format_plural(count, noun) for count, noun in counts)]
        lines += [self.nothing] if self.nothing else []
        lines += [f"left out: {name}: {reason}" for name, reason in self.left_out.items()]
        lines += [f"{title}: {note}" for title, note in self.notes]
        return "\n".join([*lines, *map(shorten_words, self.findings), f"report: {self.page}"])

    def _repr_html_(self) -> str:
        """Show the sample size, what failed and the findings in a notebook; text from the dataset is escaped."""
        rows = [
            ("report", str(self.page)),
            ("tables", f"{len(self.tables):,}"),
            *((f"left out: {name}", reason) for name, reason in self.left_out.items()),
            *self.notes,
            *((analysis["title"], finding["text"]) for analysis in self._analyses for finding in analysis["findings"]),
        ]
        return html_table(f"Analysis of {format_sample_size(self.sample_size)}", rows)
