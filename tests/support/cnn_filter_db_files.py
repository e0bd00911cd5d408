"""Files in the layouts that CNN Filter DB was published in, small, and with what a stranger may put into them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Format = Literal["fixed", "table", "text"]
LEVELS = ["model_id", "conv_depth", "conv_depth_norm", "layer_id"]


@dataclass
class Hostile:
    """An object whose pickle, were it ever loaded, would make a file."""

    mark: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@dataclass
class Db:
    """A file to be written. rows: of `/meta`, levels of the index among them."""

    kernels: NDArray[Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def layer(self, model_id: int, at: tuple[int, float], ids: Any, layer_id: str = "Conv_0", /, **facts: Any) -> None:
        of_index = dict(zip(LEVELS, (model_id, *at, layer_id), strict=True))
        self.rows.append({**of_index, "filter_ids": ids, **facts})

    def write(self, path: Path, form: Format = "fixed", **storage: Any) -> Path:
        frame = pd.DataFrame(self.rows)
        text = [name for name in frame if frame[name].map(lambda v: not isinstance(v, int | float)).any()]
        frame = frame.astype(dict.fromkeys(text, object))
        if form == "text":
            path.unlink(missing_ok=True)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTables warns of names and of pickles
                frame.set_index(LEVELS).to_hdf(path, key="meta", mode="w", format=form)
        with h5py.File(path, "a") as file:
            if form == "text":
                file["meta"] = np.frombuffer(frame.to_csv(index=False).encode(), np.uint8)
            file.create_dataset("filters", data=self.kernels, **storage)
        return path


def random_kernels(count: int, seed: int = 0, dtype: str = "float32") -> NDArray[Any]:
    """Return [count, 3, 3] float64 whose values are of a narrower type, as those of the published file."""
    return np.random.default_rng(seed).normal(0, 0.1, (count, 3, 3)).astype(dtype).astype(np.float64)


FACTS: Sequence[dict[str, Any]] = (
    {
        "model": "resnet18_imagenet1k_11", "producer": "pytorch 1.9", "op_set": 11, "depth": 70, "Name": "resnet18",
        "Paper": "https://arxiv.org/abs/1512.03385", "Pretraining-Dataset": np.nan, "Training-Dataset": "ImageNet1k",
        "Visual Category": "natural", "Task": "Classification", "Accessible": "https://example.org/r18",
        "Dataset URL": np.nan, "total_filters": 40, "3x3_filter_share": 0.75, "(3, 3) filters": 30, "Conv": 20,
        "Relu": 17.0, "Pretraining": False,
    },
    {
        "model": "straße_kitti_9", "producer": np.nan, "op_set": 9, "depth": np.nan, "Name": "straße", "Paper": None,
        "Pretraining-Dataset": "ImageNet1k, COCO", "Training-Dataset": "my lungs", "Visual Category": "Medical CT",
        "Task": "GAN-Generator", "Accessible": None, "Dataset URL": np.nan, "total_filters": 12,
        "3x3_filter_share": 1.0, "(3, 3) filters": 12, "Conv": np.nan, "Relu": np.nan, "Pretraining": True,
    },
)  # fmt: skip


def published(count: int = 60, dtype: str = "float32") -> Db:
    """Two models whose ranges are in no order, one layer without kernels, columns with gaps, text beyond ASCII."""
    db = Db(random_kernels(count, dtype=dtype))
    db.layer(7, (0, 0.0), "40:51", "Conv_0", **FACTS[0])
    db.layer(7, (1, 0.5), "0:17", "Conv_5", **FACTS[0])
    db.layer(7, (2, 1.0), "18:17", "norm1.weight", **FACTS[0])
    db.layer(3, (0, float("nan")), "18:29", "größe/Conv_1", **FACTS[1])
    return db
