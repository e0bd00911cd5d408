"""The filters of a dataset, one at a time, from Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.dataset.files.dataset_folder import no_dataset
from filtercrawl.dataset.files.table_files import has_table
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.statistics.filters.filter_rows import filter_id
from filtercrawl_analysis.statistics.filters.layer_filters import layer_filters
from filtercrawl_analysis.statistics.whole_layers import whole_layers


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What one output channel of a layer convolves with.

    Attributes:
        filter_id: Id of the layer, a colon and the channel.
        layer_id: The layer.
        model_id: The model.
        out_channel: From 0.
        weight: float32 [in / groups, *kernel_size].
        norm_l1: Sum of magnitudes; NaN where a weight is not finite, as the other numbers.
        norm_l2: Root of the sum of squares.
        norm_linf: Largest magnitude.
        energy_share: Share of the sum of squares of the layer.
        twin: Channel of the other filter of the layer with the largest magnitude of the cosine; None without one.
        twin_cosine: The cosine with it; NaN without one.
        dead: Whether its largest magnitude is below a hundredth of the median one of the live filters.
        copy: Whether it is not dead and differs from a multiple of its twin by at most 5 % of its norm.
    """

    filter_id: str
    layer_id: str
    model_id: str
    out_channel: int
    weight: NDArray[np.float32]
    norm_l1: float
    norm_l2: float
    norm_linf: float
    energy_share: float
    twin: int | None
    twin_cosine: float
    dead: bool
    copy: bool


def iter_filters(dataset: str | Path, models: Sequence[str] | None = None, *, device: str = "cpu") -> Iterator[Filter]:
    """Yield the filters of all learned kernels of final checkpoints, each distinct tensor once; one layer in memory.

    Args:
        dataset: The dataset folder.
        models: Values of `model_id`; by default all.
        device: Torch device of the products of all pairs of filters.

    Raises:
        DatasetError: There is no dataset in the folder, or a file of it is missing.

    Example:
        >>> weak = [filter.filter_id for filter in iter_filters("kernels") if filter.energy_share < 1e-4]
    """
    folder = Path(dataset)
    if not has_table(folder, "models"):
        raise no_dataset(folder)
    view = FolderDatasetView(folder)
    index = view.index
    if models is not None:
        index = index.filter(pc.is_in(index["model_id"], value_set=pa.array(list(models), pa.string())))
    for layer in whole_layers(view, index):
        measured = layer_filters(layer.weight, device)
        for out, weight in enumerate(layer.weight):
            twin = int(measured.twin[out])
            yield Filter(
                filter_id=filter_id(layer.row["layer_id"], out),
                layer_id=layer.row["layer_id"],
                model_id=layer.row["model_id"],
                out_channel=out,
                weight=weight,
                norm_l1=float(measured.norm_l1[out]),
                norm_l2=float(measured.norm_l2[out]),
                norm_linf=float(measured.norm_linf[out]),
                energy_share=float(measured.energy_share[out]),
                twin=twin if twin >= 0 else None,
                twin_cosine=float(measured.twin_cosine[out]),
                dead=bool(measured.dead[out]),
                copy=bool(measured.copy[out]),
            )
