"""Rows of the tables on families: each model's distance from the others of its family, as a whole and by depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.components.coefficients import CoefficientHistograms
from filtercrawl_analysis.statistics.drift.group_cells import MIN_KERNELS, group_cells
from filtercrawl_analysis.statistics.drift.inference import Verdict
from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms
from filtercrawl_analysis.statistics.family.distances import FamilyDistances, family_distances
from filtercrawl_analysis.statistics.family.outlier_test import MIN_MODELS, rank_p_values, tail_p_values
from filtercrawl_analysis.statistics.groups.labels import LayerGroups, ordered_labels
from filtercrawl_analysis.statistics.groups.resampling import LEVEL, adjust_p_values, random_generator

Row = dict[str, Any]

_KEY: Final = [pa.field(name, pa.string()) for name in ("model_id", "family", "kernel")]
_OTHERS: Final = [pa.field(f"others_{name}", pa.float64()) for name in ("median", "low", "high")]
_PLACE: Final = [pa.field("distance", pa.float64()), pa.field("rank", pa.int64()), pa.field("models", pa.int64())]
FAMILY: Final = pa.schema(
    [
        *_KEY,
        pa.field("verdict", pa.string()),
        *_PLACE,
        *_OTHERS,
        *(pa.field(name, pa.float64()) for name in ("times_median", "p_rank", "p", "q")),
        pa.field("note", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("layers", "kernels", "tested_kernels")),
    ]
)
DEPTH: Final = pa.schema(
    [
        *_KEY,
        pa.field("depth_decile", pa.int64()),
        *_PLACE,
        *_OTHERS,
        pa.field("kernels", pa.int64()),
        pa.field("tested_kernels", pa.int64()),
    ]
)
DECILE: Final = "depth_decile"


@dataclass(frozen=True, kw_only=True)
class FamilyHistograms:
    """Histograms of coefficients of the layers of one kernel size.

    Attributes:
        kernel: The kernel size.
        units: Layers combined into units, with the labels `family` and `depth_decile`.
        histograms: Histograms by unit.
        seed: Seed of the random numbers that thin them.
    """

    kernel: str
    units: LayerGroups
    histograms: CoefficientHistograms
    seed: int

    @property
    def families(self) -> list[str]:
        """The families, that with the most kernels first."""
        return ordered_labels(self.units.labels["family"], self.units.kernels)

    def models(self) -> list[str]:
        """Return all models in the order of the codes of cells."""
        return sorted({str(name) for name in self.units.labels["model_id"]})

    def cells(self, decile: str | None = None) -> ModelGroupHistograms:
        """Return the histograms by family and model.

        Args:
            decile: The depth decile whose layers count; None for all layers.
        """
        labels = self.units.labels
        of_units = [
            family if decile is None or at == decile else None
            for family, at in zip(labels["family"], labels[DECILE], strict=True)
        ]
        return group_cells(self.units, of_units, self.families, self.histograms)[0]


def family_rows(data: FamilyHistograms) -> Iterator[Row]:
    """Yield a row for each model of a known family, without what depends on other rows: `q` and the verdict."""
    cells, models = data.cells(), data.models()
    layers = _layers_of(data.units)
    for group, family in enumerate(data.families):
        members = cells.cells_of(group)
        random = random_generator(data.seed, "family", data.kernel, family)
        found = family_distances(cells.counts[members], cells.weights, MIN_MODELS, random)
        places = places_in_family(found)
        n_large = int((cells.kernels[members] >= MIN_KERNELS).sum())
        rows = []
        for position, cell in enumerate(members.tolist()):
            model, kernels = models[cells.model[cell]], int(cells.kernels[cell])
            row: Row = dict.fromkeys(FAMILY.names)
            row |= {"model_id": model, "family": family, "kernel": data.kernel, "kernels": kernels}
            row |= {"layers": layers[family, model], "tested_kernels": found.kernels or None}
            row |= places.get(position) or {"note": _why_no_distance(kernels, n_large, found.kernels)}
            rows.append(row)
        yield from sorted(rows, key=lambda row: (row["rank"] is None, row["rank"], row["model_id"]))


def depth_rows(data: FamilyHistograms) -> Iterator[Row]:
    """Yield a row for each model and depth decile in which it and another one of its family have enough kernels."""
    models = data.models()
    for decile in ordered_labels(data.units.labels[DECILE], data.units.kernels):
        cells = data.cells(decile)
        for group, family in enumerate(data.families):
            members = cells.cells_of(group)
            random = random_generator(data.seed, "family", data.kernel, family, decile)
            found = family_distances(cells.counts[members], cells.weights, MIN_MODELS, random)
            for position, place in places_in_family(found).items():
                cell = members[position]
                key = {"model_id": models[cells.model[cell]], "family": family, "kernel": data.kernel}
                sizes = {"kernels": int(cells.kernels[cell]), "tested_kernels": found.kernels}
                shown = {name: value for name, value in place.items() if name in DEPTH.names}
                yield {**key, DECILE: int(decile), **shown, **sizes}


def judged_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a table with `q`, verdict and note.

    A verdict takes `MIN_MODELS` members. `differs` has two conditions: q <= 0.05, with p-values of the tail adjusted
    over all such rows (Benjamini and Hochberg 1995), and p_rank <= 0.05, so that in no family more than one member in
    twenty is told apart, whatever the law of distances is.
    """
    p_values = np.array([np.nan if row["p"] is None else row["p"] for row in rows], np.float64)
    q_values = adjust_p_values(p_values).tolist()
    return [_judged(row, None if np.isnan(q) else q) for row, q in zip(rows, q_values, strict=True)]


def _judged(row: Row, q_value: float | None) -> Row:
    verdict: Verdict = "too little to tell"
    note = row["note"]
    if q_value is not None:
        far = row["p_rank"] <= LEVEL
        verdict = "differs" if far and q_value <= LEVEL else "no difference found"
        if far and q_value > LEVEL:
            note = "among the farthest of its family, as some always are, but not beyond the tail of its distances"
        elif q_value <= LEVEL and not far:
            note = "beyond the tail of the distances, but more than one in twenty members are as far"
    elif row["distance"] is not None:
        n = row["models"]
        note = f"{n} models: the rank of one has no p-value below 1/{n} = {1 / n:.2g}; a verdict takes {MIN_MODELS}"
    return row | {"q": q_value, "verdict": verdict, "note": note}


def places_in_family(found: FamilyDistances) -> dict[int, Row]:
    """Return where each member is among the others, by its position."""
    n, distances = len(found.members), found.distances
    if n < 2:
        return {}
    p_ranks = rank_p_values(distances)
    tails = tail_p_values(distances).tolist() if n >= MIN_MODELS else [None] * n
    places = {}
    for i, position in enumerate(found.members.tolist()):
        others = np.delete(distances, i)
        middle = float(np.median(others))
        places[position] = {
            "distance": float(distances[i]),
            "rank": 1 + int((others > distances[i]).sum()),
            "models": n,
            "others_median": middle,
            "others_low": float(others.min()),
            "others_high": float(others.max()),
            "times_median": float(distances[i]) / middle if middle > 0 else None,
            "p_rank": float(p_ranks[i]),
            "p": tails[i],
        }
    return places


def _layers_of(units: LayerGroups) -> dict[tuple[str | None, str | None], int]:
    """Return the number of layers of each family and model."""
    layers: dict[tuple[str | None, str | None], int] = {}
    for family, model, n in zip(units.labels["family"], units.labels["model_id"], units.layers.tolist(), strict=True):
        layers[family, model] = layers.get((family, model), 0) + n
    return layers


def _why_no_distance(kernels: int, n_large: int, common: int) -> str:
    if kernels < MIN_KERNELS:
        return f"fewer than {MIN_KERNELS} kernels"
    if n_large < 2:
        return f"no other model of the family has {MIN_KERNELS} kernels of this size"
    return f"fewer kernels than the {common:,} that the models of its family are thinned to"
