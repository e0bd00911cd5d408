"""Find the kernels of a dataset that are nearest to given ones."""

from filtercrawl.kernel_search.nearest import Candidates
from filtercrawl.kernel_search.neighbors import Neighbors
from filtercrawl.kernel_search.query import Query
from filtercrawl.kernel_search.report import SearchReport
from filtercrawl.kernel_search.search import search
from filtercrawl.kernel_search.similarity import Invariance, Metric, Similarity

__all__ = ["Candidates", "Invariance", "Metric", "Neighbors", "Query", "SearchReport", "Similarity", "search"]
