"""The card of a benchmark set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_publish.export.fanns.attributes import ABOUT, count_values
from filtercrawl_publish.export.fanns.filters import EXACT_MATCH, IN_SET, RANGE
from filtercrawl_publish.export.fanns.layouts import Benchmark

_KINDS: Final = {
    "none": "no filter",
    "em": f"`{EXACT_MATCH}` is equal",
    "emis": f"a text is in the list `{IN_SET}`",
    "r": f"`{RANGE}` is in a range, both ends included",
    "tags": "one value or two that a vector has to have",
}
_TYPES: Final = {"string": "text", "bool": "boolean", "double": "number", "list<item: string>": "list of texts"}
_CARD: Final = """---
pretty_name: Filtered nearest neighbor search over convolution kernels
tags:
- vector-search
- approximate-nearest-neighbor-search
- filtered-approximate-nearest-neighbor-search
configs:
{configs}
---

# Filtered nearest neighbor search over convolution kernels

{n:,} convolution kernels of {kernel} as vectors of {taps} numbers, {queries:,} more to search for, {attributes}
attributes of each, and the exact {neighbors} nearest neighbors of every query without and with filters of several
selectivities. Vectors are float32{scaled}; neighbors are those of the smallest Euclidean distance, computed in float64,
of equally near ones the lower row. Copies, zeros and numbers that are not finite were left out; every filter matches at
least {neighbors} vectors. Written by filtercrawl; seed {seed}{where}.

## Files

| folder or file | what it is for |
|---|---|
| `fanns/` | fanns-benchmark; the names and layouts are those of arxiv-for-fanns |
| `big-ann-benchmarks/` | big-ann-benchmarks, track `filter` (`knn_filtered`) |
| `big-ann-benchmarks/words.txt` | what each word of `*.metadata.spmat` means, from word 0 on |
| `ann-benchmarks/` | ann-benchmarks, without filters: `{name}.hdf5`, to be put into its `data/` |
| `attributes.parquet`, `queries.parquet` | anything else: attributes and vectors, in the order of the rows |
| `ground_truth.parquet` | anything else: filter in SQL, vectors that match, neighbors and squared distances |

```python
import duckdb

truth = duckdb.sql("SELECT * FROM 'ground_truth.parquet' WHERE kind = 'tags' AND query = 0").fetchall()
```

## Filters

| kind | filter | filters | selectivity: least | median | most |
|---|---|---:|---:|---:|---:|
{filters}

Queries take the filters of a kind in turn, so a filter does not depend on the query. A kind without filters has no
files: fewer than {neighbors} vectors meet any of its conditions.

## Attributes

| attribute | type | what it says | unknown | values |
|---|---|---|---:|---:|
{rows}

Weights are those of their checkpoints, under the licenses in `license`; null where none is known.
"""


def card(benchmark: Benchmark) -> str:
    """Return the card as Markdown; no text of the dataset stands in it."""
    options = benchmark.options
    return _CARD.format(
        configs="\n".join(
            f"- config_name: {name}\n  data_files: {name}.parquet" for name in ("attributes", "queries", "ground_truth")
        ),
        n=len(benchmark.vectors),
        kernel=options.kernel,
        taps=benchmark.vectors.shape[1],
        queries=len(benchmark.queries),
        attributes=len(ABOUT),
        neighbors=benchmark.truth["none"].neighbors.shape[1],
        scaled=", scaled to norm 1" if options.metric == "cosine" else "",
        seed=options.seed,
        where="" if options.where is None else ", with a condition over layers",
        name=benchmark.name,
        filters="\n".join(_filters(benchmark)),
        rows="\n".join(_attributes(benchmark.attributes)),
    )


def _filters(benchmark: Benchmark) -> Iterator[str]:
    for kind, about in _KINDS.items():
        shares = np.array([len(chosen.rows) for chosen in benchmark.filters(kind)]) / len(benchmark.vectors)
        found = (shares.min(), np.median(shares), shares.max()) if len(shares) else ()
        values = " | ".join(f"{share:.4%}" for share in found) or "| |"
        yield f"| `{kind}` | {about} | {len(shares)} | {values} |"


def _attributes(table: pa.Table) -> Iterator[str]:
    for name, about in ABOUT.items():
        column: pa.ChunkedArray[Any] = table[name]
        kind = _TYPES.get(str(column.type), "whole number")
        unknown = column.null_count / len(column)
        yield f"| `{name}` | {kind} | {about} | {unknown:.0%} | {count_values(column):,} |"
