"""Write the weights of a subset beside its manifest: a folder that `datasets` loads without the dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from filtercrawl.dataset.card.configs import Config
from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.card.yaml_header import render_header
from filtercrawl.dataset.files.parquet import write_table
from filtercrawl.dataset.files.subset_folders import WEIGHTS
from filtercrawl.dataset.schema.arrow import ROW_NUMBERS
from filtercrawl.dataset.schema.subset_rows import SubsetWeightRow
from filtercrawl.load.location import DatasetLocation
from filtercrawl.load.subset import Subset
from filtercrawl.subsets.build import SubsetContent


def write_weights(content: SubsetContent, location: DatasetLocation, folder: Path) -> str:
    """Write the weights of each split into `weights/`; return the header of the card that describes them.

    Memory: the layers of a row group, and two rows.

    Raises:
        DatasetError: The dataset is damaged, or the disk refuses.
        NetworkError: The Hub does not answer.
    """
    schema, files = SubsetWeightRow.SCHEMA, {}
    for split in content.about["splits"]:
        rows = _batches(Subset(location, folder, content.split(split)))
        if table := write_table(folder, f"{WEIGHTS}/{split}.parquet", schema, rows):
            files[split] = table
    config = Config(
        name="kernels",
        about="Kernels with their weights.",
        schema=schema,
        paths=[table.path for table in files.values()],
        files=FileTotals.of(files.values()),
        rows=sum(table.rows for table in files.values()),
        splits={split: [table.path] for split, table in files.items()},
    )
    licenses = content.rows["license"].to_pylist()
    title = {"pretty_name": f"{content.recipe.name} {content.recipe.version}"}
    return f"---\n{render_header(title, licenses, [config], str(content.about['dataset_id']))}---\n\n"


def _batches(subset: Subset) -> Iterator[pa.RecordBatch]:
    """Yield the rows in row groups of at most two full rows."""
    facts = {row["layer_id"]: row for row in subset.layers.select(["layer_id", "kin", "kernel", "license"]).to_pylist()}
    waiting: list[dict[str, Any]] = []
    numbers = 0
    for layer in subset:
        size = tuple(layer.kernels.shape[1:])
        step = max(ROW_NUMBERS // math.prod(size), 1)
        for part, start in enumerate(range(0, len(layer.kernels), step)):
            kernels = layer.kernels[start : start + step]
            row = {
                **facts[layer.layer_id],
                "model_id": layer.model_id,
                "part": part,
                "shape": list(kernels.shape),
                "places": layer.places[start : start + step].numpy(),
                "weight": kernels.flatten().numpy(),
            }
            waiting.append(row)
            numbers += kernels.numel()
            if numbers >= ROW_NUMBERS:
                yield pa.RecordBatch.from_pylist(waiting, schema=SubsetWeightRow.SCHEMA)
                waiting, numbers = [], 0
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=SubsetWeightRow.SCHEMA)
