"""The tables of the analysis `drift`: their schemas, and what is said about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from filtercrawl_analysis.statistics.components.coefficients import CoefficientSpace
from filtercrawl_analysis.statistics.groups.column_names import name_part

Row = dict[str, Any]

_PAIR: Final = [pa.field(name, pa.string()) for name in ("kernel", "group_a", "group_b")]
_MEASURED: Final = [
    pa.field("verdict", pa.string()),
    *(pa.field(name, pa.float64()) for name in ("drift", "floor", "estimate", "low", "high", "p", "q", "detectable")),
    pa.field("note", pa.string()),
]
_TESTED: Final = [pa.field(name, pa.int64()) for name in ("tested_models_a", "tested_models_b", "tested_kernels")]
_MODE: Final = pa.field("mode", pa.string())
DRIFT: Final = pa.schema(
    [
        *_PAIR,
        *_MEASURED,
        *(pa.field(f"{what}_{side}", pa.int64()) for what in ("models", "layers", "kernels") for side in ("a", "b")),
        *_TESTED,
        _MODE,
        pa.field("by_component", pa.list_(pa.float64())),
    ]
)
MATCHED: Final = pa.schema(
    [
        *_PAIR,
        pa.field("matched_by", pa.string()),
        *_MEASURED,
        pa.field("plain_drift", pa.float64()),
        *(pa.field(n, pa.int64()) for n in ("strata", "models_a", "models_b", "fewest_models", "most_models")),
        *_TESTED,
        _MODE,
    ]
)
GROUPS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
        *(pa.field(name, pa.int64()) for name in ("models", "architectures", "layers", "kernels")),
        pa.field("compared", pa.bool_()),
    ]
)
BASIS: Final = pa.schema(
    [
        pa.field("kernel", pa.string()),
        _MODE,
        pa.field("component", pa.int32()),
        *(pa.field(name, pa.float64()) for name in ("weight", "low", "high")),
        *(pa.field(name, pa.list_(pa.float64())) for name in ("vector", "mean")),
    ]
)
# Columns whose tables would have the names of those of groups and of the basis.
_TAKEN: Final = ("groups", "basis")
_MODES: Final = {
    "sketch": "Coefficients are those of the fixed DCT-II basis, in 70 bins over its fixed range, each weighted by its "
    "share of the variance.",
    "exact": "Coefficients are those of the principal components of all kernels, in 70 bins over their own range, each "
    "weighted by its share of the variance.",
}
ABOUT_DRIFT: Final = (
    "drift: D, the sum over components of their weight times the symmetric Kullback-Leibler divergence (natural "
    "logarithm) of the coefficients of scaled kernels (arXiv 2203.15331), all kernels of a group pooled. floor: "
    "the D expected of two groups of these numbers of kernels with equal distributions. estimate, low, high: the "
    "drift between the populations that the models are a sample of, corrected for bias, with its 95 % interval "
    "(jackknife over models, which have nearly equal weights); null where a group has one model. p: models are "
    "exchanged between the groups after all are thinned to one number of kernels, so that a difference in size is "
    "no difference; where models of one group may vary more than those of the other, p is at least that of an F test "
    "that allows for it. low is 0 exactly where p > 0.05. tested_models_a, tested_models_b, tested_kernels: the models "
    "in that test, and the median number of kernels that they are thinned to. q: p after Benjamini-Hochberg over "
    "the tests of this table that could be significant. verdict: differs where q <= 0.05; too little to "
    "tell where no outcome could have been significant, with the reason in note; else no difference found, "
    "with the drift that would have been found with a probability of 80 % as detectable."
)
ABOUT_MATCHED: Final = (
    "Only architectures (or families) that both groups have, each with the same weight in both groups; strata: their "
    "number; fewest_models, most_models: in one of them in one group. Models are exchanged and left out within each. "
    + ABOUT_DRIFT
)


@dataclass(frozen=True, kw_only=True)
class DriftTables:
    """The judged pairs of one column.

    Attributes:
        column: The column.
        plain: Rows of the table of drifts.
        matched: Rows of the table of matched drifts.
    """

    column: str
    plain: list[Row]
    matched: list[Row]

    @property
    def column_text(self) -> str:
        """The column, in words."""
        return self.column.replace("_", " ")

    @property
    def name(self) -> str:
        """Name of the table of drifts."""
        part = name_part(self.column)
        return f"drift_by_{part}" if part in _TAKEN or part.startswith("matched_") else f"drift_{part}"

    @property
    def matched_name(self) -> str:
        """Name of the table of matched drifts."""
        return f"drift_matched_{name_part(self.column)}"


def n_tests(rows: Sequence[Row]) -> int:
    """Return the number of tests that p-values of these rows are adjusted over."""
    return sum(row["q"] is not None for row in rows)


def count(n: int, word: str) -> str:
    """Return a number and a word, such as `1,024 kernels`."""
    return f"{n:,} {word}{'s' * (n != 1)}"


def describe_mode(mode: str) -> str:
    """Return a sentence on what the coefficients are."""
    return _MODES[mode]


def basis_rows(spaces: Sequence[tuple[str, CoefficientSpace]]) -> Iterator[Row]:
    """Yield the rows of the table of basis vectors, from kernel sizes and their spaces."""
    for kernel, space in spaces:
        for component, (vector, weight) in enumerate(zip(space.basis, space.weights, strict=True)):
            yield {
                "kernel": kernel,
                "mode": space.mode,
                "component": component,
                "weight": float(weight),
                "low": space.low,
                "high": space.high,
                "vector": vector.tolist(),
                "mean": space.mean.tolist(),
            }
