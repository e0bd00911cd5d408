"""Write an HDF5 file in the layout of CNN Filter DB, atomically."""

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

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.extras import require_extra
from filtercrawl_publish.export.cnn_filter_db.meta_table import (
    LAYER_VALUES,
    LEVELS,
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    Row,
    meta_rows,
)
from filtercrawl_publish.export.cnn_filter_db.selection import SelectedModel


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Number of layers and kernels written."""

    layers: int
    kernels: int


def write_export(
    dataset: Path, models: Sequence[SelectedModel], target: Path, on_progress: Callable[[int], None] = lambda _: None
) -> ExportResult:
    """Write `/filters`, float64 [N, 3, 3], and `/meta`; memory: the table and one row group of weights.

    A temporary file next to `target` is renamed at the end; after a kill it is left there, and `target` is as before.

    Args:
        dataset: The dataset folder.
        models: What to write.
        target: The file.
        on_progress: Called with the number of kernels written since the last call.

    Raises:
        UsageError: The optional dependencies are missing.
        DatasetError: The dataset cannot be read, or the file cannot be written.
    """
    require_extra("export cnn-filter-db", "cnn-filter-db")
    import h5py
    import pandas as pd

    total = sum(model.kernels for model in models)
    temporary = target.parent / f".{target.name}-{secrets.token_hex(8)}"
    try:
        table = to_frame(list(meta_rows(models)), pd)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names such as `(3, 3) filters` are not Python identifiers
            # The format `table` contains no pickles, so that any version can read it.
            table.to_hdf(temporary, key="meta", mode="w", format="table", index=False)
        with h5py.File(temporary, "r+") as file:
            filters = file.create_dataset("filters", (total, 3, 3), "<f8")
            for start, kernels in read_kernels(dataset, models):
                filters[start : start + len(kernels)] = kernels
                on_progress(len(kernels))
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        raise DatasetError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return ExportResult(layers=len(table), kernels=total)


def to_frame(rows: Sequence[tuple[Row, Row]], pandas: Any) -> Any:
    """Return the rows of `meta_rows` as a pandas.DataFrame with the published index, one type per column."""
    models = {id(model): model for _, model in rows}.values()
    counts = sorted({name for model in models for name in model} - {*TEXT_COLUMNS, *NUMBER_COLUMNS})
    columns = {
        name: to_column([(layer if name in LAYER_VALUES else model).get(name) for layer, model in rows], pandas)
        for name in [*LEVELS, *TEXT_COLUMNS, *NUMBER_COLUMNS, *counts]
    }
    return pandas.DataFrame(columns).set_index(list(LEVELS))


def to_column(values: list[Any], pandas: Any) -> Any:
    """Return values as one type: booleans, integers or floats if all are, else text; None becomes NaN."""
    known = [value for value in values if value is not None]
    if len(known) == len(values) and all(isinstance(value, bool) for value in known):
        return np.asarray(values, np.bool_)
    if all(isinstance(value, int | float) for value in known):
        integral = len(known) == len(values) and not any(isinstance(value, float | bool) for value in known)
        return np.asarray([np.nan if v is None else v for v in values], np.int64 if integral else np.float64)
    return pandas.Series([None if value is None else str(value) for value in values], dtype="object")


def read_kernels(dataset: Path, models: Sequence[SelectedModel]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (number of the first kernel, kernels [k, 3, 3]) for every part of every layer; memory: one row group."""
    next_number = 0
    for model in models:
        # Weights are found by their hash: the file may be that of another checkpoint with the same layer.
        starts: dict[str, dict[str, list[int]]] = {}
        for layer in model.layers:
            starts.setdefault(layer["file"], {}).setdefault(layer["layer_sha256"], []).append(next_number)
            next_number += layer["n_kernels"]
        missing = model.kernels
        for path, starts_by_hash in sorted(starts.items()):
            for layer_sha256, first, kernels in read_layers_file(dataset / path):
                for start in starts_by_hash.get(layer_sha256, ()):
                    yield start + first, kernels
                    missing -= len(kernels)
        if missing:
            raise DatasetError(
                f"{dataset}: the layers files of {model.row['model_id']} lack {missing} kernels that `index` has"
            )


def read_layers_file(path: Path) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Yield (layer_sha256, number of the first kernel within the layer, kernels [k, 3, 3]) of the 3x3 rows of a file.

    Of layers with the same numbers only one is yielded.
    """
    columns = ["layer_id", "layer_sha256", "kernel", "out_start", "shape"]
    layer_of: dict[str, str] = {}
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=columns).to_pylist()
                if not rows or rows[0]["kernel"] != "3x3":  # a row group has one kernel size
                    continue
                weight = file.read_row_group(group, columns=["weight"])["weight"].combine_chunks()
                values, offsets = weight.values.to_numpy(), weight.offsets.to_numpy()
                for i, row in enumerate(rows):
                    if layer_of.setdefault(row["layer_sha256"], row["layer_id"]) != row["layer_id"]:
                        continue
                    kernels = values[offsets[i] : offsets[i + 1]].reshape(-1, 3, 3)
                    yield row["layer_sha256"], row["out_start"] * row["shape"][1], kernels
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync` to write it again") from error
