"""The analysis `spectra`: singular values of layers, as matrices and as operators, against random layers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.analyses.spectra_findings import spectra_findings
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.one_thread import one_thread
from filtercrawl_analysis.plots.spectra import decay_curves, depth_lines
from filtercrawl_analysis.statistics.groups.group_medians import group_medians
from filtercrawl_analysis.statistics.groups.labels import sample_size
from filtercrawl_analysis.statistics.quality.group_summary import filter_known_depth
from filtercrawl_analysis.statistics.spectra.layer_rows import (
    DECAY_SCHEMA,
    SPECTRUM_FIELDS,
    decay,
    decay_rows,
    spectrum_row,
)
from filtercrawl_analysis.statistics.spectra.layer_spectrum import layer_spectrum
from filtercrawl_analysis.statistics.spectra.model_spectra import model_spectra
from filtercrawl_analysis.statistics.spectra.random_spectra import RandomSpectra
from filtercrawl_analysis.statistics.whole_layers import WholeLayer, whole_layers

MEASURES: Final = (
    "alpha_ratio", "soft_rank_ratio", "stable_rank_share", "effective_rank_share", "decay_exponent", "operator_norm",
)  # fmt: skip
_INDEX_COLUMNS: Final = (
    "layer_id", "model_id", "layer_sha256", "op", "kernel", "shape", "groups", "depthwise", "conv_depth_norm",
    "depth_decile", "n_kernels",
)  # fmt: skip
_LAYERS: Final = (
    "Of the weight as a matrix, [out, in / groups * taps], with one block a group: spectral_norm to decay_exponent. "
    "stable_rank: squared Frobenius norm over squared spectral norm; effective_rank: exp of the entropy of singular "
    "values; _share: of the full rank; condition_number: null where the rank is not full; decay_exponent: slope of log "
    "singular value against log index. Of the convolution of periodic inputs of operator_size with stride 1: "
    "operator_*; operator_norm_bound holds for inputs of any size. Of the eigenvalues of the matrices at all taps, as "
    "WeightWatcher: alpha, the exponent of the power law that their tail, from xmin on, fits best, at ks_distance; "
    "mp_soft_rank, the edge of the fitted bulk over the largest; mp_spikes, eigenvalues beyond it. _random: median, "
    "least and largest of 39 layers of independent normal weights of the same shape and variance; _ratio: over that "
    "median; _verdict: lower or higher outside of their range, which a random layer is with a probability of 5 %."
)
_MODELS: Final = (
    "Layers whose alpha, and soft rank, is lower than, within or higher than the range of 39 random layers of their "
    "shape. p: of so many lower ones if all layers were random (beta-binomial), q: adjusted over the models "
    "(Benjamini-Hochberg). verdict: lower where q <= 0.05. Others: medians over layers."
)
_GROUPS: Final = (
    "A model counts once, by the median of its layers of the kernel size and group; columns as in shape_medians. Not "
    "compared with random weights here: model_spectra does that."
)
_DECAY: Final = (
    "Singular values of layers over their largest, at relative positions from the first (0) to the last (1): quartiles "
    "over layers, and the median of layers of independent normal weights of the same shapes."
)


@one_thread()
def analyze(dataset: DatasetView) -> Result:
    """Compute the spectrum of every layer, and compare it with those of random layers."""
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    if not len(index):
        return empty_result("no learned kernels of more than one tap")
    random = RandomSpectra(dataset.options.seed)
    rows: list[dict[str, Any] | None] = [None] * len(index)
    curves: dict[int, tuple[Array, Array]] = {}
    for done, layer in enumerate(whole_layers(dataset, index)):
        dataset.progress(done, len(index), "spectra of layers")
        measured = _measure(layer, random, dataset.options.device)
        if measured is not None:
            rows[layer.position], curve = measured
            if curve is not None:
                curves[layer.position] = curve
    facts = index.select(_INDEX_COLUMNS)
    schema = pa.schema([*facts.schema, *SPECTRUM_FIELDS])
    merged = [fact | (row or {}) for fact, row in zip(facts.to_pylist(), rows, strict=True)]
    layers = pa.Table.from_pylist(merged, schema=schema)
    models = model_spectra(layers)
    # The ratios have the sampling error of 39 random layers, which a test of models against 1 would ignore.
    references = dict.fromkeys(layers["kernel"].to_pylist(), dict.fromkeys(MEASURES))
    medians = group_medians(layers, index, dataset.options.by, MEASURES, references)
    deciles = layers["depth_decile"].to_pylist()
    known = sorted(curves)
    decays = decay_rows([curves[i][0] for i in known], [curves[i][1] for i in known], [deciles[i] for i in known])
    decay_table = pa.Table.from_pylist(decays, schema=DECAY_SCHEMA)
    tables = (
        ResultTable(name="layer_spectra", title="Spectrum of every layer", rows=layers, about=_LAYERS),
        ResultTable(name="model_spectra", title="Spectra of models against random layers", rows=models, about=_MODELS),
        ResultTable(name="spectra_medians", title="Spectra, medians over models", rows=medians, about=_GROUPS),
        ResultTable(name="spectral_decay", title="Decay of singular values", rows=decay_table, about=_DECAY),
    )
    figures = (*_depth_figures(layers), *_decay_figures(layers.take(pa.array(known, pa.int64())), decays))
    return Result(tables=tables, figures=figures, findings=tuple(spectra_findings(models, medians)))


def _measure(
    layer: WholeLayer, random: RandomSpectra, device: str
) -> tuple[dict[str, Any], tuple[Array, Array] | None] | None:
    """Return the row of a layer, and its decay beside that of a random layer; None without a spectrum."""
    groups = layer.row["groups"]
    spectrum = layer_spectrum(layer.weight, groups, device=device)
    if spectrum is None:
        return None
    out, inputs = layer.weight.shape[:2]
    fits = random.fits((out, inputs, layer.row["taps"]), float(np.var(layer.weight, dtype=np.float64)))
    curve = None
    if spectrum.matrix is not None:
        other = random.singular_values((out // groups, inputs * layer.row["taps"]), groups)
        curve = decay(spectrum.matrix.singular_values), decay(other)
    return spectrum_row(spectrum, fits), curve


def _depth_figures(layers: pa.Table) -> Iterator[Figure]:
    deep = filter_known_depth(layers)
    panels = (
        ("alpha_depth", "Exponent alpha by depth", "alpha", "alpha_random", "exponent alpha of the eigenvalues",
         "Dashed, median of random layers of the same shapes."),
        ("stable_rank_depth", "Stable rank by depth", "stable_rank_share", None, "stable rank / full rank", ""),
    )  # fmt: skip
    for name, title, column, reference, axis, note in panels:
        known = deep.filter(pc.is_valid(deep[column]))
        if len(set(known["depth_decile"].to_pylist())) > 1:
            yield Figure(
                name=name,
                title=title,
                caption="One thin line a model, by the relative depth of its layers; thick, the median of the layers "
                f"of each tenth of the depth. {note}".rstrip(),
                basis=sample_size(known),
                table="layer_spectra",
                draw=partial(depth_lines, layers=known, column=column, reference=reference, axis=axis),
            )


def _decay_figures(layers: pa.Table, rows: list[dict[str, Any]]) -> Iterator[Figure]:
    if rows:
        yield Figure(
            name="spectral_decay",
            title="Decay of singular values",
            caption="Singular values over the largest one, from the first to the last, in the median layer of each "
            "third of the depth; the band holds half of all layers. Dashed, random layers of the same shapes.",
            basis=sample_size(layers),
            table="spectral_decay",
            draw=partial(decay_curves, rows=rows),
        )
