"""Published torch checkpoints against their golden lists: names, shapes, and every bit.

`FILTERCRAWL_CORPUS` names a folder with `manifest.json`, `files` and `layers`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.local_file import LocalFile
from support.torch_files import READERS, OneFile, numbers

CORPUS = os.environ.get("FILTERCRAWL_CORPUS")
FORMATS = {"torch-zip": "torch-zip", "torch-legacy": "torch-legacy", "torchscript-zip": "torchscript"}

pytestmark = pytest.mark.skipif(CORPUS is None, reason="FILTERCRAWL_CORPUS names no corpus of real checkpoints")


def manifest() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(Path(CORPUS, "manifest.json").read_text()) if CORPUS else []
    return records


@pytest.mark.parametrize("record", manifest(), ids=lambda record: record["id"])
def test_golden_list(record: dict[str, Any]) -> None:
    assert CORPUS is not None
    expected = FORMATS.get(record["format"])
    with LocalFile(Path(CORPUS, record["file"])) as file:
        claims = [name for name, reader in READERS.items() if reader.can_read(file)]
        assert claims == ([expected] if expected else [])
        if expected is None:
            return
        found = {tensor.name: tensor for tensor in READERS[expected].tensors(OneFile(file))}
        for golden in json.loads(Path(CORPUS, "layers", f"{record['id']}.json").read_text()):
            stored = found[golden["name"]]
            assert (list(stored.shape), stored.dtype) == (golden["shape"], "float32")
            assert hashlib.sha256(numbers(stored)).hexdigest()[:32] == golden["sha_f32"]
