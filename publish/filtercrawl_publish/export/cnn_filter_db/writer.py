"""A file in the layout of CNN Filter DB, written beside its place and moved there when it is whole."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl_publish.export.cnn_filter_db.meta_table import LEVELS, NUMBERS, OF_LAYER, TEXTS, Row, rows
from filtercrawl_publish.export.cnn_filter_db.selection import SelectedModel


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """How much was written."""

    layers: int
    kernels: int


def write_export(
    dataset: Path, models: Sequence[SelectedModel], target: Path, done: Callable[[int], None] = lambda _: None
) -> ExportResult:
    """Write `/filters` and `/meta`; memory is that of the table and a row group.

    done: is told how many kernels were written since it was last told. Raises UsageError where h5py, pandas or tables
    is missing, DatasetError where the dataset or the disk fails.
    """
    try:
        import h5py
        import pandas as pd
        import tables  # noqa: F401 - what pandas writes HDF5 with
    except ImportError as error:
        raise UsageError("cnn-filter-db needs more: pip install 'filtercrawl[cnn-filter-db]'") from error
    total = sum(model.kernels for model in models)
    temporary = target.parent / f".{target.name}-{secrets.token_hex(8)}"
    try:
        table = frame(list(rows(models)), pd)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names such as `(3, 3) filters` are no Python names
            # The table format: readers of any version need run no pickle of ours.
            table.to_hdf(temporary, key="meta", mode="w", format="table", index=False)
        with h5py.File(temporary, "r+") as file:
            filters = file.create_dataset("filters", (total, 3, 3), "<f8")
            for start, kernels in weights(dataset, models):
                filters[start : start + len(kernels)] = kernels
                done(len(kernels))
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        raise DatasetError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return ExportResult(layers=len(table), kernels=total)


def frame(found: Sequence[tuple[Row, Row]], pandas: Any) -> Any:
    """Return the rows as a pandas.DataFrame, indexed as published; text is text and counts are numbers throughout."""
    told = {id(facts): facts for _, facts in found}.values()
    counts = sorted({name for facts in told for name in facts} - {*TEXTS, *NUMBERS})
    columns = {
        name: column([(row if name in OF_LAYER else facts).get(name) for row, facts in found], pandas)
        for name in [*LEVELS, *TEXTS, *NUMBERS, *counts]
    }
    return pandas.DataFrame(columns).set_index(list(LEVELS))


def column(values: list[Any], pandas: Any) -> Any:
    """Return values as one type: integers or floats where all are numbers, text otherwise; None is NaN."""
    known = [value for value in values if value is not None]
    if len(known) == len(values) and all(isinstance(value, bool) for value in known):
        return np.asarray(values, np.bool_)
    if all(isinstance(value, int | float) for value in known):
        whole = len(known) == len(values) and not any(isinstance(value, float | bool) for value in known)
        return np.asarray([np.nan if v is None else v for v in values], np.int64 if whole else np.float64)
    return pandas.Series([None if value is None else str(value) for value in values], dtype="object")


def weights(dataset: Path, models: Sequence[SelectedModel]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (number of the first kernel, kernels [k, 3, 3]) of every row of `layers`, a row group at a time."""
    begin = 0
    for model in models:
        starts: dict[str, int] = {}
        for layer in model.layers:
            starts[layer["layer_id"]] = begin
            begin += layer["n_kernels"]
        left = model.kernels
        for path in sorted({layer["file"] for layer in model.layers}):
            for layer_id, first, kernels in stored_weights(dataset / path):
                if layer_id in starts:
                    yield starts[layer_id] + first, kernels
                    left -= len(kernels)
        if left:
            raise DatasetError(f"{dataset}: the files of {model.row['model_id']} lack {left} kernels of its index")


def stored_weights(path: Path) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Yield (layer_id, kernels of the layer before, kernels [k, 3, 3]) of the 3x3 rows of a file of `layers`."""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                facts = file.read_row_group(group, columns=["layer_id", "kernel", "out_start", "shape"]).to_pylist()
                if not facts or facts[0]["kernel"] != "3x3":  # a row group has one kernel size
                    continue
                weight = file.read_row_group(group, columns=["weight"])["weight"].combine_chunks()
                numbers, ends = weight.values.to_numpy(), weight.offsets.to_numpy()
                for row, fact in enumerate(facts):
                    kernels = numbers[ends[row] : ends[row + 1]].reshape(-1, 3, 3)
                    yield fact["layer_id"], fact["out_start"] * fact["shape"][1], kernels
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync` to write it again") from error
