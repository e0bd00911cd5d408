"""Analyses of a filtercrawl dataset: statistics at sync time, and tables, figures and a report from `analyze`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filtercrawl_analysis.report.analysis_report import AnalysisReport
    from filtercrawl_analysis.run.analyze import analyze

__all__ = ["AnalysisReport", "analyze"]


def __getattr__(name: str) -> Any:
    """Import what `__all__` names on first use: plugins of this package are imported by every command."""
    if name == "AnalysisReport":
        from filtercrawl_analysis.report.analysis_report import AnalysisReport

        return AnalysisReport
    if name == "analyze":
        from filtercrawl_analysis.run.analyze import analyze

        return analyze
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
