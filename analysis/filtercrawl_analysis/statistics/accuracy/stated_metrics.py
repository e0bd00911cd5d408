"""The metrics that a source states of a model, from the JSON of `models.metrics`, as numbers by name."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StatedMetric:
    """One number that a source states of a model.

    Attributes:
        model_id: The model.
        metric: Its name in lower case, `acc@1 on imagenet-1k`.
        value: The number as it is stated.
        evidence: Where it is stated; None if the source does not say.
    """

    model_id: str
    metric: str
    value: float
    evidence: str | None


def stated_metrics(models: Sequence[str], texts: Sequence[str | None]) -> list[StatedMetric]:
    """Return the metrics of models, sorted by metric and model.

    A metric that some state as a share and others in percent is two: the shares are named `... (0 to 1)`, as their
    ranks cannot be compared with those of percentages.

    Args:
        models: The id of each model.
        texts: The JSON of its metrics: numbers by name, by dataset and name, and `evidence`; None if there are none.
    """
    found = [metric for model_id, text in zip(models, texts, strict=True) for metric in _of_model(model_id, text)]
    large = Counter(metric.metric for metric in found if abs(metric.value) > 1)
    renamed = (
        replace(metric, metric=f"{metric.metric} (0 to 1)")
        if large[metric.metric] and abs(metric.value) <= 1
        else metric
        for metric in found
    )
    return sorted(renamed, key=lambda metric: (metric.metric, metric.model_id))


def _of_model(model_id: str, text: str | None) -> Iterator[StatedMetric]:
    content = json.loads(text) if text else {}
    if not isinstance(content, Mapping):
        return
    evidence = content.get("evidence")
    seen: set[str] = set()
    for name, value in _flat(content):
        key = " ".join(name.lower().split())
        if key not in seen:
            seen.add(key)
            evidence_text = evidence if isinstance(evidence, str) else None
            yield StatedMetric(model_id=model_id, metric=key, value=value, evidence=evidence_text)


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from ((f"{metric} on {name}", number) for metric, number in _flat(value))
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)
