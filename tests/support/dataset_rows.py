"""A small catalog in memory, and the immutable files that belong to it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl.config.spdx import is_redistributable
from filtercrawl.dataset.files.parquet import Table
from filtercrawl.dataset.files.table_files import Part
from filtercrawl.dataset.schema.arrow import INDEX, LAYERS, MODELS
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.run_row import RunRow
from filtercrawl.dataset.tables.effective import with_recipes
from filtercrawl.dataset.tables.part_records import ExportRecord, PartPlan, PreviewPlan
from filtercrawl.dataset.tables.partition import PART_ROWS, Size, bits_of, generations, leaves, place_of
from filtercrawl.dataset.tables.samples import Samples, sample_positions
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.extraction.effective import LayerKey, Norm, Recipe, Term
from filtercrawl_analysis.layer_stats.sketch import LayerSketch

Row = dict[str, Any]
# Name, shape of the weight, groups.
Layer = tuple[str, tuple[int, ...], int]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEPTHWISE = ("features.1.dw", (16, 1, 3, 3), 16)
NET = (
    ("stem", (8, 3, 7, 7), 1),
    DEPTHWISE,
    ("features.2", (20, 8, 3, 3), 1),
    ("encoder.1d", (4, 2, 5), 1),
    ("volume", (3, 2, 2, 3, 3), 1),
)


@dataclass
class MemoryRows:
    """Implements `filtercrawl.dataset.tables.export.Rows`; `add` crawls a made-up checkpoint into `folder`."""

    folder: Path
    dataset_id: str = "dataset-one"
    model_rows: list[Row] = field(default_factory=list)
    index_rows: list[Row] = field(default_factory=list)
    ledger_rows: dict[str, list[Row]] = field(default_factory=dict)
    stored: dict[str, Samples] = field(default_factory=dict)
    sketched: dict[str, Row] = field(default_factory=dict)
    recipes: dict[str, pa.RecordBatch] = field(default_factory=dict)
    rename_rows: list[Row] = field(default_factory=list)
    withdrawn_rows: list[Row] = field(default_factory=list)
    source_rows: list[Row] = field(default_factory=list)
    run_rows: list[Row] = field(default_factory=list)
    files: list[tuple[str, int, str]] = field(default_factory=list)
    part_rows: int = PART_ROWS

    def spread_changes(self) -> None:
        """Everything is taken for changed."""

    def changed_models(self) -> list[str]:
        return sorted({row["model_id"] for row in self.model_rows})

    def plan_parts(self, changed: Sequence[str]) -> PartPlan:
        names: dict[str, list[str]] = {}
        for row in self.model_rows:
            names.setdefault(self._generation(row["first_release"]), []).append(row["model_id"])
        parts = {
            Part(bits, generation): size
            for generation, models in (names or {"": []}).items()
            for bits, size in leaves(lambda bits, models=models: self._size(bits, models), limit=self.part_rows)
        }
        return PartPlan(parts=parts, changed=frozenset(parts))

    def _generation(self, release: str | None) -> str:
        return generations(row["first_release"] or "" for row in self.model_rows)[release or ""]

    def _size(self, bits: str, models: Sequence[str]) -> Size:
        below = [name for name in models if bits_of(place_of(name)).startswith(bits)]
        return Size(len(below) + sum(row["model_id"] in below for row in self.index_rows), len(below))

    def models_in(self, part: Part) -> list[str]:
        return sorted(
            {
                row["model_id"]
                for row in self.model_rows
                if self._generation(row["first_release"]) == part.generation
                and bits_of(place_of(row["model_id"])).startswith(part.bits)
            }
        )

    def plan_preview(self, changed: Collection[str], before: str) -> PreviewPlan:
        rows: dict[Part, list[IndexRow]] = {}
        for owner in self.models_of(self.changed_models()):
            part = Part(generation=self._generation(owner.first_release))
            rows.setdefault(part, []).extend(row for row in self.index([owner]) if row.stored)
        return PreviewPlan(rows=rows, digest="", changed=True)

    def last_export(self, parts: Iterable[Part]) -> ExportRecord:
        return ExportRecord()

    def redistributable_files(self, parts: Iterable[Part]) -> list[Table]:
        return []

    def put_export(self, plan: PartPlan, record: ExportRecord) -> None:
        """Nothing is kept."""

    def models_of(self, model_ids: Iterable[str]) -> Iterator[ModelRow]:
        for model_id in model_ids:
            yield from (ModelRow.from_arrow(row) for row in self.model_rows if row["model_id"] == model_id)

    def index(self, owners: Iterable[ModelRow]) -> Iterator[IndexRow]:
        names = dict.fromkeys(owner.model_id for owner in owners)
        rows = (row for name in names for row in self.index_rows if row["model_id"] == name)
        return map(IndexRow.from_arrow, rows)

    def ledger(self, owners: Iterable[ModelRow]) -> Iterator[LedgerRow]:
        names = dict.fromkeys(owner.model_id for owner in owners)
        rows = [row for rows in self.ledger_rows.values() for row in rows]
        return (LedgerRow.from_arrow(row) for name in names for row in rows if row["model_id"] == name)

    def samples(self, layer_sha256: str) -> Samples | None:
        return self.stored.get(layer_sha256)

    def sketches(self, layers: Iterable[IndexRow]) -> Iterator[Row]:
        contents = {layer.layer_sha256 or "": None for layer in layers if layer.stored}
        return (self.sketched[content] for content in contents if content in self.sketched)

    def effective(self, owners: Iterable[ModelRow]) -> Iterator[pa.RecordBatch]:
        return (self.recipes[owner.model_id] for owner in owners if owner.model_id in self.recipes)

    def layer_files_of(self, owners: Iterable[ModelRow]) -> Iterator[tuple[str, int, str]]:
        wanted = {layer.file for layer in self.index(owners) if layer.stored}
        return (file for file in self.files if file[0] in wanted)

    def renames(self) -> Iterator[RenameRow]:
        return map(RenameRow.from_arrow, self.rename_rows)

    def withdrawn(self) -> Iterator[WithdrawnRow]:
        return map(WithdrawnRow.from_arrow, self.withdrawn_rows)

    def sources(self) -> Iterator[SourceRow]:
        return map(SourceRow.from_arrow, self.source_rows)

    def runs(self) -> Iterator[RunRow]:
        return map(RunRow.from_arrow, self.run_rows)

    def layer_files(self) -> Iterator[tuple[str, int, str]]:
        return iter(self.files)

    def add(self, model_id: str, layers: Sequence[Layer] = NET, terms: str | None = "mit") -> None:
        """Crawl a checkpoint whose weights follow from its name; its last tensor is a bias, left out."""
        source, name = model_id.split("/", 1)
        rows = [self._layer(model_id, *layer) for layer in layers]
        path = self._write(source, rows)
        kinds = sorted({(row["kernel"], row["depthwise"]) for row in rows})
        for row, (_, _, groups) in zip(rows, layers, strict=True):
            place = kinds.index((row["kernel"], row["depthwise"]))
            facts = {"file": path, "row_group": place, "weight_kind": "learned", "structure_source": "onnx_graph"}
            known = {"license": terms, "operator_verified": groups > 1, "n_nonfinite": 0, "sparsity": 0.25}
            known["redistributable"] = is_redistributable(terms)
            self.index_rows.append({**dict.fromkeys(INDEX.names), **row, **facts, **known})
        times = {"first_seen": NOW, "last_seen": NOW, "crawled_at": NOW}
        model = {"model_id": model_id, "source": source, "name": name, "outcome": "emitted", "attempts": 1}
        facts = {"license": terms, "layers_file": path}
        self.model_rows.append({**dict.fromkeys(MODELS.names), **model, **facts, **times})
        for row in rows:
            self._record(source, model_id, row["tensor"], row["shape"], None)
        self._record(source, model_id, "stem.bias", [8], "bias")

    def fold(self, model_id: str, layer: str) -> None:
        """Let a batch normalization follow a layer of a checkpoint."""
        (folded,) = (row for row in self.layers_of(model_id) if row.layer == layer)
        self.add_recipes(model_id, batch_norm_after(folded))

    def add_recipes(self, model_id: str, *recipes: Recipe) -> None:
        """Say how the effective weights of a checkpoint follow from its stored ones."""
        made = with_recipes(StagedLayers.without_file(self.layers_of(model_id)), recipes)
        assert made.effective is not None
        self.recipes[model_id] = made.effective
        by_id = {row.layer_id: row for row in made.rows}
        for row in self.index_rows:
            if (known := by_id.get(row["layer_id"])) is not None:
                row |= {
                    "effective_sha256": known.effective_sha256,
                    "effective_steps": known.effective_steps and list(known.effective_steps),
                    "merged_into": known.merged_into,
                }

    def layers_of(self, model_id: str) -> list[IndexRow]:
        return [IndexRow.from_arrow(row) for row in self.index_rows if row["model_id"] == model_id]

    def forget(self, model_id: str) -> None:
        """Drop a checkpoint from the catalog; its file stays."""
        gone = {row["file"] for row in self.index_rows if row["model_id"] == model_id}
        self.model_rows = [row for row in self.model_rows if row["model_id"] != model_id]
        self.index_rows = [row for row in self.index_rows if row["model_id"] != model_id]
        self.files = [file for file in self.files if file[0] not in gone]
        self.recipes.pop(model_id, None)
        source = model_id.split("/", 1)[0]
        self.ledger_rows[source] = [row for row in self.ledger_rows[source] if row["model_id"] != model_id]

    def _layer(self, model_id: str, layer: str, shape: tuple[int, ...], groups: int) -> Row:
        # Named by layer alone: the same stem in every checkpoint, as in networks that were fine-tuned.
        seed = layer if layer == "stem" else f"{model_id}#{layer}"
        generator = np.random.default_rng(list(seed.encode()))
        weight = generator.standard_normal(shape).astype(np.float32)
        content = hashlib.sha256(weight.tobytes()).hexdigest()
        kernels = weight.reshape(shape[0] * shape[1], -1)
        positions = np.array(sample_positions(content, len(kernels)), np.int64)
        self.stored[content] = Samples(positions=positions, values=kernels[positions])
        self.sketched[content] = {"layer_sha256": content, **sketch(weight)}
        return {
            "model_id": model_id, "layer_id": f"{model_id}#{layer}.weight",
            "row_id": f"{model_id}#{layer}.weight#part0", "source": model_id.split("/", 1)[0],
            "layer": layer, "tensor": f"{layer}.weight",
            "op": f"conv{len(shape) - 2}d", "kernel": "x".join(map(str, shape[2:])), "kernel_size": list(shape[2:]),
            "taps": math.prod(shape[2:]), "shape": list(shape), "out_channels": shape[0],
            "in_channels": shape[1] * groups, "groups": groups, "depthwise": groups > 1, "bank_index": None,
            "n_kernels": len(kernels), "part": 0, "n_parts": 1, "out_start": 0, "stored_dtype": "float32",
            "weight_sha256": content, "layer_sha256": content, "weight": weight.ravel(),
        }  # fmt: skip

    def _write(self, source: str, rows: list[Row]) -> str:
        rows = sorted(rows, key=lambda row: (row["kernel"], row["depthwise"]))
        digest = hashlib.sha256("".join(row["row_id"] + row["weight_sha256"] for row in rows).encode()).hexdigest()
        path = f"data/layers/{source}/{digest[:2]}/net-{digest[:16]}.parquet"
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(target, LAYERS, compression="zstd") as writer:
            for _, group in itertools.groupby(rows, key=lambda row: (row["kernel"], row["depthwise"])):
                writer.write_table(pa.Table.from_pylist(list(group), schema=LAYERS))
        data = target.read_bytes()
        self.files.append((path, len(data), hashlib.sha256(data).hexdigest()))
        return path

    def _record(self, source: str, model_id: str, tensor: str, shape: list[int], reason: str | None) -> None:
        outcome = {"outcome": "skipped" if reason else "emitted", "reason": reason}
        row = {"model_id": model_id, "tensor": tensor, "shape": shape, "dtype": "float32", **outcome}
        self.ledger_rows.setdefault(source, []).append(row)


def sketch(weight: NDArray[np.float32]) -> Row:
    """The sketch of a layer, but for its layer_sha256."""
    about = LayerSummary(
        shape=weight.shape,
        n_kernels=weight.shape[0] * weight.shape[1],
        taps=math.prod(weight.shape[2:]),
        max_abs=float(np.abs(weight[np.isfinite(weight)]).max(initial=0)),
    )
    made = LayerSketch(about)
    made.update(torch.from_numpy(weight))
    return made.finish()


def batch_norm_after(layer: IndexRow) -> Recipe:
    """The recipe of a layer that a batch normalization follows, whose numbers follow from the layer's name."""
    key = LayerKey(layer.tensor, layer.bank_index)
    numbers = np.random.default_rng(list(layer.layer_id.encode())).random((4, layer.out_channels)).astype(np.float32)
    norm = Norm(
        path="bn", evidence="names", eps=None, scale=numbers[0], offset=numbers[1], mean=numbers[2], variance=numbers[3]
    )
    return Recipe(
        layer=key, steps=("batch_norm",), shape=layer.shape, groups=layer.groups, terms=(Term(layer=key),), norm=norm,
        eps_assumed=True,
    )  # fmt: skip


def example(folder: Path, dataset_id: str = "dataset-one") -> MemoryRows:
    """A dataset with rows in every table: two sources, three checkpoints, one of them failed."""
    rows = MemoryRows(folder, dataset_id)
    rows.add("local/a.safetensors")
    rows.add("packages/speech/b.onnx", terms=None)
    rows.fold("local/a.safetensors", "features.2")
    failed = {"model_id": "local/c.pt", "source": "local", "name": "c.pt", "outcome": "failed", "attempts": 2}
    rows.model_rows.append({**dict.fromkeys(MODELS.names), **failed, "reason": "c.pt: ends early"})
    rows.rename_rows.append({"model_id": "local/a.safetensors", "old_name": "a", "new_name": "b", "seen": NOW})
    rows.withdrawn_rows.append({"model_id": "local/d", "reason": "asked for", "withdrawn": NOW})
    rows.source_rows.append({"selector_id": "s1", "source": "local", "listed": NOW, "n_offered": 3})
    rows.run_rows.append({"run": 1, "started": NOW, "outcome": "finished", "filtercrawl_version": "1.0", "new": 3})
    return rows


def tree(folder: Path) -> dict[str, bytes]:
    """Every published file by its path, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".filtercrawl" not in path.parts
    }
