"""The corpus of real checkpoints: every convolution of the golden lists, and none beside them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.tensor import StoredTensor
from support.onnx_models import READER, read, stored_bytes

CORPUS = os.environ.get("FILTERCRAWL_CORPUS")
pytestmark = pytest.mark.skipif(CORPUS is None, reason="FILTERCRAWL_CORPUS names no corpus of real checkpoints")


def records(*, onnx: bool) -> list[dict[str, Any]]:
    if CORPUS is None:
        return []
    manifest = json.loads((Path(CORPUS) / "manifest.json").read_text())
    return [record for record in manifest if (record["format"] == "onnx") == onnx]


def described(stored: StoredTensor) -> tuple[object, ...]:
    flat = np.frombuffer(stored_bytes(stored), np.uint8)
    widened = torch.from_numpy(flat.copy()).view(getattr(torch, stored.dtype)).float().numpy().tobytes()
    assert stored.convolution is not None
    digest = hashlib.sha256(widened).hexdigest()[:32]
    return stored.shape, stored.convolution.op, stored.convolution.groups, stored.layer, digest


@pytest.mark.parametrize("record", records(onnx=True), ids=lambda record: record["id"])
def test_the_golden_list_and_nothing_else(record: dict[str, Any]) -> None:
    golden = json.loads((Path(str(CORPUS)) / "layers" / f"{record['id']}.json").read_text())
    expected = {}
    for row in golden:
        op = f"conv_transpose{len(row['shape']) - 2}d" if row["op"] == "ConvTranspose" else row["kind"]
        layer = row["node"] or row["name"].removesuffix(".weight")
        expected[row["name"]] = tuple(row["shape"]), op, row["group"], layer, row["sha_f32"]
    found = read(Path(str(CORPUS)) / record["file"])
    assert {name: described(stored) for name, stored in found.items() if stored.convolution} == expected
    codes = [s for s in found.values() if s.convolution and s.dtype in ("int8", "uint8")]
    assert all(stored.weight is not None for stored in codes)


@pytest.mark.parametrize("record", records(onnx=False), ids=lambda record: record["id"])
def test_other_formats_are_not_claimed(record: dict[str, Any]) -> None:
    assert not READER.can_read(LocalFile(Path(str(CORPUS)) / record["file"]))
