"""What the notebook of CNN Filter DB does, step by step and as it does it: whole arrays, scikit-learn, numpy, scipy.

Only two of its faults are mended, without which it does not run: the SVD is given float64, not float16, and a layer
without variance has the entropy 0. Singular vectors are not asked for, as nobody reads them. The notebook pins
scikit-learn 0.24.1, whose PCA takes a full SVD of such an array; newer ones take the covariance: `newer`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.stats
from sklearn.decomposition import PCA

BINS = 70
EPSILON = np.finfo(np.float32).eps


def notebook(folder: Path) -> dict[str, Any]:
    return run(folder, "full")


def newer(folder: Path) -> dict[str, Any]:
    return run(folder, "covariance_eigh")


def run(folder: Path, solver: str) -> dict[str, Any]:
    """File to drift between networks, entropy and sparsity; `regroup`: seconds of histograms and drift alone."""
    with h5py.File(folder / "filters.h5") as file:
        filters, ranges = file["filters"][:], file["ranges"][:]
    filters = filters.reshape(-1, 9)
    quality = [layer_quality(filters[start:stop]) for _, start, stop in ranges]
    scaled = filters.astype(np.float16)
    top = np.abs(scaled).max(axis=1, keepdims=True)
    top[top == 0] = 1
    scaled /= top
    del filters
    pca = PCA(n_components=9, svd_solver=solver)
    coefficients = pca.fit_transform(scaled)
    begun = time.process_time()
    drift = drifts(coefficients, ranges, pca.explained_variance_ratio_)
    regroup = time.process_time() - begun
    return {
        "entropy": np.array([entropy for entropy, _ in quality]),
        "sparsity": np.array([sparsity for _, sparsity in quality]),
        "drift": drift,
        "regroup": regroup,
    }


def layer_quality(layer: np.ndarray) -> tuple[float, float]:
    singular = np.linalg.svd(layer - layer.mean(axis=0), full_matrices=False, compute_uv=False)
    variance = singular**2 / (len(layer) - 1)
    entropy = scipy.stats.entropy(variance / variance.sum(), base=10) if variance.sum() else 0.0
    sparsity = (np.abs(layer) < np.abs(layer).max() / 100).all(axis=1).mean()
    return float(entropy), float(sparsity)


def drifts(coefficients: np.ndarray, ranges: np.ndarray, shares: np.ndarray) -> np.ndarray:
    span = coefficients.min(), coefficients.max()
    groups = []
    for number in np.unique(ranges[:, 0]):
        rows = np.concatenate([np.arange(start, stop) for group, start, stop in ranges if group == number])
        chosen = coefficients[rows]
        found = []
        for i in range(9):
            density, _ = np.histogram(chosen[:, i], bins=BINS, range=span, density=True)
            density[density == 0] = EPSILON
            found.append(density / density.sum())
        groups.append(found)
    out = np.zeros((len(groups), len(groups)))
    for a, p in enumerate(groups):
        for b, q in enumerate(groups):
            kl = [scipy.stats.entropy(p[i], q[i]) + scipy.stats.entropy(q[i], p[i]) for i in range(9)]
            out[a, b] = np.sum(shares * kl)
    return out
