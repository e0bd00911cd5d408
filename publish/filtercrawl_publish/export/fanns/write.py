"""Make a benchmark set and write it, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.dataset.files.new_folder import check_apart, check_free, new_folder
from filtercrawl.kernel_search.stream import KernelStream
from filtercrawl.load.location import open_location
from filtercrawl.load.query import select_layers
from filtercrawl_publish.export.fanns.attributes import COLUMNS, attributes
from filtercrawl_publish.export.fanns.card import card
from filtercrawl_publish.export.fanns.filters import KINDS, FilterPool
from filtercrawl_publish.export.fanns.ground_truth import ground_truth
from filtercrawl_publish.export.fanns.layouts import Benchmark, write_ann_benchmarks, write_big_ann, write_fanns
from filtercrawl_publish.export.fanns.options import BenchmarkOptions
from filtercrawl_publish.export.fanns.sample import Sample, sample
from filtercrawl_publish.export.fanns.tables import write_tables

# Numbers of a block of kernels.
_BLOCK_NUMBERS: Final = 1 << 22


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """What was written.

    Attributes:
        folder: Where.
        vectors: Vectors to search in.
        queries: Vectors to search for.
        dimension: Numbers of a vector.
        filters: The number of filters by kind; 0 for a kind that is left out, as too few vectors meet any.
    """

    folder: str
    vectors: int
    queries: int
    dimension: int
    filters: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl export fanns --json`."""
        return dict(vars(self))

    def __str__(self) -> str:
        made = {kind: count for kind, count in self.filters.items() if kind != "none"}
        filters = ", ".join(f"{count} of {kind}" for kind, count in made.items() if count)
        left_out = ", ".join(kind for kind, count in made.items() if not count)
        size = f"{self.vectors:,} vectors of {self.dimension} numbers, {self.queries:,} queries"
        text = f"{escape_control(self.folder)}: {size}; filters: {filters or 'none'}"
        return f"{text}; no filters of {left_out}, as too few vectors meet any" if left_out else text


def write_benchmark(
    repo_or_path: str | Path, target: Path, options: BenchmarkOptions | None = None, *, replace: bool = False
) -> BenchmarkReport:
    """Write a benchmark set of filtered search into a folder that appears when it is complete.

    Memory: some hundred bytes a vector, and one row group of the dataset.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        target: The folder to write.
        options: What the set is made of.
        replace: Whether to replace a folder that exists.

    Raises:
        UsageError: There are too few kernels, the condition is not understood, or the folder is not apart from the
            dataset.
        PolicyError: The folder exists.
        DatasetError: The dataset is damaged, or the folder cannot be written.
        NetworkError: The Hub does not answer, or has no such repository or revision.
    """
    check_apart(target, repo_or_path)
    check_free(target, replace=replace)  # before the work, not after it
    benchmark = make_benchmark(repo_or_path, options or BenchmarkOptions())
    with new_folder(target, replace=replace) as folder:
        write_tables(folder, benchmark)
        write_fanns(folder / "fanns", benchmark)
        write_big_ann(folder / "big-ann-benchmarks", benchmark)
        write_ann_benchmarks(folder / "ann-benchmarks", benchmark)
        (folder / "README.md").write_text(card(benchmark), encoding="utf-8", newline="\n")
    return BenchmarkReport(
        folder=str(target),
        vectors=len(benchmark.vectors),
        queries=len(benchmark.queries),
        dimension=benchmark.vectors.shape[1],
        filters={kind: len(benchmark.filters(kind)) for kind in KINDS},
    )


def make_benchmark(repo_or_path: str | Path, options: BenchmarkOptions) -> Benchmark:
    """Choose vectors, queries and filters, and find the neighbors."""
    location = open_location(repo_or_path)
    this_size = duckdb.ColumnExpression("kernel") == duckdb.ConstantExpression(options.kernel)
    stream = KernelStream(location=location, layers=select_layers(location.index(), options.where, COLUMNS, this_size))
    if not len(stream.numbers):
        matching = "" if options.where is None else f" where {options.where}"
        raise UsageError(f"{location}: no kernels of {options.kernel}{matching}")
    taps = int(np.prod(stream.layers["kernel_size"][0].as_py()))
    blocks = stream.blocks(_BLOCK_NUMBERS // taps)
    chosen = sample(blocks, taps, options.queries + options.size, options.seed)
    asked, found = _split(chosen, options.queries)
    if len(found.numbers) < options.neighbors:
        raise UsageError(
            f"{location}: {len(chosen.numbers):,} different kernels of {options.kernel} are too few for "
            f"{options.queries:,} queries and {options.neighbors:,} neighbors; ask for fewer"
        )
    table = attributes(stream.layers, found.numbers, found.kernels)
    vectors, queries = _scaled(found.kernels, options), _scaled(asked.kernels, options)
    with FilterPool(table=table, least=options.neighbors, seed=options.seed) as pool:
        kinds = pool.kinds()
    return Benchmark(
        options=options,
        vectors=vectors,
        queries=queries,
        attributes=table,
        query_attributes=attributes(stream.layers, asked.numbers, asked.kernels),
        truth={kind: ground_truth(vectors, queries, filters, options.neighbors) for kind, filters in kinds.items()},
    )


def _split(chosen: Sample, n: int) -> tuple[Sample, Sample]:
    """Return the first kernels, which are searched for, and the others."""
    return tuple(  # type: ignore[return-value]  # two slices
        Sample(kernels=chosen.kernels[part], numbers=chosen.numbers[part]) for part in (slice(n), slice(n, None))
    )


def _scaled(kernels: NDArray[np.float32], options: BenchmarkOptions) -> NDArray[np.float32]:
    if options.metric == "l2":
        return kernels
    exact = kernels.astype(np.float64)
    return np.asarray(exact / np.sqrt((exact**2).sum(1, keepdims=True)), np.float32)
