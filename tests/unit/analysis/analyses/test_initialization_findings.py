"""How many models look untrained, in words that are right for none, one and many."""

from __future__ import annotations

import pyarrow as pa
import pytest

from filtercrawl.api.analysis import Estimate, Finding
from filtercrawl_analysis.analyses.initialization_findings import initialization_findings
from filtercrawl_analysis.statistics.initialization.layers import CLOSE, TOO_SMALL, UNTRAINED

TRAINED = "differs"


def count(*verdicts: str) -> Finding:
    rows = [
        {"model_id": f"m{i}", "verdict": verdict, "close_share_of_weights": 1.0, "close_layers": 2, "judged_layers": 2}
        | {"untrained_layers": 1, "near_layers": 2, "law": "torch default"}
        for i, verdict in enumerate(verdicts)
    ]
    return next(initialization_findings(pa.Table.from_pylist(rows)))


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([TRAINED] * 3, "None of 3 models looks untrained or close to initialization."),
        ([TRAINED], "The model looks neither untrained nor close to initialization."),
        ([TOO_SMALL], "The model is too small to judge."),
        ([TOO_SMALL] * 2, "None of 2 models is large enough to judge."),
        ([UNTRAINED], "1 of 1 model looks untrained (m0)."),
        ([CLOSE, TRAINED, TOO_SMALL], "1 of 3 models is close to initialization (m0); 1 is too small to judge."),
        ([TRAINED, *[TOO_SMALL] * 2], "None of 3 models looks untrained or close to initialization; 2 are too small to "
         "judge."),
        ([UNTRAINED, UNTRAINED, CLOSE], "2 of 3 models look untrained (m0, m1); 1 is close to initialization (m2)."),
    ],
)  # fmt: skip
def test_of_a_verdict_that_no_model_has_nothing_is_said(verdicts: list[str], said: str) -> None:
    assert count(*verdicts).text == said


@pytest.mark.parametrize(
    ("verdicts", "value", "label", "note"),
    [
        ([CLOSE, TRAINED, TOO_SMALL], 1, "model is close to initialization",
         "of 2 models that can be judged; 1 is too small to judge"),
        ([UNTRAINED, UNTRAINED], 2, "models look untrained", "of 2 models that can be judged"),
        ([UNTRAINED, CLOSE], 2, "models look untrained or close to initialization", "of 2 models that can be judged"),
        ([TRAINED], 0, "models look untrained or close to initialization", "of 1 model that can be judged"),
    ],
)  # fmt: skip
def test_the_number_is_of_the_models_that_can_be_judged(verdicts: list[str], value: int, label: str, note: str) -> None:
    assert count(*verdicts).estimate == Estimate(label=label, value=value, note=note)


def test_where_no_model_can_be_judged_there_is_no_number() -> None:
    assert count(TOO_SMALL).estimate is None
