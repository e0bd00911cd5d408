"""Metrics in the forms in which sources state them."""

from __future__ import annotations

import json

from filtercrawl_analysis.statistics.accuracy.stated_metrics import stated_metrics


def values(*stated: object) -> dict[tuple[str, str], float]:
    texts = [None if item is None else json.dumps(item) for item in stated]
    return {(m.model_id, m.metric): m.value for m in stated_metrics([f"m{i}" for i in range(len(texts))], texts)}


def test_metrics_by_dataset_and_plain_ones_have_the_same_names() -> None:
    assert values({"ImageNet-1K": {"acc@1": 80.1, "acc@5": 95}}, {"Acc@1 on  ImageNet-1K": 70.5}, None) == {
        ("m0", "acc@1 on imagenet-1k"): 80.1,
        ("m0", "acc@5 on imagenet-1k"): 95.0,
        ("m1", "acc@1 on imagenet-1k"): 70.5,
    }


def test_what_is_no_number_is_left_out() -> None:
    assert values({"accuracy": True, "f1": "0.9", "loss": None, "list": [1], "evidence": "card"}) == {}
    assert stated_metrics(["m"], ['{"accuracy": NaN, "f1": Infinity}']) == []
    assert stated_metrics(["m"], ["[1, 2]"]) == []


def test_evidence_stays_with_the_number() -> None:
    (found,) = stated_metrics(["m"], ['{"accuracy": 0.5, "evidence": "card model-index"}'])
    assert (found.value, found.evidence) == (0.5, "card model-index")


def test_shares_and_percentages_are_two_metrics() -> None:
    assert values({"accuracy": 0.81}, {"accuracy": 79.0}, {"f1": 0.5}) == {
        ("m0", "accuracy (0 to 1)"): 0.81,
        ("m1", "accuracy"): 79.0,
        ("m2", "f1"): 0.5,
    }
