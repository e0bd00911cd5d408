"""Metadata of 100 checkpoints of four zoos, compared with what was found by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.hf_api import ModelInfo

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl.api.source import Query
from filtercrawl_plugins.sources.hub.model_card import checkpoint_metadata
from filtercrawl_plugins.sources.onnx_zoo.manifest import read_manifest
from filtercrawl_plugins.sources.timm.registry import list_entries
from filtercrawl_plugins.sources.torchvision import TorchvisionSource
from support.no_network import NoNetwork

FOLDER = Path(__file__).parent / "metadata_sample"
NOT_COMPARED = "?"


def sample() -> list[dict[str, str]]:
    with (FOLDER / "models.csv").open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


SAMPLE = sample()


@cache
def timm_metadata() -> dict[str, CheckpointMetadata]:
    wanted = {row["name"] for row in SAMPLE if row["source"] == "timm"}
    return {entry.names[0]: entry.meta({}) for entry in list_entries() if entry.names[0] in wanted}


@cache
def torchvision_metadata() -> dict[str, CheckpointMetadata]:
    return dict(named(TorchvisionSource().checkpoints(NoNetwork(), Query())))


@cache
def onnx_metadata() -> dict[str, CheckpointMetadata]:
    names = [row["name"] for row in SAMPLE if row["source"] == "onnx"]
    manifest = [
        {"model": "x", "model_path": f"validated/{name}", "metadata": {"model_sha": "0" * 64}} for name in names
    ]
    return dict(named(read_manifest(manifest, "https://zoo.test/manifest.json", {})))


@cache
def hub_metadata() -> dict[str, CheckpointMetadata]:
    records = [json.loads(line) for line in (FOLDER / "cards.jsonl").read_text().splitlines()]
    return {record["repo"]: checkpoint_metadata(model_info(record), record["config"], {}) for record in records}


def model_info(record: dict[str, Any]) -> ModelInfo:
    card = record["card"]
    return ModelInfo(id=record["repo"], cardData=card, pipeline_tag=card.get("pipeline_tag"), tags=card.get("tags"))


def named(offers: Iterator[Any]) -> Iterator[tuple[str, CheckpointMetadata]]:
    for offer in offers:
        for name in (offer.name, *offer.aliases):
            yield name, offer.meta


METADATA = {
    "timm": timm_metadata, "torchvision": torchvision_metadata, "onnx": onnx_metadata, "hub": hub_metadata,
}  # fmt: skip


def as_text(meta: CheckpointMetadata) -> dict[str, str]:
    parents, relation = meta.extra.get("parents", []), meta.extra.get("parent_relation")
    return {
        "family": meta.family or "",
        "training_datasets": ";".join(meta.training_datasets),
        "task": meta.task or "",
        "visual_category": meta.visual_category or "",
        "license": meta.license or "",
        "parents": ";".join(f"{relation}:{parent}" if relation else parent for parent in parents),
    }


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: f"{row['source']}:{row['name']}")
def test_metadata_is_what_was_found_by_hand(row: dict[str, str]) -> None:
    found = as_text(METADATA[row["source"]]()[row["name"]])
    compared = {name: value for name, value in found.items() if row[name] != NOT_COMPARED}
    assert compared == {name: row[name] for name in compared}


def test_the_sample_has_100_rows_each_with_its_evidence() -> None:
    assert len({(row["source"], row["name"]) for row in SAMPLE}) == 100
    assert all(row["evidence"] for row in SAMPLE)
