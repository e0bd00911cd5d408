"""The analysis `form`: Gabor and difference-of-Gaussians fits, named forms of depthwise kernels, first layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Finding, Result, ResultTable, SampleSize
from filtercrawl.api.errors import DatasetError
from filtercrawl_analysis.analyses.form_findings import (
    angle_findings,
    depth_findings,
    fit_findings,
    share_findings,
    without_missing_figures,
)
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots import form as plots
from filtercrawl_analysis.statistics.form.depth_trend import depth_trends
from filtercrawl_analysis.statistics.form.first_layers import FirstLayers, angle_histograms, fit_first_layers
from filtercrawl_analysis.statistics.form.fit_shares import fit_shares
from filtercrawl_analysis.statistics.form.fits import DogFits, GaborFits
from filtercrawl_analysis.statistics.form.fitted_kernels import DOG, GABOR, fitted_kernels
from filtercrawl_analysis.statistics.form.shares import ALL, LayerForms, form_shares, layer_forms
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import sample_size

# Kernel sizes with a figure of their own, and kernels shown beside their fits.
_MAX_SIZES: Final = 3
_SHOWN: Final = 7
_KERNELS: Final = (
    "Sampled kernels of five taps or more along both axes. gabor_*: A exp(-x'^2 / 2 a^2 - y'^2 / 2 b^2) cos(2 pi f "
    "x' + phi) + c, x' along the wave and y' across it (Gabor 1946, Daugman 1985). dog_*: A (exp(-r^2 / 2 s^2) - "
    "exp(-r^2 / 2 t^2) s^2 / t^2) + c (Marr and Hildreth 1980). Lengths in pixels from the middle of the kernel, x "
    "to the right and y downward; angles in radians. gabor_p, dog_p: share of kernels of independent normal weights "
    "that the model explains as well. form: the model with p <= 0.01, of two the difference of Gaussians, unless the "
    "Gabor function explains significantly more (F test, p <= 0.01). at_bound: a parameter is at the edge of its "
    "range and not determined."
)
_FITS: Final = (
    "Mean over models of the share of their sampled kernels that have the form. median_r2: of the kernels that have "
    "it; null_r2: what 1 % of random kernels exceed."
)
_SHARES: Final = (
    "Mean over models of the share of their depthwise kernels, of a sample of at most 64 a layer, that correlate "
    "with a template of the form by 0.85 or more in magnitude; flat: the mean has 90 % of the energy. noise-like: no "
    "template, and not nearer to one than the same weights in random order (p > 0.05); other: nearer. chance: the "
    "share among the same kernels with their weights in random order. low, high: 95 % interval over models (null "
    "below 5). p: Wilcoxon's signed-rank test of models against chance; q: adjusted over the table "
    "(Benjamini-Hochberg); verdict: against chance."
)
_DEPTH: Final = (
    "Median over models of the rank correlation (Spearman) of the share of the form in a layer with the layer's "
    "depth, of models with four depthwise layers or more of the size. low, high: 95 % interval of the median (null "
    "below 5 models). p: sign test of 0; q: adjusted over the table; verdict: higher where the form becomes more "
    "frequent with depth."
)
_FILTERS: Final = (
    "Gabor functions fitted to the principal color kernels of filters of first layers: the first right singular "
    "vector of the filter as a matrix of channels by taps, times its singular value. color_share: the share of the "
    "energy that it holds. fits: p <= 0.01."
)
_ANGLES: Final = (
    "Cells of the orientation (0: vertical stripes, 90 degrees: horizontal ones) and of the phase (0: bright center, "
    "180: dark center, 90 and -90: edges), in radians. Mean over models of the share of filters that a Gabor "
    "function fits, for the orientation with a standard error of it below half a cell. p: sign test of models "
    "against equal cells; q: adjusted over the table; verdict: against equal cells."
)


def analyze(dataset: DatasetView) -> Result:
    """Fit parametric models to sampled kernels and to first layers, and name the forms of depthwise kernels."""
    kernels, forms = fitted_kernels(dataset), layer_forms(dataset)
    missing: list[Finding | str] = []
    try:
        first = fit_first_layers(dataset)
    except DatasetError as error:  # a dataset may be kept without its weights; samples and tables remain
        first, missing = FirstLayers.none(dataset), [f"First layers were not read: {error}."]
    if not (len(kernels) or len(forms.layers) or len(first.filters)):
        return empty_result("no kernels of five taps along both axes, and no depthwise ones of three")
    fits, shares, angles = fit_shares(kernels), form_shares(forms, dataset.options.by), angle_histograms(first)
    trends = depth_trends(forms)
    tables = (
        ResultTable(name="form_fits", title="Kernels that a model describes", rows=fits, about=_FITS),
        ResultTable(name="form_shares", title="Named forms of depthwise kernels", rows=shares, about=_SHARES),
        ResultTable(name="form_depth", title="Named forms and depth", rows=trends, about=_DEPTH),
        ResultTable(
            name="first_layer_orientation", title="Orientation and phase of first layers", rows=angles, about=_ANGLES
        ),
        ResultTable(name="form_kernels", title="Fits to sampled kernels", rows=kernels, about=_KERNELS),
        ResultTable(
            name="first_layer_filters", title="Fits to filters of first layers", rows=first.filters, about=_FILTERS
        ),
    )
    figures = (
        *_fit_figures(kernels),
        *_share_figures(forms, shares),
        *_depth_figures(forms, shares),
        *_angle_figures(first, angles),
    )
    drawn = frozenset(figure.name for figure in figures)
    return Result(
        tables=tuple(table for table in tables if len(table.rows)),
        figures=figures,
        findings=(
            *without_missing_figures(
                (*share_findings(shares), *depth_findings(trends), *angle_findings(angles), *fit_findings(fits)), drawn
            ),
            *missing,
        ),
    )


def _fit_figures(kernels: pa.Table) -> Iterator[Figure]:
    for kernel in _most_frequent(kernels):
        here = kernels.filter(
            pc.and_(pc.equal(kernels["kernel"], kernel), pc.is_in(kernels["form"], pa.array([GABOR, DOG])))
        )
        if not len(here):
            continue
        rows = _spread_over_r2(here)
        height, width = (int(n) for n in kernel.split("x"))
        images = np.array([row["values"] for row in rows], np.float64).reshape(-1, height, width)
        yield Figure(
            name=f"form_fits_{kernel}",
            title=f"{kernel_phrase(kernel).capitalize()} and their fits",
            caption="Kernels that a model describes, evenly spaced by R² from the worst to the best, and below each "
            "the Gabor function or the difference of Gaussians (DoG) that describes it.",
            basis=_sample_size(here),
            table="form_kernels",
            draw=partial(
                plots.fits_beside_kernels,
                kernels=images,
                fits=np.concatenate([_image(row, (height, width)) for row in rows]),
                titles=[f"{'Gabor' if row['form'] == GABOR else 'DoG'}\nR² {_r2(row):.2f}" for row in rows],
            ),
            height=2.5,
        )


def _share_figures(forms: LayerForms, shares: pa.Table) -> Iterator[Figure]:
    overall = shares.filter(pc.equal(shares["column"], ALL))
    for kernel in list(dict.fromkeys(overall["kernel"].to_pylist()))[:_MAX_SIZES]:
        yield Figure(
            name=f"form_shares_{kernel}",
            title=f"Forms of depthwise {kernel_phrase(kernel)}",
            caption="Bars: share of kernels of each form, mean over models, with its 95 % interval where there are "
            "five models. Diamonds: the same kernels with their weights in random order.",
            basis=sample_size(forms.layers.filter(pc.equal(forms.layers["kernel"], kernel))),
            table="form_shares",
            draw=partial(plots.share_bars, rows=overall.filter(pc.equal(overall["kernel"], kernel)).to_pylist()),
        )


def _depth_figures(forms: LayerForms, shares: pa.Table) -> Iterator[Figure]:
    by_depth = shares.filter(pc.equal(shares["column"], "depth_decile"))
    for kernel in list(dict.fromkeys(by_depth["kernel"].to_pylist()))[:_MAX_SIZES]:
        here = by_depth.filter(pc.equal(by_depth["kernel"], kernel))
        if len(set(here["group"].to_pylist())) < 2:
            continue
        layers = forms.layers.filter(pc.equal(forms.layers["kernel"], kernel))
        yield Figure(
            name=f"form_depth_{kernel}",
            title=f"Forms of depthwise {kernel_phrase(kernel)} by depth",
            caption="Share of kernels of each form by tenths of the depth of their networks, mean over models; the "
            "band is its 95 % interval where there are five models. Dashed: the same kernels with their weights in "
            "random order.",
            basis=sample_size(layers.filter(pc.is_valid(layers["depth_decile"]))),
            table="form_shares",
            draw=partial(plots.shares_by_depth, rows=here.to_pylist()),
            height=6.6,
        )


def _angle_figures(first: FirstLayers, angles: pa.Table) -> Iterator[Figure]:
    if not len(angles):
        return
    rows = [row for row in angles.to_pylist() if row["kernel"] == angles["kernel"][0].as_py()]
    panels = [
        (label, of_angle)
        for angle, label in (("orientation", "orientation of the wave"), ("phase", "phase"))
        if (of_angle := [row for row in rows if row["angle"] == angle])
    ]
    yield Figure(
        name="first_layer_orientation",
        title="Orientation and phase of filters of first layers",
        caption="Filters that a Gabor function fits; mean over models, with its 95 % interval where there are five "
        "models. Orientation: 0° for vertical stripes, 90° for horizontal ones. Phase: 0° for a bright center, 180° "
        "for a dark one, 90° and -90° for edges. Dashed: equal cells.",
        basis=sample_size(first.layers),
        table="first_layer_orientation",
        draw=partial(plots.angle_histograms, panels=panels),
        height=3.2,
    )


def _most_frequent(kernels: pa.Table) -> list[str]:
    counts = pc.value_counts(kernels["kernel"].combine_chunks()).to_pylist()
    return [row["values"] for row in sorted(counts, key=lambda row: (-row["counts"], row["values"]))[:_MAX_SIZES]]


def _spread_over_r2(kernels: pa.Table) -> list[dict[str, Any]]:
    r2 = pc.if_else(pc.equal(kernels["form"], GABOR), kernels["gabor_r2"], kernels["dog_r2"]).to_numpy()
    chosen = np.linspace(0, len(r2) - 1, min(_SHOWN, len(r2))).round().astype(int)
    return kernels.take(pa.array(np.argsort(r2, kind="stable")[chosen])).to_pylist()  # type: ignore[no-any-return]


def _r2(row: dict[str, Any]) -> float:
    r2: float = row["gabor_r2" if row["form"] == GABOR else "dog_r2"]
    return r2


def _image(row: dict[str, Any], size: tuple[int, int]) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    if row["form"] == GABOR:
        return GaborFits(**_columns(row, "gabor_", GaborFits)).images(size)
    return DogFits(**_columns(row, "dog_", DogFits)).images(size)


def _columns(row: dict[str, Any], prefix: str, kind: type[GaborFits | DogFits]) -> dict[str, Any]:
    return {field.name: np.array([row[prefix + field.name]], np.float64) for field in fields(kind)}


def _sample_size(kernels: pa.Table) -> SampleSize:
    layers, models = (len(set(kernels[name].to_pylist())) for name in ("layer_id", "model_id"))
    return SampleSize(kernels=len(kernels), layers=layers, models=models)
