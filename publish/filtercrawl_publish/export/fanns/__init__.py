"""A benchmark set of filtered nearest neighbor search, made of kernels."""

from filtercrawl_publish.export.fanns.options import BenchmarkOptions
from filtercrawl_publish.export.fanns.write import BenchmarkReport, write_benchmark

__all__ = ["BenchmarkOptions", "BenchmarkReport", "write_benchmark"]
