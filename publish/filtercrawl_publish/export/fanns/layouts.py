"""The layouts that harnesses read; each function writes one folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_publish.export.fanns.attributes import value_counts
from filtercrawl_publish.export.fanns.filters import TAGS, Filter, Tag, condition
from filtercrawl_publish.export.fanns.ground_truth import GroundTruth
from filtercrawl_publish.export.fanns.options import BenchmarkOptions
from filtercrawl_publish.export.fanns.vector_files import write_bin, write_spmat, write_vecs

_ROWS: Final = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class Benchmark:
    """A benchmark set in memory.

    Attributes:
        options: What was asked for.
        vectors: Vectors to search in, float32 `[n, taps]`.
        queries: Vectors to search for, float32 `[queries, taps]`.
        attributes: Those of `vectors`.
        query_attributes: Those of `queries`.
        truth: The neighbors by kind of filter; `none` is without one. A kind without filters is left out.
    """

    options: BenchmarkOptions
    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]
    attributes: pa.Table
    query_attributes: pa.Table
    truth: Mapping[str, GroundTruth]

    def filters(self, kind: str) -> Sequence[Filter]:
        """The filters of a kind."""
        return self.truth[kind].filters if kind in self.truth else ()

    @property
    def distance(self) -> str:
        """The name of the metric in ann-benchmarks."""
        return "euclidean" if self.options.metric == "l2" else "angular"

    @property
    def name(self) -> str:
        """The name of the set as ann-benchmarks forms it."""
        return f"kernels{self.options.kernel}-{self.vectors.shape[1]}-{self.distance}"


def write_fanns(folder: Path, benchmark: Benchmark) -> None:
    """Write the layout of arxiv-for-fanns, which fanns-benchmark reads (Iff et al. 2025, arXiv:2507.21989)."""
    folder.mkdir()
    write_vecs(folder / "database_vectors.fvecs", benchmark.vectors)
    write_vecs(folder / "query_vectors.fvecs", benchmark.queries)
    _write_jsonl(folder / "database_attributes.jsonl", _rows(benchmark.attributes))
    write_vecs(folder / "ground_truth.ivecs", benchmark.truth["none"].neighbors)
    for kind in ("em", "emis", "r"):
        if kind in benchmark.truth:
            truth = benchmark.truth[kind]
            asked = (_fanns_query(truth.filters[number]) for number in truth.filter_of.tolist())
            _write_jsonl(folder / f"{kind}_query_attributes.jsonl", asked)
            write_vecs(folder / f"ground_truth_{kind}.ivecs", truth.neighbors)


def _fanns_query(chosen: Filter) -> dict[str, Any]:
    if chosen.interval is None:
        return {"label": chosen.label}
    return {"range_start": chosen.interval[0], "range_end": chosen.interval[1]}


def write_big_ann(folder: Path, benchmark: Benchmark) -> None:
    """Write the layout of the filter track of big-ann-benchmarks (NeurIPS 2023): metadata are bags of words."""
    folder.mkdir()
    write_bin(folder / "base.fbin", benchmark.vectors)
    write_bin(folder / "query.fbin", benchmark.queries)
    unfiltered = benchmark.truth["none"]
    write_bin(folder / "unfiltered.GT.ibin", unfiltered.neighbors, unfiltered.distances.astype(np.float32))
    if "tags" not in benchmark.truth:
        return
    truth = benchmark.truth["tags"]
    write_bin(folder / "GT.ibin", truth.neighbors, truth.distances.astype(np.float32))
    words = _Words(benchmark.attributes)
    write_spmat(folder / "base.metadata.spmat", words.of_rows(), len(words.numbers))
    asked = [[words.numbers[tag] for tag in truth.filters[number].tags] for number in truth.filter_of.tolist()]
    columns = [np.array(sorted(numbers), np.int32) for numbers in asked]
    write_spmat(folder / "query.metadata.spmat", columns, len(words.numbers))
    text = "".join(f"{condition(tag)}\n" for tag in words.numbers)
    (folder / "words.txt").write_text(text, encoding="utf-8")


def write_ann_benchmarks(folder: Path, benchmark: Benchmark) -> None:
    """Write the HDF5 file of ann-benchmarks, which has no filters."""
    folder.mkdir()
    truth = benchmark.truth["none"]
    distances = np.sqrt(truth.distances) if benchmark.distance == "euclidean" else truth.distances / 2
    with h5py.File(folder / f"{benchmark.name}.hdf5", "w") as file:
        file.attrs["type"] = "dense"
        file.attrs["distance"] = benchmark.distance
        file.attrs["dimension"] = benchmark.vectors.shape[1]
        file.attrs["point_type"] = "float"
        file["train"], file["test"] = benchmark.vectors, benchmark.queries
        file["neighbors"], file["distances"] = truth.neighbors.astype(np.int64), distances


class _Words:
    """Numbers for the attributes and values that occur."""

    def __init__(self, attributes: pa.Table) -> None:
        self._attributes = attributes.select(TAGS)
        tags = [(name, value) for name in TAGS for value in value_counts(attributes[name])]
        self.numbers: dict[Tag, int] = {tag: number for number, tag in enumerate(tags)}

    def of_rows(self) -> list[NDArray[np.int32]]:
        """Return the sorted numbers of each row."""
        return [np.array(sorted(self._of(row)), np.int32) for row in _rows(self._attributes)]

    def _of(self, row: Mapping[str, Any]) -> Iterable[int]:
        for name, value in row.items():
            for item in value if isinstance(value, list) else [value]:
                if item is not None:
                    yield self.numbers[name, item]


def _rows(table: pa.Table) -> Iterable[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_ROWS):
        yield from batch.to_pylist()


def _write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
