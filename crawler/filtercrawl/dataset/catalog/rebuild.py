"""Rebuild the catalog from the published files, without the weights: how a run starts on an empty machine."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.stored_layers import LAYERS
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.run_row import RunRow
from filtercrawl.dataset.tables.effective import by_checkpoint
from filtercrawl.dataset.tables.samples import Samples
from filtercrawl.dataset.tables.staged_layers import fingerprint
from filtercrawl.extraction.ledger import LedgerEntry

logger = logging.getLogger(__name__)

# Rows of many numbers each, which take ten times their bytes as Python objects.
_ROWS_AT_ONCE: Final = 256
_NO_REPAIR: Final = "there is no catalog to write it from: start in an empty folder"


def rebuild_catalog(dataset: Path, catalog: Catalog, repair: str = _NO_REPAIR) -> int:
    """Fill an empty catalog from the published tables.

    Args:
        dataset: The dataset folder.
        catalog: The catalog.
        repair: What to do where a table cannot be read, for the error.

    Returns:
        The number of checkpoints.

    Raises:
        DatasetError: The tables are missing or cannot be read.
    """
    folder = DatasetFolder(dataset, repair=repair)
    try:
        with catalog.transaction():
            catalog.set_meta("dataset_id", folder.manifest()["dataset_id"])
            layers = _layers_by_model(folder)
            ledger = _ledger_by_model(folder)
            count = 0
            for model in map(ModelRow.from_arrow, folder.rows("models")):
                rows = layers.get(model.model_id, [])
                catalog.put_model(model, fingerprint(rows))
                catalog.put_content(model.model_id, rows, ledger.pop(model.model_id, []))
                count += 1
            catalog.put_samples(_samples(folder, layers))
            catalog.put_sketches(folder.rows("sketches", size=_ROWS_AT_ONCE))
            for model_id, rows in by_checkpoint(folder.batches("effective", size=_ROWS_AT_ONCE)):
                catalog.put_effective(model_id, rows)
            _put_listings(folder, catalog)
            catalog.layers_are_elsewhere = not (dataset / LAYERS).is_dir()
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DatasetError(f"{dataset}: the published tables cannot be read ({error}); {repair}") from error
    return count


def _layers_by_model(folder: DatasetFolder) -> dict[str, list[IndexRow]]:
    layers: dict[str, list[IndexRow]] = defaultdict(list)
    for row in map(IndexRow.from_arrow, folder.rows("index")):
        layers[row.model_id].append(row)
    return layers


def _ledger_by_model(folder: DatasetFolder) -> dict[str, list[LedgerEntry]]:
    ledger: dict[str, list[LedgerEntry]] = defaultdict(list)
    for row in map(LedgerRow.from_arrow, folder.rows("ledger")):
        entry = LedgerEntry(tensor=row.tensor, shape=row.shape, dtype=row.dtype, reason=row.reason)
        ledger[row.model_id].append(entry)
    return ledger


def _samples(folder: DatasetFolder, layers: Mapping[str, Sequence[IndexRow]]) -> Iterator[tuple[str, Samples]]:
    width = {row.layer_id: row.shape[1] for rows in layers.values() for row in rows}
    picked: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    layer_of: dict[str, str] = {}
    for row in folder.rows("samples"):
        if layer_of.setdefault(row["layer_sha256"], row["layer_id"]) == row["layer_id"]:
            position = row["out_channel"] * width[row["layer_id"]] + row["in_channel"]
            picked[row["layer_sha256"]].append((position, row["values"]))
    for digest, kernels in picked.items():
        positions = np.array([position for position, _ in kernels], np.int64)
        yield digest, Samples(positions=positions, values=np.array([values for _, values in kernels], np.float32))


def _put_listings(folder: DatasetFolder, catalog: Catalog) -> None:
    for file in folder.files():
        if file.path.startswith("data/layers/"):
            catalog.put_layer_file(file.path, file.size, file.sha256)
    for rename in map(RenameRow.from_arrow, folder.rows("renames")):
        source = rename.model_id.partition("/")[0]
        catalog.put_rename(source, rename.new_name, rename.model_id, rename.old_name, rename.seen)
    for row in map(SourceRow.from_arrow, folder.rows("sources")):
        catalog.put_selector(row)
    for withdrawn in map(WithdrawnRow.from_arrow, folder.rows("withdrawn")):
        catalog.put_withdrawn(withdrawn.model_id, withdrawn.reason, withdrawn.withdrawn)
    try:
        runs = [RunRow.from_arrow(row) for row in folder.rows("runs")]
    except DatasetError as error:  # no reason to refuse the kernels
        logger.warning("%s; what earlier runs did and cost is forgotten", error)
    else:
        catalog.put_runs(iter(runs))
