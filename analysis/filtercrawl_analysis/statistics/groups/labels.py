"""Labels of layers: the group of each in a column, and the sample sizes of groups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.analysis import SampleSize

Labels = list[str | None]


# Position of a layer in its network, which no single column holds: see `group_labels`.
POSITION: Final = "position"
_POSITIONS: Final = ("first", "between", "last")
_WHOLE_NUMBER: Final = re.compile("-?[0-9]{1,18}")


def resolve_column(index: pa.Table, name: str) -> str | None:
    """Return the column of `index` that a name stands for: itself, or `model_NAME` of `models`; None if neither is."""
    return next((column for column in (name, f"model_{name}") if column in index.column_names), None)


def group_labels(index: pa.Table, name: str) -> Labels:
    """Return each layer's group in a column of `index` or `models`, as text; None where it is unknown or empty.

    A list stands for its last element, which for `training_datasets` is the last data set that a network was trained
    on; taking every element would count a kernel more than once. `position` is `first`, `last` or `between`, from
    is_first and is_last; the only convolution of a network is its first. All None for a column that does not exist.
    """
    if name == POSITION:
        flags = (index[name].to_pylist() for name in ("is_first", "is_last"))
        return [_position(first, last) for first, last in zip(*flags, strict=True)]
    column = resolve_column(index, name)
    if column is None:
        return [None] * len(index)
    return [_label(value) for value in index[column].to_pylist()]


def truncation_note(shown: Sequence[str], groups: Labels) -> str:
    """Return a sentence for the caption of a figure that shows only the largest groups; empty if it shows all."""
    n_groups = len({group for group in groups if group is not None})
    return f" The {len(shown)} largest of {n_groups} groups." if len(shown) < n_groups else ""


def _position(first: bool | None, last: bool | None) -> str | None:
    if first is None or last is None:
        return None
    return "first" if first else "last" if last else "between"


def _label(value: object) -> str | None:
    if isinstance(value, list):
        value = value[-1] if value else None
    return None if value is None or value == "" else str(value)


@dataclass(frozen=True, kw_only=True)
class LayerGroups:
    """Layers combined into units: those of one model with the same label in every column.

    Attributes:
        unit_of_layer: Unit of each layer, int64 [layers].
        labels: Label of each unit, by column.
        kernels: Kernels of each unit, int64 [units].
        layers: Layers of each unit, int64 [units].
    """

    unit_of_layer: NDArray[np.int64]
    labels: dict[str, Labels]
    kernels: NDArray[np.int64]
    layers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kernels)


def layer_groups(index: pa.Table, names: Sequence[str]) -> LayerGroups:
    """Combine the layers of `index` that agree in `model_id` and all of these columns."""
    columns = {name: group_labels(index, name) for name in dict.fromkeys(("model_id", *names))}
    codes: dict[tuple[str | None, ...], int] = {}
    of_layer = np.array([codes.setdefault(key, len(codes)) for key in zip(*columns.values(), strict=True)], np.int64)
    sizes = np.array(index["n_kernels"].to_pylist(), np.int64)
    return LayerGroups(
        unit_of_layer=of_layer,
        labels={name: [key[i] for key in codes] for i, name in enumerate(columns)},
        kernels=np.bincount(of_layer, sizes, len(codes)).astype(np.int64),
        layers=np.bincount(of_layer, minlength=len(codes)).astype(np.int64),
    )


def sample_size(index: pa.Table) -> SampleSize:
    """Return the number of kernels, layers and models in a table of layers."""
    return SampleSize(
        kernels=sum(index["n_kernels"].to_pylist()),
        layers=len(index),
        models=len(set(index["model_id"].to_pylist())),
    )


def is_ordered(labels: Sequence[str]) -> bool:
    """Whether groups have a natural order: all are whole numbers, such as depth deciles, or positions in a network."""
    return all(map(is_whole_number, labels)) or set(labels) <= set(_POSITIONS)


def is_whole_number(label: str) -> bool:
    """Whether a label is a whole number, in ASCII digits."""
    return _WHOLE_NUMBER.fullmatch(label) is not None


def ordered_labels(labels: Sequence[str | None], kernels: NDArray[np.int64]) -> list[str]:
    """Return the distinct labels: in ascending order if `is_ordered`, else by descending kernel count.

    Args:
        labels: Label of each layer or unit; None is left out.
        kernels: Kernels of each.
    """
    totals: dict[str, int] = {}
    for label, n in zip(labels, kernels.tolist(), strict=True):
        if label is not None:
            totals[label] = totals.get(label, 0) + n
    if is_ordered(list(totals)):
        return sorted(totals, key=lambda label: (_POSITIONS.index(label) if label in _POSITIONS else int(label), label))
    return sorted(totals, key=lambda label: (-totals[label], label))
