"""Compare the power laws and soft ranks of layers with those of WeightWatcher, over real and random networks.

python benchmarks/spectra.py --dataset DATASET [--layers N]     writes spectra.md beside this file

Needs weightwatcher 0.7.7 and scikit-learn, in an environment of their own: it is no dependency of filtercrawl.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import timm
import torch
from torch import nn

from filtercrawl_analysis import layer_spectrum
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.statistics.whole_layers import whole_layers

REPORT = Path(__file__).with_suffix(".md")
# Networks of timm, with random weights: plain, depthwise, grouped, patches.
RANDOM = ("resnet18", "regnetx_002", "mobilenetv3_small_100", "convnext_atto", "repvgg_a0", "poolformer_s12")
# WeightWatcher computes a density of all eigenvalues some 250 times a layer: a minute for the largest layers.
MAX_EIGENVALUES = 1200
# Ours, WeightWatcher's, and the factor of the latter: it halves the eigenvalues of convolutions.
NUMBERS = {
    "alpha": ("alpha", 1.0),
    "error of alpha": ("sigma", 1.0),
    "D": ("D", 1.0),
    "xmin": ("xmin", 2.0),
    "tail": ("num_pl_spikes", 1.0),
    "largest eigenvalue": ("lambda_max", 2.0),
    "sum of eigenvalues": ("norm", 2.0),
    "soft rank": ("mp_softrank", 1.0),
    "spikes": ("num_spikes", 1.0),
}


@dataclass(kw_only=True)
class Comparison:
    """The layers of one network, by both.

    Attributes:
        name: The network.
        real: Whether it is a checkpoint, not random.
        seconds: Time of ours and of WeightWatcher's.
        differences: Relative differences of each number, a layer each.
        swapped: The same for the soft rank and the spikes of layers whose sides WeightWatcher swaps.
    """

    name: str
    real: bool
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    differences: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NUMBERS})
    swapped: list[float] = field(default_factory=list)

    @property
    def layers(self) -> int:
        return len(self.differences["alpha"])


def convolutions(network: nn.Module) -> Iterator[nn.Conv2d]:
    """Yield the convolutions of more than one tap."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight[0, 0].numel() > 1:
            yield module


def stored_convolutions(dataset: Path, layers: int) -> Iterator[tuple[str, list[nn.Conv2d]]]:
    """Yield, for each model, up to `layers` of its two-dimensional convolutions, evenly chosen."""
    view = FolderDatasetView(dataset)
    index = view.index
    index = index.filter(pc.and_(pc.equal(index["op"], "conv2d"), pc.greater(index["taps"], 1)))
    for model in sorted(set(index["model_id"].to_pylist())):
        rows = index.filter(pc.equal(index["model_id"], model))
        rows = rows.filter(pa.array([eigenvalues(tuple(s)) <= MAX_EIGENVALUES for s in rows["shape"].to_pylist()]))
        chosen = np.unique(np.linspace(0, len(rows) - 1, layers).round().astype(int)) if len(rows) else []
        found = []
        for layer in whole_layers(view, rows.take(pa.array(chosen, pa.int64()))):
            out, inputs, *size = layer.weight.shape
            module = nn.Conv2d(inputs, out, size, bias=False)
            module.weight.data = torch.from_numpy(layer.weight.copy())
            found.append(module)
        if found:
            yield model, found


def eigenvalues(shape: tuple[int, ...]) -> int:
    return min(shape[:2]) * int(np.prod(shape[2:]))


def compare(name: str, modules: list[nn.Conv2d], *, real: bool) -> Comparison:
    """Analyze the layers with both, one at a time."""
    from weightwatcher import WeightWatcher

    found = Comparison(name=name, real=real)
    for module in modules:
        weight = module.weight.detach()
        started = time.perf_counter()
        spectrum = layer_spectrum(weight, module.groups)
        found.seconds[0] += time.perf_counter() - started
        if spectrum is None or spectrum.taps.power_law is None or spectrum.taps.marchenko_pastur is None:
            continue
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            started = time.perf_counter()
            theirs: pd.DataFrame = WeightWatcher(model=nn.Sequential(module)).analyze(mp_fit=True)
            found.seconds[1] += time.perf_counter() - started
        if not len(theirs) or theirs["alpha"][0] <= 0:
            continue
        law, bulk, values = spectrum.taps.power_law, spectrum.taps.marchenko_pastur, spectrum.taps.eigenvalues
        ours = (
            law.alpha, law.error, law.distance, law.xmin, law.tail, values[-1], values.sum(), bulk.soft_rank,
            bulk.spikes,
        )  # fmt: skip
        swapped = theirs["N"][0] < theirs["M"][0]
        for (number, (column, factor)), value in zip(NUMBERS.items(), ours, strict=True):
            want = factor * float(theirs[column][0])
            difference = abs(float(value) - want) / max(abs(want), 1.0 if number == "spikes" else 1e-300)
            if number in ("soft rank", "spikes") and swapped:
                found.swapped.append(difference)
            else:
                found.differences[number].append(difference)
    return found


def report(comparisons: list[Comparison], layers: int) -> str:
    """Return the page."""
    real, random = ([c for c in comparisons if c.real is kind] for kind in (True, False))
    ours, theirs = (sum(c.seconds[i] for c in comparisons) for i in (0, 1))
    lines = [
        "# Spectra beside WeightWatcher",
        "",
        f"Written by `python benchmarks/spectra.py --layers {layers}`; weightwatcher {version('weightwatcher')}, numpy "
        f"{np.__version__}, torch {version('torch')}, timm {version('timm')}, one thread.",
        "",
        f"{sum(c.layers for c in comparisons)} convolutions: {sum(c.layers for c in real)} of {len(real)} real "
        f"checkpoints, at most {layers} of each and of at most {MAX_EIGENVALUES:,} eigenvalues, and "
        f"{sum(c.layers for c in random)} of {len(random)} networks of timm with random weights. "
        f"`layer_spectrum` took {ours:.1f} s, with the matrix and the operator, WeightWatcher {theirs:.1f} s.",
        "",
        "| number | layers | equal within 1e-3 | largest relative difference |",
        "|---|---|---|---|",
    ]
    for number, (column, factor) in NUMBERS.items():
        values = [v for c in comparisons for v in c.differences[number]]
        equal = sum(value <= 1e-3 for value in values)
        name = f"{number}, `{column}`" + (f" times {factor:g}" if factor != 1 else "")
        lines.append(f"| {name} | {len(values)} | {equal} | {max(values, default=0.0):.1e} |")
    swapped = [value for c in comparisons for value in c.swapped]
    lines += [
        "",
        "WeightWatcher halves the eigenvalues of convolutions. For some layers with fewer outputs than inputs, as "
        "those with an even number of taps, it takes the sides of the matrix the wrong way round; their soft ranks "
        "and spikes, "
        f"{len(swapped)} numbers of which {sum(v <= 1e-3 for v in swapped)} are equal, are left out above.",
        "The density of few eigenvalues can have several equal maxima. Which of them is the peak that the law has to "
        "cover is then decided by rounding in WeightWatcher, and is the first here: so one layer of nine eigenvalues.",
        "",
        "| network | layers | largest difference of alpha | of the soft rank | seconds | of WeightWatcher |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.name}{'' if c.real else ', random'} | {c.layers} | {max(c.differences['alpha']):.1e} | "
        f"{max(c.differences['soft rank'], default=0.0):.1e} | {c.seconds[0]:.1f} | {c.seconds[1]:.1f} |"
        for c in comparisons
        if c.layers
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", type=Path, required=True, help="a dataset of real checkpoints")
    parser.add_argument("--layers", type=int, default=4, help="layers of each network")
    options = parser.parse_args()
    mpl.use("agg")
    warnings.simplefilter("ignore")
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    comparisons = []
    for name, modules in stored_convolutions(options.dataset, options.layers):
        comparisons.append(compare(name, modules, real=True))
        print(name, comparisons[-1].layers, flush=True)
    for name in RANDOM:
        small = [m for m in convolutions(timm.create_model(name)) if eigenvalues(m.weight.shape) <= MAX_EIGENVALUES]
        chosen = np.unique(np.linspace(0, len(small) - 1, options.layers).round().astype(int)) if small else []
        comparisons.append(compare(name, [small[i] for i in chosen], real=False))
        print(name, comparisons[-1].layers, flush=True)
    REPORT.write_text(report(comparisons, options.layers))


if __name__ == "__main__":
    main()
