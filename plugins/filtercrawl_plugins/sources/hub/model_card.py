"""Metadata from the model card and the tags of a repository: sanitized, with evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl.api.licenses import to_spdx
from filtercrawl_plugins.metadata.datasets import timm_datasets
from filtercrawl_plugins.metadata.families import family, timm_family
from filtercrawl_plugins.metadata.visual_categories import visual_category
from filtercrawl_plugins.sources.hub.model_config import architecture
from filtercrawl_plugins.sources.shared.untrusted_text import is_finite_number, sanitize_list, sanitize_text

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.repocard_data import EvalResult

_ARXIV: Final = re.compile(r"arxiv:(\d{4}\.\d{4,5}|[a-z.-]+/\d{7})", re.IGNORECASE)
_MAX_METRICS: Final = 32
# What a card may state of its base models, https://huggingface.co/docs/hub/model-cards.
_PARENT_RELATIONS: Final = frozenset({"adapter", "finetune", "merge", "quantized"})


def checkpoint_metadata(
    info: ModelInfo, config: Mapping[str, Any] | None, extra: Mapping[str, Any]
) -> CheckpointMetadata:
    """Return what a repository states about a checkpoint.

    Args:
        info: The repository as the Hub's client describes it.
        config: Reduced config.json of the checkpoint, None if it has none.
        extra: What to store in `meta.extra`.
    """
    card: Mapping[str, Any] = vars(info.card_data) if info.card_data else {}
    license_, evidence = license_from_card(card)
    architecture_name = architecture(config)
    tag = timm_tag(info.id, architecture_name)
    datasets = training_datasets(card, tag)
    return CheckpointMetadata(
        task=sanitize_text(info.pipeline_tag),
        training_datasets=datasets,
        # The order of datasets in a card means nothing, so the last one is known only if there is just one.
        visual_category=visual_category(datasets) if len(datasets) == 1 or datasets == datasets_from_tag(tag) else None,
        architecture=architecture_name,
        family=_family(architecture_name, config or {}),
        tag=tag,
        library=sanitize_text(info.library_name),
        license=license_,
        license_evidence=evidence,
        paper=paper(info),
        released=info.created_at.date().isoformat() if info.created_at else None,
        metrics=metrics(info),
        extra={**extra, **parents(card)},
    )


def parents(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the models that a card names as its base.

    Returns:
        `parents`, the repositories, and `parent_relation`: finetune, quantized, merge or adapter. {} if there are none;
        no `parent_relation` if the card does not state one: the relation that the Hub then shows is inferred.
    """
    repos = sanitize_list(card.get("base_model"))
    if not repos:
        return {}
    relation = card.get("base_model_relation")
    known = isinstance(relation, str) and relation in _PARENT_RELATIONS
    return {"parents": list(repos), **({"parent_relation": relation} if known else {})}


def training_datasets(card: Mapping[str, Any], tag: str | None) -> tuple[str, ...]:
    """Return the datasets of the card; those of a timm tag where it names all of these, in order and maybe more."""
    stated, from_tag = sanitize_list(card.get("datasets")), datasets_from_tag(tag)
    return from_tag if set(stated) <= set(from_tag) else stated


def datasets_from_tag(tag: str | None) -> tuple[str, ...]:
    """Return the datasets that a timm tag names, in order of training."""
    return timm_datasets(tag) if tag else ()


def _family(architecture_name: str | None, config: Mapping[str, Any]) -> str | None:
    if not architecture_name:
        return None
    # Configs of timm, and of the model type `timm_wrapper` of transformers, name one of timm's architectures.
    if "architecture" in config:
        return timm_family(architecture_name) or family(architecture_name, "") or None
    model_type = sanitize_text(config.get("model_type"))
    return family(model_type, model_type) if model_type else None


def license_from_card(card: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the SPDX expression of a card's license, None if it is no SPDX license, and the evidence for it."""
    stated = card.get("license")
    if isinstance(stated, list):
        stated = stated[0] if len(stated) == 1 else ", ".join(sanitize_list(stated))
    text = sanitize_text(stated)
    if text is None:
        return None, None
    name = sanitize_text(card.get("license_name"))
    return to_spdx(text), f"card license: {text}" + (f" ({name})" if name else "")


def timm_tag(repo_id: str, architecture_name: str | None) -> str | None:
    """Return the tag of a timm repository, `a1_in1k` of `timm/resnet18.a1_in1k`, which tells how it was trained."""
    name = repo_id.partition("/")[2]
    if not architecture_name or not name.startswith(f"{architecture_name}."):
        return None
    return sanitize_text(name[len(architecture_name) + 1 :])


def paper(info: ModelInfo) -> str | None:
    """Return the first arXiv paper in the tags, as `arxiv:ID`."""
    for tag in info.tags or []:
        if isinstance(tag, str) and (match := _ARXIV.fullmatch(tag)):
            return f"arxiv:{match[1]}"
    return None


def metrics(info: ModelInfo) -> dict[str, Any]:
    """Return `METRIC on DATASET` -> number from the card's model-index, and `evidence`; {} if there is none."""
    values = dict(_results(info))
    return values | {"evidence": "card model-index"} if values else {}


def _results(info: ModelInfo) -> Iterator[tuple[str, float]]:
    for result in _evaluations(info)[:_MAX_METRICS]:
        metric, dataset, value = (
            sanitize_text(result.metric_type),
            sanitize_text(result.dataset_name),
            result.metric_value,
        )
        if metric and is_finite_number(value) and not isinstance(value, bool):
            yield (f"{metric} on {dataset}" if dataset else metric), float(value)


def _evaluations(info: ModelInfo) -> list[EvalResult]:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    if info.card_data and info.card_data.eval_results:
        return info.card_data.eval_results
    try:
        return model_index_to_eval_results(info.model_index)[1]  # type: ignore[arg-type]  # may be anything
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        return []
