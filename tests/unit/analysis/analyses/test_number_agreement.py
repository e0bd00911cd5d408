"""Sentences about one layer, filter or form are in the singular."""

from __future__ import annotations

import pyarrow as pa

from filtercrawl_analysis.analyses.degeneracy_findings import degeneracy_findings
from filtercrawl_analysis.statistics.quality.model_quality import column_name
from filtercrawl_analysis.statistics.quality.verdict_rules import VERDICTS


def test_one_layer_of_each_verdict() -> None:
    known = ("dead", "ok", "too small", None)
    layers = [
        {"layer_id": f"m#{i}", "model_id": "m", "verdict": verdict, "p_structured": 0.1 if verdict == "ok" else None,
         "degenerate": None, "n_kernels": 4, "norm_linf": 0.0}
        for i, verdict in enumerate(known)
    ]  # fmt: skip
    model = {"model_id": "m", "layers": 4, "random": 0, "random_share": 0.0, "judgeable": 1, "kernels_random": 0}
    model |= {column_name(verdict): int(verdict == "dead") for verdict in VERDICTS}
    texts = [found.text for found in degeneracy_findings(pa.Table.from_pylist(layers), pa.Table.from_pylist([model]))]
    assert texts[0] == (
        "Of 4 layers, 1 can be judged: 1 is ok (1 test, false discovery rate 0.05). Of the others, 1 is dead, 1 is too "
        "small to judge, 1 has no verdict."
    )
    assert texts[1].startswith("m: 1 of 4 layers is dead; ")
