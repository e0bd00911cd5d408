"""A dataset view in memory: layers given as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of a model.

    weight: [out, in, height, width].
    facts: Other columns of the index, such as `depthwise`.
    """

    model_id: str
    weight: NDArray[np.float32]
    facts: dict[str, Any] = field(default_factory=dict)


class MemoryView:
    """The `DatasetView` of layers; all kernels are their samples, at most 64 a layer, the first ones."""

    def __init__(self, layers: Sequence[Layer], *, stored: bool = True, **options: Any) -> None:
        self.options = AnalysisOptions(**{"by": (), **options})
        self.models = pa.table({"model_id": sorted({layer.model_id for layer in layers})})
        self._stored = stored
        self._kernels: dict[str, NDArray[np.float32]] = {}
        rows = []
        for i, layer in enumerate(layers):
            digest = f"{i:064x}"
            size = list(layer.weight.shape[2:])
            self._kernels[digest] = layer.weight.astype(np.float32).reshape(-1, int(np.prod(size)))
            rows.append(
                {
                    "model_id": layer.model_id,
                    "layer_id": f"{layer.model_id}#conv{i}.weight",
                    "layer_sha256": digest,
                    "kernel": "x".join(map(str, size)),
                    "kernel_size": size,
                    "taps": int(np.prod(size)),
                    "shape": list(layer.weight.shape),
                    "n_kernels": len(self._kernels[digest]),
                    "depthwise": None,
                    "is_first": None,
                    "is_last": None,
                    "depth_decile": None,
                    "conv_depth": None,
                    "family": None,
                    **layer.facts,
                }
            )
        types = {
            "depthwise": pa.bool_(),
            "is_first": pa.bool_(),
            "is_last": pa.bool_(),
            "depth_decile": pa.int8(),
            "conv_depth": pa.int32(),
        }
        table = pa.Table.from_pylist(rows)
        for name, kind in types.items():
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
        self.index = table

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        raise NotImplementedError

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for digest in layers:
            yield digest, self._kernels[digest][:64]

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        if layers and not self._stored:
            raise DatasetError("the file is missing")
        for digest in layers:
            half = len(self._kernels[digest]) // 2
            yield digest, self._kernels[digest][:half]
            yield digest, self._kernels[digest][half:]

    def progress(self, done: int, total: int, what: str) -> None:
        assert done <= total
