"""The step and the epoch that trainers save beside the weights."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.source import Reader, read_content
from filtercrawl_plugins.readers.pickled_arrays import PickledArraysReader
from filtercrawl_plugins.readers.torch.readers import TorchLegacy, TorchZip
from support.onnx_models import MemoryFiles

WEIGHTS = {"conv.weight": torch.zeros(2, 2, 3, 3)}


def torch_file(saved: object, *, legacy: bool = False) -> bytes:
    buffer = BytesIO()
    torch.save(saved, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def stated(reader: Reader, data: bytes) -> TrainingState | None:
    return read_content(reader, MemoryFiles(data)).training


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({"epoch": 3, "global_step": 400, "pytorch-lightning_version": "2.5"}, TrainingState(step=400, epoch=3)),
        ({"epoch": 3}, TrainingState(epoch=3)),
        ({"iteration": 89999, "optimizer": {"state": {}}}, TrainingState(step=89999)),
        ({"meta": {"epoch": 12, "iter": 87960}}, TrainingState(step=87960, epoch=12)),
        ({"epoch": -1}, None),
        ({"epoch": True, "step": "7", "global_step": 2**63}, None),
        ({"step": 5, "global_step": 6}, None),
        ({"step": 6, "global_step": 6}, TrainingState(step=6)),
        ({"args": {"epoch": 9}}, None),
    ],
)
def test_the_state_beside_the_weights(saved: dict[str, Any], expected: TrainingState | None) -> None:
    saved = {"state_dict": WEIGHTS, **saved}
    assert stated(TorchZip(), torch_file(saved)) == expected
    assert stated(TorchLegacy(), torch_file(saved, legacy=True)) == expected
    arrays = pickle.dumps({**saved, "state_dict": {"weight": np.zeros((2, 2, 3, 3), np.float32)}}, protocol=2)
    assert stated(PickledArraysReader(), arrays) == expected


def test_the_tensors_are_those_that_the_reader_yields() -> None:
    files = MemoryFiles(torch_file({"state_dict": WEIGHTS, "epoch": 1}))
    assert [tensor.name for tensor in read_content(TorchZip(), files).tensors] == ["state_dict.conv.weight"]
    assert [tensor.name for tensor in TorchZip().tensors(files)] == ["state_dict.conv.weight"]


def test_an_object_without_keys_states_nothing() -> None:
    assert stated(TorchZip(), torch_file([WEIGHTS["conv.weight"], 5])) is None
