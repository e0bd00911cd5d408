"""The analyses of a release, which needs no weights of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from filtercrawl.api.analysis import Analysis, AnalysisOptions
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.progress import Progress
from filtercrawl.config import Settings, device
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.stored_layers import absent
from filtercrawl_analysis.report.earlier_results import read_results
from filtercrawl_analysis.report.report_folder import Destination, ReportFolder
from filtercrawl_analysis.report.run_analyses import select_analyses
from filtercrawl_analysis.run.execute import execute

__all__ = ["VersionAnalysis", "analyze_version"]


@dataclass(frozen=True, kw_only=True)
class VersionAnalysis:
    """What became of the analyses.

    Attributes:
        failed: Reason by name.
        kept: Names of those whose earlier results stay in the report.
    """

    failed: Mapping[str, str]
    kept: tuple[str, ...]


def analyze_version(
    analyses: Sequence[Analysis], settings: Settings, progress: Progress, cancellation: CancellationToken
) -> VersionAnalysis:
    """Run the analyses that run without being named, and keep the earlier results of all others.

    Where layers files of earlier versions are not in the folder, analyses that read kernels are not run either:
    fetching the weights of all checkpoints for one new one would cost more than the rest of the night. The report says
    of which state of the dataset their results are.

    Args:
        analyses: All that are installed.
        settings: Their `dataset` is the folder.
        progress: Receives the progress of the run.
        cancellation: Ends the run between two steps of an analysis.

    Raises:
        FiltercrawlError: What `execute` raises.
    """
    with Catalog(settings.dataset) as catalog:
        is_whole = not any(absent(catalog.layers_files(), settings.dataset))
    chosen = [
        analysis for analysis in select_analyses(analyses) if is_whole or not getattr(analysis, "reads_kernels", False)
    ]
    folder = ReportFolder.of_dataset(settings.dataset)
    earlier = read_results(folder)  # None also for those of another version, which are replaced
    result = execute(
        chosen,
        settings,
        AnalysisOptions(device=str(device.select_device(settings.device))),
        destination=Destination(folder=folder, keep_others=earlier is not None),
        progress=progress,
        cancellation=cancellation,
    )
    new = {analysis.name for analysis in chosen} - result.left_out.keys()
    kept = tuple(sorted({str(section["name"]) for section in result.results["analyses"]} - new))
    if kept:
        progress.message(f"earlier results kept of {', '.join(kept)}")
    return VersionAnalysis(failed=dict(result.left_out), kept=kept)
