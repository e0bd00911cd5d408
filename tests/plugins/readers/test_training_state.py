"""The step and the epoch that trainers save beside the weights."""

from __future__ import annotations

import json
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.numpy import save
from torch.distributed.checkpoint.metadata import MetadataIndex

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.reader import Reader, read_content
from filtercrawl_plugins.readers.flax_msgpack import FlaxReader
from filtercrawl_plugins.readers.pickled_arrays import PickledArraysReader
from filtercrawl_plugins.readers.safetensors import SafetensorsReader
from filtercrawl_plugins.readers.torch.distributed import DistributedCheckpoint
from filtercrawl_plugins.readers.torch.readers import TorchLegacy, TorchZip
from support.onnx_models import Folder, MemoryFiles

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


def flax_file(tree: dict[str, Any]) -> bytes:
    def encode(leaf: Any) -> msgpack.ExtType:
        content = msgpack.packb((leaf.shape, leaf.dtype.name, leaf.tobytes()), use_bin_type=True)
        return msgpack.ExtType(1 if isinstance(leaf, np.ndarray) else 3, content)

    return bytes(msgpack.packb(tree, default=encode, strict_types=True))


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({"step": 7}, TrainingState(step=7)),
        ({"step": np.int32(7), "epoch": np.array(2)}, TrainingState(step=7, epoch=2)),
        ({"meta": {"iter": 8}, "opt_state": {"0": {"step": 9}}}, TrainingState(step=8)),
        ({"step": np.float32(7), "epoch": np.array([2])}, None),
        ({"step": -1}, None),
    ],
)
def test_the_state_in_flax_files(saved: dict[str, Any], expected: TrainingState | None) -> None:
    tree = {"params": {"conv": {"kernel": np.zeros((3, 3, 2, 2), "f4")}}, **saved}
    assert stated(FlaxReader(), flax_file(tree)) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"step": "400", "epoch": "3", "format": "pt"}, TrainingState(step=400, epoch=3)),
        ({"ss_steps": "1200", "ss_epoch": "4", "ss_num_epochs": "10"}, TrainingState(step=1200, epoch=4)),
        ({"training_info": json.dumps({"step": 2000, "epoch": 1})}, TrainingState(step=2000, epoch=1)),
        ({"training_info": "step 3"}, None),
        ({"step": "4e3", "epoch": "-1", "iter": "9" * 30}, None),
        ({"format": "pt"}, None),
        (None, None),
    ],
)
def test_the_state_in_the_metadata_of_safetensors(
    metadata: dict[str, str] | None, expected: TrainingState | None
) -> None:
    weights = {"conv.weight": np.zeros((2, 2, 3, 3), "f4")}
    assert stated(SafetensorsReader(), save(weights, metadata)) == expected


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({"step": 7, "epoch": 2}, TrainingState(step=7, epoch=2)),
        ({"train_state": {"step": torch.tensor(9, dtype=torch.int32)}}, TrainingState(step=9)),
        ({"meta": {"iter": 8}, "optimizer": {"step": torch.tensor(3)}}, TrainingState(step=8)),
        ({"step": 7.5, "epoch": "2"}, None),
        ({}, None),
    ],
)
def test_the_state_in_distributed_checkpoints(
    saved: dict[str, Any], expected: TrainingState | None, tmp_path: Path
) -> None:
    dcp.save({"model": dict(WEIGHTS), **saved}, checkpoint_id=tmp_path, no_dist=True)
    files = Folder(tmp_path / ".metadata")
    content = read_content(DistributedCheckpoint(), files)
    assert content.training == expected
    assert [tensor.name for tensor in content.tensors] == [
        tensor.name for tensor in DistributedCheckpoint().tensors(files)
    ]


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_a_damaged_number_states_nothing_and_weights_are_read(tmp_path: Path) -> None:
    dcp.save({"model": dict(WEIGHTS), "step": 7}, checkpoint_id=tmp_path, no_dist=True)
    shard = tmp_path / "__0_0.distcp"
    start = pickle.loads((tmp_path / ".metadata").read_bytes()).storage_data[MetadataIndex("step")].offset
    data = shard.read_bytes()
    shard.write_bytes(data[:start] + b"\0" * 100 + data[start + 100 :])
    content = read_content(DistributedCheckpoint(), Folder(tmp_path / ".metadata"))
    assert content.training is None
    assert [tensor.name for tensor in content.tensors] == ["model.conv.weight"]
