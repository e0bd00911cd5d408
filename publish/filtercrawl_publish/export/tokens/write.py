"""Write the networks of a dataset as token sequences, whole or not at all."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from filtercrawl.dataset.files.new_folder import check_apart, new_folder
from filtercrawl.dataset.files.subset_folders import SPLITS
from filtercrawl.load.location import open_location
from filtercrawl.weight_space.model_splits import ModelSplits
from filtercrawl.weight_space.token_dataset import LABELS, ModelTokens, TokenDataset
from filtercrawl.weight_space.tokens import TokenSequence, token_count
from filtercrawl_publish.export.tokens.card import token_card
from filtercrawl_publish.export.tokens.report import TokenExportReport, TokenOptions

# SANE's names of the splits, by those of this project.
FOLDERS: Final = {"train": "dataset_torch.train", "validation": "dataset_torch.val", "test": "dataset_torch.test"}
_LAYER: Final = pa.struct(
    [("layer_id", pa.string()), ("shape", pa.list_(pa.int64())), ("start", pa.int64()), ("tokens", pa.int64())]
)
_LABELS: Final = {"training_datasets": pa.list_(pa.string())} | dict.fromkeys(
    ("num_params", "tensors_emitted", "tensors_skipped"), pa.int64()
)
INDEX: Final = pa.schema(
    [
        ("file", pa.string()),
        ("model_id", pa.string()),
        ("split", pa.string()),
        ("kin", pa.string()),
        ("tokens", pa.int64()),
        ("layers", pa.list_(_LAYER)),
        *((name, _LABELS.get(name, pa.string())) for name in LABELS),
    ]
)


def write_tokens(
    repo_or_path: str | Path,
    target: Path,
    options: TokenOptions | None = None,
    *,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TokenExportReport:
    """Write a file for each network, a table of all, and a card, into a folder that appears when it is complete.

    Memory: the weights and tokens of one model.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        target: The folder to write.
        options: What is written.
        replace: Whether to replace a folder that exists.
        progress: Called with the number of models written, and that of all.

    Raises:
        UsageError: Nothing matches, an option is not understood, or the folder is not apart from the dataset.
        PolicyError: The folder exists.
        DatasetError: The dataset is damaged, or the folder cannot be written.
        NetworkError: The Hub does not answer, or has no such repository or revision.
    """
    check_apart(target, repo_or_path)
    chosen = options or TokenOptions()
    with new_folder(target, replace=replace) as folder:
        networks = TokenDataset(repo_or_path, token_size=chosen.token_size, where=chosen.where, view=chosen.view)
        splits = ModelSplits.load(open_location(repo_or_path))
        for name in FOLDERS.values():
            (folder / name).mkdir()
        rows: list[dict[str, Any]] = []
        for number, model_id in enumerate(networks.models):
            rows.append(_write_network(folder, networks.read(model_id), splits))
            if progress is not None:
                progress(number + 1, len(networks))
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), folder / "index.parquet", compression="zstd")
        counts = Counter(row["split"] for row in rows)
        report = TokenExportReport(
            folder=str(target),
            models={name: counts[name] for name in SPLITS},
            layers=sum(len(row["layers"]) for row in rows),
            tokens=sum(row["tokens"] for row in rows),
        )
        (folder / "README.md").write_text(token_card(report, chosen), encoding="utf-8", newline="\n")
    return report


def _write_network(folder: Path, network: ModelTokens, splits: ModelSplits) -> dict[str, Any]:
    """Write the file of a network, and return its row of the table."""
    split = splits.of_model(network.model_id)
    file = f"{FOLDERS[split]}/{_file_name(network.model_id)}"
    sequence = network.sequence
    content = {"w": sequence.tokens, "m": sequence.mask, "p": sequence.positions}
    torch.save(content | {"props": {"model_id": network.model_id, **network.labels}}, folder / file)
    return {
        "file": file,
        "model_id": network.model_id,
        "split": split,
        "kin": splits.groups[network.model_id],
        "tokens": len(sequence),
        "layers": _layer_rows(network, sequence),
        **network.labels,
    }


def _layer_rows(network: ModelTokens, sequence: TokenSequence) -> list[dict[str, Any]]:
    rows, start = [], 0
    for layer_id, shape in zip(network.layers, network.shapes, strict=True):
        count = token_count(shape, sequence.tokens.shape[1])
        rows.append({"layer_id": layer_id, "shape": shape, "start": start, "tokens": count})
        start += count
    return rows


def _file_name(model_id: str) -> str:
    """Return a name that is safe in every file system, and another one for each model."""
    slug = re.sub(r"[^a-z0-9.-]+", "-", model_id.lower())[:80].strip("-.")
    digest = hashlib.sha256(model_id.encode()).hexdigest()[:12]
    return f"{slug}-{digest}.pt" if slug else f"{digest}.pt"
