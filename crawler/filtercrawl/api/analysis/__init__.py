"""Protocols and records of analyses: their view of the dataset, and their tables, figures and findings."""

from filtercrawl.api.analysis.dataset_view import AnalysisOptions, DatasetView, TrainingStep
from filtercrawl.api.analysis.figures import Figure, SampleSize
from filtercrawl.api.analysis.findings import CitedRows, Estimate, Finding
from filtercrawl.api.analysis.protocol import Analysis, Result
from filtercrawl.api.analysis.tables import ResultTable

__all__ = [
    "Analysis",
    "AnalysisOptions",
    "CitedRows",
    "DatasetView",
    "Estimate",
    "Figure",
    "Finding",
    "Result",
    "ResultTable",
    "SampleSize",
    "TrainingStep",
]
