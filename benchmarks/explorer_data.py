"""A dataset folder of any number of layers for `explorer.py`: the tables that the page reads, without layers files.

Tables are written as `filtercrawl sync` and `filtercrawl analyze` write them, with random content of the usual shapes:
names repeat as in model zoos, hashes and weights do not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from filtercrawl.dataset.files.parquet import ContentDefinedBoundary, record_batches, write_table
from filtercrawl.dataset.schema.arrow import INDEX, MODELS, SAMPLES
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.samples import Samples, sample_batches, sample_positions
from filtercrawl_analysis.statistics.quality.layer_verdicts import COMPUTED

LAYERS_OF_A_MODEL: Final = 40
SIZES: Final = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3), (5, 5), (1, 3), (7, 7))
CHANNELS: Final = (3, 16, 32, 64, 128, 256, 512)
SOURCES: Final = ("timm", "torchvision", "hub", "onnx")
FAMILIES: Final = tuple(f"family{number}" for number in range(60))
LICENSES: Final = ("Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-NC-4.0", None)
TASKS: Final = ("image-classification", "image-segmentation", "object-detection", None)
VERDICTS: Final = ("healthy", "structured", "dead", "random", "unknown")
_CUT: Final = ContentDefinedBoundary(key="layer_id", one_in=1_000)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def index_rows(n: int) -> Iterator[IndexRow]:
    """Yield the rows of `index`, the same ones each time."""
    random = np.random.default_rng(0)
    for number in range(n):
        model, depth = divmod(number, LAYERS_OF_A_MODEL)
        source = SOURCES[model * len(SOURCES) * LAYERS_OF_A_MODEL // max(n, 1) % len(SOURCES)]
        family = FAMILIES[model % len(FAMILIES)]
        name = f"{source}/{family}_{model // len(FAMILIES):03d}.a1_in1k"
        layer = f"stages.{depth // 10}.blocks.{depth % 10}.conv{depth % 2 + 1}"
        size = SIZES[int(random.integers(len(SIZES)))]
        out, inner = (CHANNELS[int(random.integers(len(CHANNELS)))] for _ in range(2))
        measures = random.random(6)
        digest = sha256(f"{name}#{layer}")
        yield IndexRow(
            model_id=name,
            layer_id=f"{name}#{layer}.weight",
            row_id=f"{name}#{layer}.weight#part0",
            source=source,
            layer=layer,
            tensor=f"{layer}.weight",
            op="conv2d",
            kernel="x".join(map(str, size)),
            kernel_size=size,
            taps=math.prod(size),
            shape=(out, inner, *size),
            out_channels=out,
            in_channels=inner,
            groups=1,
            depthwise=False,
            n_kernels=out * inner,
            part=0,
            n_parts=1,
            out_start=0,
            stored_dtype="F32",
            weight_sha256=digest,
            layer_sha256=digest,
            file=f"data/layers/{source}/{digest[:2]}/{name.replace('/', '-')}-{sha256(name)[:32]}.parquet",
            row_group=depth % 3,
            stride=(1, 1),
            padding=(1, 1),
            dilation=(1, 1),
            conv_depth=depth,
            conv_depth_norm=depth / (LAYERS_OF_A_MODEL - 1),
            is_first=depth == 0,
            is_last=depth == LAYERS_OF_A_MODEL - 1,
            depth_decile=depth * 10 // LAYERS_OF_A_MODEL,
            weight_kind="learned",
            structure_source="module",
            operator_verified=False,
            task=TASKS[model % len(TASKS)],
            training_datasets=("imagenet-1k",),
            training_dataset="imagenet-1k",
            architecture=f"{family}_{model % 7}",
            family=family,
            license=LICENSES[model % len(LICENSES)],
            sparsity=float(measures[0] ** 4),
            n_dead=int(out * inner * measures[0] ** 4),
            n_nonfinite=0,
            variance_entropy=float(measures[1]),
            variance_entropy_norm=float(measures[1]),
            orthogonality=float(measures[2]),
            norm_l1=float(measures[3] * 1000),
            norm_l2=float(measures[4] * 100),
            norm_linf=float(measures[5]),
            redistributable=True,
        )


def samples_of(row: IndexRow) -> Samples:
    """Return normal numbers in place of the kernels of a layer."""
    positions = sample_positions(str(row.layer_sha256), row.n_kernels)
    random = np.random.default_rng(int(str(row.layer_sha256)[:12], 16))
    values = random.standard_normal((len(positions), row.taps), np.float32)
    return Samples(positions=np.array(positions, np.int64), values=values)


def quality_rows(n: int) -> Iterator[dict[str, object]]:
    """Yield rows of the analysis table `layer_quality`."""
    random = np.random.default_rng(1)
    for row in index_rows(n):
        yield {
            "layer_id": row.layer_id,
            "model_id": row.model_id,
            "kurtosis": float(random.random()),
            "p_structured": float(random.random()),
            "verdict": VERDICTS[int(random.integers(len(VERDICTS)))],
        }


def write_dataset(folder: Path, n: int) -> None:
    """Write the tables of a dataset with `n` layers."""
    quality = pa.schema([pa.field("layer_id", pa.string()), pa.field("model_id", pa.string()), *COMPUTED])
    by_digest: dict[str, Samples] = {}

    def rows() -> Iterator[IndexRow]:
        for row in index_rows(n):
            by_digest.clear()
            by_digest[str(row.layer_sha256)] = samples_of(row)
            yield row

    batches = sample_batches(rows(), lambda digest: by_digest[digest])
    write_table(folder, "data/samples/part.parquet", SAMPLES, batches)
    index = (row.to_arrow() for row in index_rows(n))
    write_table(folder, "data/index/part.parquet", INDEX, record_batches(index, INDEX, cut=_CUT))
    models = {row.model_id: row for row in index_rows(n)}
    described = (
        ModelRow(model_id=name, source=row.source, name=name, outcome="emitted", family=row.family).to_arrow()
        for name, row in models.items()
    )
    write_table(folder, "data/models/part.parquet", MODELS, record_batches(described, MODELS))
    write_table(folder, "analysis/tables/layer_quality.parquet", quality, record_batches(quality_rows(n), quality))
