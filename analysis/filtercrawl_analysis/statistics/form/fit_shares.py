"""The share of kernels that a Gabor function or a difference of Gaussians describes, by kernel size."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fitted_kernels import DOG, GABOR, NEITHER
from filtercrawl_analysis.statistics.form.null import LEVEL, Form, null_r2
from filtercrawl_analysis.statistics.form.shares import mean_interval

FIT_SHARES: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("kernel", "form")),
        *(pa.field(name, pa.float64()) for name in ("share", "low", "high", "median_r2", "null_r2")),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "sampled")),
    ]
)
_FITTED: Final[dict[str, Form]] = {GABOR: "gabor", DOG: "dog"}


def fit_shares(kernels: pa.Table) -> pa.Table:
    """Return the share of the kernels of each size that have each form, as the mean over models.

    `median_r2` is over the kernels of the form; `null_r2` is the R² that 1 % of random kernels exceed.

    Args:
        kernels: Rows of `FORM_KERNELS`.

    Returns:
        Rows of `FIT_SHARES`, three for each kernel size, the smallest first.
    """
    known = kernels.filter(pc.is_valid(kernels["form"]))
    sizes = {name: _size(name) for name in set(known["kernel"].to_pylist())}
    rows = []
    for kernel, size in sorted(sizes.items(), key=lambda item: item[1]):
        here = known.filter(pc.equal(known["kernel"], kernel))
        forms = np.array(here["form"].to_pylist())
        _, of_model = np.unique(np.array(here["model_id"].to_pylist()), return_inverse=True)
        for form in (GABOR, DOG, NEITHER):
            shares: Array = np.bincount(of_model, forms == form) / np.bincount(of_model)
            low, high = mean_interval(shares) or (None, None)
            name = _FITTED.get(form)
            row = {"kernel": kernel, "form": form, "share": float(shares.mean()), "low": low, "high": high}
            if name is not None and (forms == form).any():
                row["median_r2"] = float(np.median(here[f"{name}_r2"].to_numpy()[forms == form]))
            if name is not None:
                row["null_r2"] = float(np.quantile(null_r2(name, size), 1 - LEVEL))
            layers = len(set(here["layer_id"].to_pylist()))
            rows.append(row | {"models": len(shares), "layers": layers, "sampled": len(here)})
    return pa.Table.from_pylist(rows, schema=FIT_SHARES)


def _size(kernel: str) -> tuple[int, int]:
    height, width = kernel.split("x")
    return int(height), int(width)
