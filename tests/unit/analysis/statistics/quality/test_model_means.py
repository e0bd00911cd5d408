"""Means of sparsity and variance entropy over the layers of a model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.quality.model_means import model_means


def test_layers_count_alike_and_unknown_ones_are_left_out() -> None:
    layers = pa.Table.from_pylist(
        [
            {"model_id": m, "family": f, "kernel": "3x3", "n_kernels": n, "sparsity": s, "variance_entropy": h}
            for m, f, n, s, h in [
                ("b", None, 10, 0.5, 0.25),
                ("a", "f", 1, 0.0, 0.5),
                ("a", "f", 100, 1.0, 1.0),
                ("a", "f", 7, None, 0.1),
                ("c", "f", 5, 0.5, None),
            ]
        ]
    )
    assert model_means(layers).to_pylist() == [
        {"model_id": "a", "family": "f", "kernel": "3x3", "layers": 2, "kernels": 101}
        | {"sparsity": 0.5, "variance_entropy": 0.75},
        {"model_id": "b", "family": None, "kernel": "3x3", "layers": 1, "kernels": 10}
        | {"sparsity": 0.5, "variance_entropy": 0.25},
    ]


def test_sums_have_the_same_last_digit_each_time() -> None:
    random = np.random.default_rng(0)
    chunks = [
        pa.table(
            {
                "model_id": pa.array(random.integers(0, 3, 2_000).astype(str)),
                "family": pa.nulls(2_000, pa.string()),
                "kernel": ["3x3"] * 2_000,
                "n_kernels": pa.array(np.ones(2_000, np.int64)),
                **{name: pa.array(random.lognormal(0, 8, 2_000)) for name in ("sparsity", "variance_entropy")},
            }
        )
        for _ in range(64)
    ]
    layers = pa.concat_tables(chunks)
    first = model_means(layers)
    assert all(model_means(layers).equals(first) for _ in range(10))
