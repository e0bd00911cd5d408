"""What a repo's card and tags say of its weights: as stated, sanitised, with the evidence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl_plugins.metadata.datasets import timm_datasets
from filtercrawl_plugins.metadata.families import family
from filtercrawl_plugins.metadata.licenses import to_spdx
from filtercrawl_plugins.metadata.visual_categories import visual_category
from filtercrawl_plugins.sources.hub.model_config import architecture
from filtercrawl_plugins.sources.shared.untrusted_text import sanitize_list, sanitize_text

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.repocard_data import EvalResult

_ARXIV: Final = re.compile(r"arxiv:(\d{4}\.\d{4,5}|[a-z.-]+/\d{7})", re.IGNORECASE)
_MOST_METRICS: Final = 32


def checkpoint_metadata(
    info: ModelInfo, config: Mapping[str, Any] | None, extra: Mapping[str, Any]
) -> CheckpointMetadata:
    """Return what is known of a checkpoint of a repo. config: its config.json, if it has one."""
    card: Mapping[str, Any] = vars(info.card_data) if info.card_data else {}
    license_, evidence = stated_license(card)
    named = architecture(config)
    tag = recipe(info.id, named)
    datasets = training_datasets(card, tag)
    return CheckpointMetadata(
        task=sanitize_text(info.pipeline_tag),
        training_datasets=datasets,
        # A card lists datasets, but in no order: which was the last is known of one alone.
        visual_category=visual_category(datasets) if len(datasets) == 1 or datasets == by_tag(tag) else None,
        architecture=named,
        family=_family(named, config or {}),
        tag=tag,
        library=sanitize_text(info.library_name),
        license=license_,
        license_evidence=evidence,
        paper=paper(info),
        released=info.created_at.date().isoformat() if info.created_at else None,
        metrics=metrics(info),
        extra=extra,
    )


def training_datasets(card: Mapping[str, Any], tag: str | None) -> tuple[str, ...]:
    """Return the datasets of the card; in order of training where a timm tag names the same ones."""
    stated, named = sanitize_list(card.get("datasets")), by_tag(tag)
    return named if not stated or set(stated) == set(named) else stated


def by_tag(tag: str | None) -> tuple[str, ...]:
    return timm_datasets(tag) if tag else ()


def _family(named: str | None, config: Mapping[str, Any]) -> str | None:
    kind = sanitize_text(config.get("model_type")) or ""
    known = "architecture" in config or kind
    return family(kind or named, kind) or None if named and known else None


def stated_license(card: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the SPDX expression that the card states and the line it stands in; None where it is none."""
    stated = card.get("license")
    if isinstance(stated, list):
        stated = stated[0] if len(stated) == 1 else ", ".join(sanitize_list(stated))
    text = sanitize_text(stated)
    if text is None:
        return None, None
    more = sanitize_text(card.get("license_name"))
    return to_spdx(text), f"card license: {text}" + (f" ({more})" if more else "")


def recipe(repo_id: str, named: str | None) -> str | None:
    """Return the part of a timm repo's name behind its architecture, which tells how it was trained."""
    name = repo_id.partition("/")[2]
    return sanitize_text(name[len(named) + 1 :]) if named and name.startswith(f"{named}.") else None


def paper(info: ModelInfo) -> str | None:
    """Return the first paper that the tags name, as `arxiv:ID`."""
    for tag in info.tags or []:
        if isinstance(tag, str) and (match := _ARXIV.fullmatch(tag)):
            return f"arxiv:{match[1]}"
    return None


def metrics(info: ModelInfo) -> dict[str, Any]:
    """Return `METRIC on DATASET` -> number as the card's model-index states them, with that evidence."""
    found = dict(_results(info))
    return found | {"evidence": "card model-index"} if found else {}


def _results(info: ModelInfo) -> Iterator[tuple[str, float]]:
    for result in _evaluations(info)[:_MOST_METRICS]:
        metric, dataset, value = (
            sanitize_text(result.metric_type),
            sanitize_text(result.dataset_name),
            result.metric_value,
        )
        if metric and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield (f"{metric} on {dataset}" if dataset else metric), float(value)


def _evaluations(info: ModelInfo) -> list[EvalResult]:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    if info.card_data and info.card_data.eval_results:
        return info.card_data.eval_results
    try:
        return model_index_to_eval_results(info.model_index)[1]  # type: ignore[arg-type]  # whatever the card holds
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        return []
