"""The table `/meta` of CNN Filter DB, for models of this dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from filtercrawl_publish.export.cnn_filter_db.selection import SelectedModel

LEVELS: Final = ("model_id", "conv_depth", "conv_depth_norm", "layer_id")
# Columns that are always present, in the published order; counts by kernel size follow. Architecture is our addition.
TEXT_COLUMNS: Final = (
    "filter_ids", "model", "producer", "Name", "Paper", "Pretraining-Dataset", "Training-Dataset", "Visual Category",
    "Task", "Accessible", "Dataset URL", "Architecture",
)  # fmt: skip
NUMBER_COLUMNS: Final = ("op_set", "depth", "total_filters", "3x3_filter_share")
# Names of tasks in CNN Filter DB by their names on the Hub.
_TASK_NAMES: Final = {
    "image-classification": "Classification",
    "image-segmentation": "Segmentation",
    "object-detection": "Object Detection",
    "depth-estimation": "Depth Estimation",
}

LAYER_VALUES: Final = (*LEVELS, "filter_ids")

Row = dict[str, Any]


def meta_rows(models: Sequence[SelectedModel]) -> Iterator[tuple[Row, Row]]:
    """Yield for each layer its own columns and those of its model.

    Kernels are numbered from 0 in this order, as in `/filters`; models are numbered from 0 too. The columns of a model
    are the same object for all of its layers.
    """
    start = 0
    for model_id, model in enumerate(models):
        model_columns = model_row(model)
        for layer in model.layers:
            last = start + layer["n_kernels"] - 1
            layer_columns = {
                "model_id": model_id,
                "conv_depth": layer["conv_depth"],
                "conv_depth_norm": layer["conv_depth_norm"],
                "layer_id": layer["tensor"] + ("" if layer["bank_index"] is None else f"@{layer['bank_index']}"),
                "filter_ids": f"{start}:{last}",
            }
            yield layer_columns, model_columns
            start = last + 1


def model_row(model: SelectedModel) -> Row:
    """Return the columns of a model; for one that came from a CNN Filter DB file, as they were published there."""
    row = model.row
    published = json.loads(row["extra"] or "{}").get("cnn_filter_db")
    original: Mapping[str, Any] = published if isinstance(published, dict) else {}
    datasets = row["training_datasets"] or []
    total = sum(count for kernel, count in model.counts.items() if kernel != "1x1")
    known = {
        "model": row["model_id"],
        "Name": row["architecture"] or row["name"],
        "Paper": row["paper"],
        "Pretraining-Dataset": ", ".join(datasets[:-1]) or None,
        "Training-Dataset": datasets[-1] if datasets else None,
        "Visual Category": row["visual_category"],
        "Task": task_name(row["task"]),
        "Accessible": row["url"],
        "Architecture": row["architecture"],
        "total_filters": total,
        "3x3_filter_share": model.counts["3x3"] / total,
    }
    counts = {f"({kernel.replace('x', ', ')}) filters": count for kernel, count in model.counts.items()}
    return known | counts | {name: value for name, value in original.items() if name not in LAYER_VALUES}


def task_name(task: str | None) -> str | None:
    """Return the name of a task in CNN Filter DB: `image-to-image` becomes `Image To Image`."""
    return None if task is None else _TASK_NAMES.get(task, task.replace("-", " ").title())
