"""All sums of a layer in one compiled pass, where numba is installed: a fifth of the time of separate passes."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import torch

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_sums import BinnedBasis, LayerSums, ScaledSums
from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS

# Smaller layers are not worth the import of numba. The decision depends on the layer alone, not on what came before it,
# so that the same layer has the same sums in every run.
MIN_KERNELS: Final = 4096


def should_compile(layer: LayerSummary, device: torch.device) -> bool:
    """Return whether `layer_sums` is the way to sum up a layer on a device: it is large enough, and numba works."""
    fits = device.type == "cpu" and 0 < layer.taps <= MAX_TAPS and layer.n_kernels >= MIN_KERNELS
    return fits and _is_installed()


def layer_sums(kernels: torch.Tensor, threshold: float, basis: BinnedBasis | None = None) -> LayerSums | None:
    """Return the sums of kernels in one pass; only where `should_compile` is true.

    Args:
        kernels: float32 [k, taps] on the CPU.
        threshold: Kernels with every |w| < threshold are dead.
        basis: Where coefficients of scaled kernels are counted; None if nothing is wanted of scaled kernels.

    Returns:
        The sums; None if a weight is not finite.
    """
    from filtercrawl_analysis.layer_stats.numba_loops import Totals, add_layer

    taps, kinds = kernels.shape[1], 1 if basis is None else 2
    totals = Totals(
        sums=np.zeros(4),
        means=np.zeros((kinds, taps)),
        scatters=np.zeros((kinds, taps, taps)),
        histogram=np.zeros((taps, 0 if basis is None else basis.bins), np.int64),
    )
    folded = (basis or _no_basis(taps)).folded
    n_dead = add_layer(kernels.contiguous().numpy(), threshold, folded, totals)
    if n_dead < 0:
        return None
    scatters = totals.scatters + np.triu(totals.scatters, 1).swapaxes(1, 2)
    norm_l1, cubes, fourths, n_zero = totals.sums.tolist()
    n = len(kernels)
    scaled = None
    if basis is not None:
        counts = totals.histogram.reshape(-1)
        scaled = ScaledSums(n=n, n_zero=int(n_zero), mean=totals.means[1], scatter=scatters[1], histogram=counts)
    return LayerSums(
        n=n,
        n_dead=n_dead,
        norm_l1=norm_l1,
        cubes=cubes,
        fourths=fourths,
        mean=totals.means[0],
        scatter=scatters[0],
        scaled=scaled,
    )


@cache
def _is_installed() -> bool:
    try:
        import numba  # noqa: F401 - takes long
    except ImportError:
        return False
    return True


@cache
def _no_basis(taps: int) -> BinnedBasis:
    return BinnedBasis(rows=np.zeros((taps, taps)), low=0.0, high=1.0, bins=1)
