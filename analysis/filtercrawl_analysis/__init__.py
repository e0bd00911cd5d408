"""Analyses of a filtercrawl dataset: statistics at sync time, and tables, figures and a report from `analyze`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.extras import missing_extra

if TYPE_CHECKING:
    from filtercrawl_analysis.comparison.compare import compare
    from filtercrawl_analysis.comparison.report import ComparisonReport
    from filtercrawl_analysis.report.analysis_report import AnalysisReport
    from filtercrawl_analysis.run.analyze import analyze
    from filtercrawl_analysis.run.iter_filters import iter_filters
    from filtercrawl_analysis.statistics.form.fits import DogFits, GaborFits, fit_dog, fit_gabor
    from filtercrawl_analysis.statistics.spectra.layer_spectrum import layer_spectrum

__all__ = [
    "AnalysisReport",
    "ComparisonReport",
    "DogFits",
    "GaborFits",
    "analyze",
    "compare",
    "fit_dog",
    "fit_gabor",
    "iter_filters",
    "layer_spectrum",
]

_MODULES: Final = {
    "AnalysisReport": "filtercrawl_analysis.report.analysis_report",
    "ComparisonReport": "filtercrawl_analysis.comparison.report",
    "DogFits": "filtercrawl_analysis.statistics.form.fits",
    "GaborFits": "filtercrawl_analysis.statistics.form.fits",
    "analyze": "filtercrawl_analysis.run.analyze",
    "compare": "filtercrawl_analysis.comparison.compare",
    "fit_dog": "filtercrawl_analysis.statistics.form.fits",
    "fit_gabor": "filtercrawl_analysis.statistics.form.fits",
    "iter_filters": "filtercrawl_analysis.run.iter_filters",
    "layer_spectrum": "filtercrawl_analysis.statistics.spectra.layer_spectrum",
}


def __getattr__(name: str) -> Any:
    """Import what `__all__` names on first use: plugins of this package are imported by every command."""
    if name in _MODULES:
        try:
            return getattr(import_module(_MODULES[name]), name)
        except ModuleNotFoundError as error:
            if missing := missing_extra("analysis"):
                raise ImportError(f"{name} {missing}") from error
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
