"""The ledger balances: every tensor of a checkpoint is emitted, or listed with the reason why it is not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from safetensors import safe_open

from filtercrawl.dataset.files.unpublished import CATALOG
from support.zoo_files import models, table

# Outcomes of checkpoints that were read.
_READ: Final = frozenset({"emitted", "duplicate", "no_kernels"})


def faults_of_catalog(dataset: Path) -> list[str]:
    """Say where the catalog does not balance; it does at any moment, since each transaction does.

    It is read from a copy: who opens a database of a killed process completes or undoes its last transaction.
    """
    if not (dataset / CATALOG).is_file():
        return []
    with TemporaryDirectory() as copy:
        for path in (dataset / CATALOG).parent.glob("catalog.sqlite*"):
            shutil.copy(path, copy)
        with closing(sqlite3.connect(f"{copy}/catalog.sqlite")) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone():
                return []  # killed before it had its tables
            records = [json.loads(record) for (record,) in database.execute("SELECT record FROM models")]
            entries = database.execute("SELECT model_id, reason IS NULL FROM ledger").fetchall()
            layers = database.execute(
                "SELECT DISTINCT model_id, json_extract(record, '$.tensor') FROM layers WHERE layer_sha256 IS NOT NULL"
            ).fetchall()
    return _faults(f"{dataset}: the catalog", records, entries, layers)


def faults_of_tables(dataset: Path) -> list[str]:
    """Say where the tables do not balance; they do once a command has ended, and in every published version."""
    entries = [(row["model_id"], row["outcome"] == "emitted") for row in table(dataset, "ledger")]
    layers = {(row["model_id"], row["tensor"]) for row in table(dataset, "index") if row["layer_sha256"] is not None}
    return _faults(f"{dataset}: the tables", models(dataset).values(), entries, layers)


def faults_of_zoo(dataset: Path, zoo: Path) -> list[str]:
    """Say which tensors of the files are not in the ledger, and what is there that no file has."""
    listed: dict[str, set[str]] = {}
    for row in table(dataset, "ledger"):
        if row["tensor"] in listed.setdefault(row["model_id"], set()):
            return [f"{dataset}: the ledger has {row['tensor']!r} of {row['model_id']} twice"]
        listed[row["model_id"]].add(row["tensor"])
    faults = []
    for model_id, row in models(dataset).items():
        if row["outcome"] not in _READ:
            continue
        path = next((zoo / name for name in (row["name"], *row["aliases"]) if (zoo / name).is_file()), None)
        if path is None:
            faults.append(f"{dataset}: {model_id} has no file")
        elif different := _tensors(path) ^ listed.get(model_id, set()):
            faults.append(f"{dataset}: {model_id}: only in the file or only in the ledger: {sorted(different)}")
    return faults


def _faults(
    where: str,
    records: Iterable[Mapping[str, Any]],
    entries: Iterable[tuple[str, bool]],
    layers: Iterable[tuple[str, str]],
) -> list[str]:
    """Compare what `models` states with the rows of the ledger, and the emitted ones with the layers."""
    found, emitted = Counter(entries), Counter(model_id for model_id, _ in layers)
    faults = []
    for record in records:
        name = record["model_id"]
        stated = tuple(record[column] or 0 for column in ("tensors_emitted", "tensors_skipped"))
        actual = (found.pop((name, True), 0), found.pop((name, False), 0))
        if stated != actual or emitted.pop(name, 0) != actual[0]:
            faults.append(f"{where}: {name} states {stated} tensors emitted and skipped, the ledger has {actual}")
    unknown = {name for name, _ in found} | emitted.keys()
    return faults + [f"{where}: rows of {name!r}, which is no checkpoint" for name in sorted(unknown)]


def _tensors(path: Path) -> set[str]:
    """Return the names of the tensors of a file."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return set(file.keys())
    content = torch.load(path, weights_only=True)
    return {f"state_dict.{name}" for name in content["state_dict"]}
