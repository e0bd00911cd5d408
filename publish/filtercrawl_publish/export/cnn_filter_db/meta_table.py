"""The table `/meta` of CNN Filter DB for models of this dataset: the columns that its users know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from filtercrawl_publish.export.cnn_filter_db.selection import SelectedModel

LEVELS: Final = ("model_id", "conv_depth", "conv_depth_norm", "layer_id")
# Columns of text and of numbers that are always there, in the published order; counts follow. Architecture is ours.
TEXTS: Final = (
    "filter_ids", "model", "producer", "Name", "Paper", "Pretraining-Dataset", "Training-Dataset", "Visual Category",
    "Task", "Accessible", "Dataset URL", "Architecture",
)  # fmt: skip
NUMBERS: Final = ("op_set", "depth", "total_filters", "3x3_filter_share")
# The words of the table for tasks that the Hub has words for.
TASKS: Final = {
    "image-classification": "Classification",
    "image-segmentation": "Segmentation",
    "object-detection": "Object Detection",
    "depth-estimation": "Depth Estimation",
}

OF_LAYER: Final = (*LEVELS, "filter_ids")

Row = dict[str, Any]


def rows(models: Sequence[SelectedModel]) -> Iterator[tuple[Row, Row]]:
    """Yield the columns of a layer and those of its model, the latter one object for all of its layers.

    Kernels are numbered from 0 in this order; a model_id counts the models from 0.
    """
    start = 0
    for model_id, model in enumerate(models):
        facts = of_model(model)
        for layer in model.layers:
            last = start + layer["n_kernels"] - 1
            of_layer = {
                "model_id": model_id,
                "conv_depth": layer["conv_depth"],
                "conv_depth_norm": layer["conv_depth_norm"],
                "layer_id": layer["tensor"] + ("" if layer["bank_index"] is None else f"@{layer['bank_index']}"),
                "filter_ids": f"{start}:{last}",
            }
            yield of_layer, facts
            start = last + 1


def of_model(model: SelectedModel) -> Row:
    """Return the columns of a model: as they were published where it came from such a file, else what is known."""
    row = model.row
    published = json.loads(row["extra"] or "{}").get("cnn_filter_db")
    stated: Mapping[str, Any] = published if isinstance(published, dict) else {}
    trained = row["training_datasets"] or []
    total = sum(count for kernel, count in model.counts.items() if kernel != "1x1")
    known = {
        "model": row["model_id"],
        "Name": row["architecture"] or row["name"],
        "Paper": row["paper"],
        "Pretraining-Dataset": ", ".join(trained[:-1]) or None,
        "Training-Dataset": trained[-1] if trained else None,
        "Visual Category": row["visual_category"],
        "Task": task(row["task"]),
        "Accessible": row["url"],
        "Architecture": row["architecture"],
        "total_filters": total,
        "3x3_filter_share": model.counts["3x3"] / total,
    }
    counts = {f"({kernel.replace('x', ', ')}) filters": count for kernel, count in model.counts.items()}
    return known | counts | {name: value for name, value in stated.items() if name not in OF_LAYER}


def task(word: str | None) -> str | None:
    """Write a task as the table does: `image-to-image` is `Image To Image`."""
    return None if word is None else TASKS.get(word, word.replace("-", " ").title())
