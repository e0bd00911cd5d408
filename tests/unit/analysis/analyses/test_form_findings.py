"""Sentences on the forms of kernels."""

from __future__ import annotations

import pyarrow as pa
import pytest

from filtercrawl_analysis.analyses.form_findings import share_findings
from filtercrawl_analysis.statistics.form.shares import SHARES


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.001, "hardly any has a named form, 0.1% the most frequent of them; too few models to tell from chance."),
        (0.2, "the most frequent form is cross with 20% against 0% by chance; too few models to tell from chance."),
    ],
)
def test_shares_of_too_few_models(share: float, said: str) -> None:
    row = {
        "column": "all", "kernel": "7x7", "group": "all", "form": "cross", "share": share, "chance": 0.0,
        "verdict": "too little to tell", "models": 2, "layers": 4, "kernels": 99, "sampled": 99,
    }  # fmt: skip
    (finding,) = share_findings(pa.Table.from_pylist([row], schema=SHARES))
    assert str(finding) == f"Among depthwise 7x7 kernels (2 models), {said}"
