"""The analysis `shape`: frequency, symmetry and separability of kernels, of every size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.analyses.shape_findings import shape_findings
from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS, radial_bins
from filtercrawl_analysis.numerics.moments import Array, sketch_moments
from filtercrawl_analysis.plots.quality import depth_profiles, frequency_profile
from filtercrawl_analysis.statistics.components.coefficients import BATCH, iter_sketches, select_kernel_size
from filtercrawl_analysis.statistics.groups.group_medians import group_medians
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import POSITION, Labels, group_labels, ordered_labels, sample_size
from filtercrawl_analysis.statistics.groups.resampling import random_generator
from filtercrawl_analysis.statistics.layer_inputs import batched
from filtercrawl_analysis.statistics.quality.group_summary import (
    filter_known_depth,
    summarize_by_columns,
    summarize_by_depth,
)
from filtercrawl_analysis.statistics.quality.kernel_shape import (
    energy_share,
    mean_separability,
    noise_separability,
    symmetry_projectors,
)

FREQUENCY: Final = ("mean_share", "low_share", "high_share", "frequency_centre")
SYMMETRY: Final = ("even_point", "even_horizontal", "even_vertical", "rotation")
NUMBERS: Final = (*FREQUENCY, *SYMMETRY, "separability")
MAX_SIZES: Final = 3
_INDEX_COLUMNS: Final = ("layer_id", "model_id", "layer_sha256", "kernel", "n_kernels", "depthwise", "depth_decile")
_ABOUT: Final = (
    "Shares of the energy, that is the sum of squared weights. Of the DCT-II coefficients by radial frequency, in "
    "units of the Nyquist frequency: mean_share at 0, low_share below one half, high_share from one half on, "
    "frequency_centre their center of mass. even_point, even_horizontal, even_vertical, rotation: of the part of a "
    "kernel that turning by 180 degrees, flipping, or turning by 90 degrees leaves unchanged (up to 49 taps; rotation "
    "for square kernels). separability: mean over sampled kernels of the energy in the best product of a column and a "
    "row."
)
_ABOUT_MEDIANS: Final = (
    "A model counts once, by the median of its layers of the kernel size and group; median: over models, with its 95 % "
    "interval (interpolated order statistics; null below 5 models). random_weights: the value of those; p_random: "
    "sign test of it. rest: the median of the other layers of the column; p: "
    "Wilcoxon's signed-rank test of the models "
    "with layers in both, else the larger p of Mann and Whitney's and Welch's test. q_random, q: adjusted "
    "over the table (Benjamini-Hochberg). "
    "against_random, verdict: higher or lower where q <= 0.05, not told apart where it is larger, too little to "
    "tell where so few models cannot give p <= 0.05."
)
_PROFILE_SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("kernel", "position")),
        pa.field("frequency", pa.float64()),
        pa.field("share", pa.float64()),
        pa.field("share_of_noise", pa.float64()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
    ]
)
_NOISE_SCHEMA: Final = pa.schema([pa.field("kernel", pa.string()), *(pa.field(name, pa.float64()) for name in NUMBERS)])


def analyze(dataset: DatasetView) -> Result:
    """Measure the frequency spectrum, symmetry and separability of the kernels of each layer."""
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    if not len(index):
        return empty_result("no learned kernels of more than one tap")
    sizes = ordered_labels(index["kernel"].to_pylist(), np.ones(len(index), np.int64))
    rows: list[dict[str, Any]] = []
    profile: list[dict[str, Any]] = []
    noise: list[dict[str, Any]] = []
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"frequency and symmetry, {kernel}")
        layers = select_kernel_size(index, kernel)
        layer_rows, spectra = _measure_layers(dataset, layers)
        rows += layer_rows
        profile += _profile_rows(layers, spectra)
        noise.append({"kernel": kernel, **_noise_row(dataset, layers)})
    ordered = pa.concat_tables([select_kernel_size(index, kernel) for kernel in sizes])
    fields = [index.schema.field(name) for name in _INDEX_COLUMNS]
    table = pa.Table.from_pylist(rows, schema=pa.schema([*fields, *(pa.field(name, pa.float64()) for name in NUMBERS)]))
    groups = summarize_by_columns(table, ordered, dataset.options.by, NUMBERS)
    medians = group_medians(table, ordered, dataset.options.by, NUMBERS, {row["kernel"]: row for row in noise})
    tables_by_name = {
        "layer_shape": ("Shape of every layer's kernels", table),
        "group_shape": ("Shape of kernels by group", groups),
        "frequency_profile": ("Energy by frequency", pa.Table.from_pylist(profile, schema=_PROFILE_SCHEMA)),
        "shape_of_noise": ("Shape of kernels of random weights", pa.Table.from_pylist(noise, schema=_NOISE_SCHEMA)),
    }
    tables = (
        *(ResultTable(name=n, title=title, rows=t, about=_ABOUT) for n, (title, t) in tables_by_name.items()),
        ResultTable(
            name="shape_medians", title="Shape of kernels, medians over models", rows=medians, about=_ABOUT_MEDIANS
        ),
    )
    figures = (*_frequency_figures(index, sizes, profile), *_depth_figures(table, sizes))
    return Result(tables=tables, figures=figures, findings=tuple(shape_findings(medians, sizes[0])))


def radii(kernel_size: tuple[int, ...]) -> Array:
    """Return the frequency of each radial bin [bins], in units of the Nyquist frequency of the longest axis."""
    bins = int(radial_bins(kernel_size).max()) + 1
    frequencies: Array = np.arange(bins) / max(kernel_size)
    return frequencies


def frequency_numbers(energy: Array, at: Array) -> dict[str, Array]:
    """Return the columns `FREQUENCY` of layers.

    Args:
        energy: Energy by radial bin [layers, bins].
        at: Frequency of each bin [bins].

    Returns:
        Each column [layers]; NaN for a layer without energy.
    """
    total = energy.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total > 0, energy / total, np.nan)
    low = share[:, at < 0.5].sum(1)
    return {
        "mean_share": share[:, 0],
        "low_share": low,
        "high_share": 1 - low,
        "frequency_centre": share @ at,
    }


def _measure_layers(dataset: DatasetView, layers: pa.Table) -> tuple[list[dict[str, Any]], Array]:
    """Return the rows of layers of one kernel size, and the shares of their energy by radial bin [layers, bins]."""
    size = tuple(layers["kernel_size"][0].as_py())
    taps, at = int(np.prod(size)), radii(size)
    energy = np.zeros((len(layers), len(at)))
    numbers: dict[str, Array] = {name: np.full(len(layers), np.nan) for name in NUMBERS}
    projectors = symmetry_projectors(size) if taps <= MAX_TAPS else {}
    for batch, sketches in iter_sketches(dataset, layers):
        energy[batch] = sketches["radial_energy"].combine_chunks().flatten().to_numpy().reshape(-1, len(at))
        second_moments = sketch_moments(sketches, "raw").second_moment() if projectors else np.empty(0)
        for name, projector in projectors.items():
            numbers[name][batch] = energy_share(second_moments, projector)
    numbers |= frequency_numbers(energy, at)
    layer_index = {digest: i for i, digest in enumerate(layers["layer_sha256"].to_pylist())}
    for sampled in batched(dataset.samples(list(layer_index)), BATCH):
        places = [layer_index[digest] for digest, _ in sampled]
        numbers["separability"][places] = mean_separability([kernels for _, kernels in sampled], size)
    rows = [
        row | {name: _finite_or_none(values[i]) for name, values in numbers.items()}
        for i, row in enumerate(layers.select(_INDEX_COLUMNS).to_pylist())
    ]
    total = energy.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return rows, np.where(total > 0, energy / total, np.nan)


def _noise_row(dataset: DatasetView, layers: pa.Table) -> dict[str, float | None]:
    """Return the row of independent weights of equal variance: each dimension has the same share of the energy."""
    size = tuple(layers["kernel_size"][0].as_py())
    counts = np.bincount(radial_bins(size).ravel()).astype(np.float64)
    numbers = {name: float(value[0]) for name, value in frequency_numbers(counts[None], radii(size)).items()}
    taps = int(counts.sum())
    symmetry = (
        {name: float(np.trace(p) / taps) for name, p in symmetry_projectors(size).items()} if taps <= MAX_TAPS else {}
    )
    return {
        **numbers,
        **symmetry,
        "separability": noise_separability(size, random_generator(dataset.options.seed, "separability")),
    }


def _profile_rows(layers: pa.Table, spectra: Array) -> Iterator[dict[str, Any]]:
    size = tuple(layers["kernel_size"][0].as_py())
    kernel = layers["kernel"][0].as_py()
    counts = np.bincount(radial_bins(size).ravel())
    positions: Labels = group_labels(layers, POSITION)
    known = np.isfinite(spectra).all(1)
    for position in (None, "first", "between", "last"):
        selected = known if position is None else known & np.array([p == position for p in positions])
        if selected.any():
            size_of_sample = sample_size(layers.filter(pa.array(selected)))
            for at, share, count in zip(radii(size), spectra[selected].mean(0), counts, strict=True):
                if count:  # bins may be empty
                    yield {
                        "kernel": kernel,
                        "position": position or "all",
                        "frequency": float(at),
                        "share": float(share),
                        "share_of_noise": float(count / counts.sum()),
                        "models": size_of_sample.models,
                        "layers": size_of_sample.layers,
                        "kernels": size_of_sample.kernels,
                    }


def _frequency_figures(index: pa.Table, sizes: list[str], profile: list[dict[str, Any]]) -> Iterator[Figure]:
    for kernel in sizes[:MAX_SIZES]:
        rows = [row for row in profile if row["kernel"] == kernel]
        if rows:
            yield Figure(
                name=f"frequency_{kernel}",
                title=f"Energy of {kernel_phrase(kernel)} by frequency",
                caption="Mean over layers of the share of their energy at each radial frequency, for all layers and "
                "for first and last ones where they are known; dashed, random weights. Without uncertainty: intervals "
                "and tests over models are in the table of medians.",
                basis=sample_size(select_kernel_size(index, kernel)),
                table="frequency_profile",
                draw=partial(frequency_profile, rows=rows),
            )


def _depth_figures(table: pa.Table, sizes: list[str]) -> Iterator[Figure]:
    for kernel in sizes[:MAX_SIZES]:
        here = filter_known_depth(select_kernel_size(table, kernel))
        numbers = [n for n in ("frequency_centre", "even_point", "separability") if here[n].null_count < len(here)]
        rows = summarize_by_depth(here, numbers)
        if len(rows) > 1 and numbers:
            yield Figure(
                name=f"shape_depth_{kernel}",
                title=f"Shape of {kernel_phrase(kernel)} by depth",
                caption="Median and quartiles over layers, by tenths of the depth of their networks.",
                basis=sample_size(here),
                table="group_shape",
                draw=partial(depth_profiles, rows=rows, numbers=numbers),
                height=0.6 + 1.8 * len(numbers),
            )


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
