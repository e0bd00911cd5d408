"""A model's quality by torchconvquality, with all its metrics, by ours plain and compiled, and with the sketch."""

from __future__ import annotations

import time
import warnings
from typing import Any
from unittest.mock import patch

import torch
import torchvision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports distutils
    import torchconvquality

from filtercrawl.api.measure import LayerSummary, Sketcher
from filtercrawl_analysis.layer_stats.quality import Quality


def compare(name: str, runs: int) -> dict[str, Any]:
    """Return the least CPU seconds of `runs` interleaved runs of each, and how far the metrics are apart."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    layers = {
        path: module.weight.detach()
        for path, module in model.named_modules()
        if type(module) is torch.nn.Conv2d and module.kernel_size == (3, 3)
    }
    theirs_seconds, plain_seconds, our_seconds, sketched_seconds = [], [], [], []
    for weight in layers.values():
        measured(weight)  # compiled once, by numba, and kept
    for _ in range(runs):
        begun = time.process_time()
        theirs = torchconvquality.measure_quality(model)
        theirs_seconds.append(time.process_time() - begun)
        with patch("filtercrawl_analysis.layer_stats.moments.should_compile", return_value=False):
            begun = time.process_time()
            for weight in layers.values():
                measured(weight)
            plain_seconds.append(time.process_time() - begun)
        begun = time.process_time()
        ours = {path: measured(weight) for path, weight in layers.items()}
        our_seconds.append(time.process_time() - begun)
        begun = time.process_time()
        for weight in layers.values():
            measured(weight, sketches=True)
        sketched_seconds.append(time.process_time() - begun)
    apart = {
        metric: max(abs(theirs[path][metric] - ours[path][metric]) for path in layers)
        for metric in ("sparsity", "variance_entropy", "orthogonality")
    }
    return {
        "model": name,
        "kernels": sum(w.shape[0] * w.shape[1] for w in layers.values()),
        "theirs": min(theirs_seconds),
        "plain": min(plain_seconds),
        "ours": min(our_seconds),
        "sketched": min(sketched_seconds),
        "apart": apart,
    }


def measured(weight: torch.Tensor, *, sketches: bool = False) -> dict[str, Any]:
    shape = tuple(weight.shape)
    low, high = torch.aminmax(weight)
    top = max(abs(float(low)), abs(float(high)))
    about = LayerSummary(shape=shape, n_kernels=shape[0] * shape[1], taps=9, max_abs=top)
    layer = Quality(sketches=sketches).start(about)
    layer.update(weight)
    found = dict(layer.finish())
    return found | {"sketch": layer.sketch()} if isinstance(layer, Sketcher) else found
