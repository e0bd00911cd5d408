"""Folders of `torch.distributed.checkpoint` give every tensor, bit for bit, whatever chunks it was saved in."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from conftest import Sync
from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.torch.distributed import DistributedCheckpoint, DistributedShard
from support.torch_files import READERS, OneFile, bits, numbers, saved
from support.zoo_files import layers, models, table

READER = DistributedCheckpoint()
Slices = tuple[slice, ...]


class Folder:
    """The files of a checkpoint in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {name: MemoryFile(data, name) for name, data in files.items()}
        self.main: RandomAccessFile = self.files[".metadata"]

    def open(self, path: str) -> RandomAccessFile:
        if path not in self.files:
            raise CheckpointError(f"{path}: no such file")
        return self.files[path]

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        raise CheckpointError(f"{path}: no such file")


def chunked(tensor: torch.Tensor, parts: list[Slices]) -> dict[str, bytes]:
    """Write a tensor as a training on several ranks does, a shard for each part."""
    chunks, places, files = [], {}, {}
    for rank, part in enumerate(parts):
        offsets = torch.Size(one.start for one in part)
        chunk = saved(tensor[part].clone())
        files[f"__{rank}_0.distcp"] = saved(torch.zeros(rank)) + chunk
        start = len(files[f"__{rank}_0.distcp"]) - len(chunk)
        chunks.append(ChunkStorageMetadata(offsets, tensor[part].shape))
        places[MetadataIndex("conv.weight", offsets)] = _StorageInfo(f"__{rank}_0.distcp", start, len(chunk))
    described = TensorStorageMetadata(TensorProperties(dtype=tensor.dtype), tensor.shape, chunks)
    files[".metadata"] = pickle.dumps(Metadata({"conv.weight": described}, None, places))
    return files


def box(*bounds: tuple[int, int]) -> Slices:
    return tuple(slice(*bound) for bound in bounds)


WEIGHT = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype("f4"))
FULL = ((0, 3), (0, 3))


@pytest.mark.parametrize(
    "parts",
    [
        [box((0, 6), (0, 4), *FULL)],
        [box((0, 2), (0, 4), *FULL), box((2, 6), (0, 4), *FULL)],
        [box((0, 6), (0, 1), *FULL), box((0, 6), (1, 4), *FULL)],
        [box((3, 6), (0, 4), *FULL), box((0, 3), (0, 2), *FULL), box((0, 3), (2, 4), *FULL)],
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_are_joined(parts: list[Slices], dtype: torch.dtype) -> None:
    weight = WEIGHT.to(dtype)
    folder = Folder(chunked(weight, parts))
    assert READER.can_read(folder.main)
    assert READER.companion_paths(folder.main) == tuple(f"__{rank}_0.distcp" for rank in range(len(parts)))
    (tensor,) = READER.tensors(folder)
    assert numbers(tensor) == bits(weight)
    assert tensor.location is not None
    assert tensor.location.read(((1, 5), (1, 3), (0, 3), (1, 2))).tobytes() == bits(weight[1:5, 1:3, :, 1:2])


def test_what_does_not_cover_a_tensor_is_not_read() -> None:
    overlapping = [box((0, 4), (0, 4), *FULL), box((2, 4), (0, 4), *FULL)]
    for parts in (overlapping, [box((0, 3), (0, 4), *FULL)]):
        (tensor,) = READER.tensors(Folder(chunked(WEIGHT, parts)))
        assert (tensor.location, tensor.reason) == (None, "unreadable")


def test_shards_that_are_missing_cut_or_swapped_are_told() -> None:
    files = chunked(WEIGHT, [box((0, 3), (0, 4), *FULL), box((3, 6), (0, 4), *FULL)])
    shard = files["__1_0.distcp"]
    for changed in ({}, {"__1_0.distcp": shard[:-300]}):
        lacking = {name: data for name, data in files.items() if name != "__1_0.distcp"} | changed
        with pytest.raises(CheckpointError):
            list(READER.tensors(Folder(lacking)))
    other = files | {"__1_0.distcp": chunked(WEIGHT.double(), [box((0, 3), (0, 4), *FULL)])["__0_0.distcp"] + shard}
    (tensor,) = READER.tensors(Folder(other))
    with pytest.raises(CheckpointError):
        numbers(tensor)


def test_sizes_that_no_shard_could_hold_are_refused() -> None:
    files = chunked(torch.ones(1), [box((0, 1))])
    metadata = pickle.loads(files[".metadata"])
    entry = metadata.state_dict_metadata["conv.weight"]
    entry.size = entry.chunks[0].sizes = torch.Size([1 << 40])
    with pytest.raises(FormatError, match="too few"):
        list(READER.tensors(Folder(files | {".metadata": pickle.dumps(metadata)})))


def test_a_shard_alone_says_what_it_is() -> None:
    shard = MemoryFile(saved(torch.ones(2)) + saved(torch.ones(3)), "__0_0.distcp")
    assert next(name for name, reader in READERS.items() if reader.can_read(shard)) == "torch-distributed-shard"
    with pytest.raises(FormatError, match=r"shard of torch\.distributed\.checkpoint.*dcp_to_torch"):
        list(DistributedShard().tensors(OneFile(shard)))
    assert not DistributedShard().can_read(MemoryFile(saved({"a": torch.ones(2)})))


@pytest.mark.parametrize("data", [b"", b"\x80\2}.", saved({}), saved({}, zipped=False)])
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert not READER.can_read(MemoryFile(data))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sync_reads_what_torch_saves(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 16, 3))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = {"model": net.state_dict(), "optim": optimizer.state_dict(), "step": 7}
    dcp.save(state, checkpoint_id=str(zoo / "step-7"), no_dist=True)
    run_sync()
    stored = layers(dataset)
    assert stored.keys() == {f"local/step-7/.metadata#model.{i}.weight" for i in (0, 2)}
    for i in (0, 2):
        assert np.array_equal(stored[f"local/step-7/.metadata#model.{i}.weight"], net[i].weight.detach().numpy())
    reasons = {row["tensor"]: row["reason"] for row in table(dataset, "ledger")}
    assert reasons["model.1.running_mean"] == "norm"
    assert {reason for name, reason in reasons.items() if name.startswith("optim.")} == {"optimizer_state"}
    row = models(dataset)["local/step-7/__0_0.distcp"]
    assert (row["outcome"], "distributed" in row["reason"]) == ("skipped", True)


def test_a_shard_of_one_chunk_is_a_part_and_another_archive_is_none() -> None:
    files = chunked(WEIGHT, [box((0, 6), (0, 4), *FULL)])
    metadata, shard = MemoryFile(files[".metadata"]), OneFile(MemoryFile(saved(WEIGHT)))
    alone = list(READERS["torch-zip"].tensors(shard))
    assert not READER.companion_check(metadata)("__0_0.distcp", alone)  # its chunk does not begin where the file does
    moved = Metadata(
        {"conv.weight": pickle.loads(files[".metadata"]).state_dict_metadata["conv.weight"]}, None,
        {MetadataIndex("conv.weight", torch.Size([0] * 4)): _StorageInfo("__0_0.distcp", 0, len(saved(WEIGHT)))},
    )  # fmt: skip
    metadata = MemoryFile(pickle.dumps(moved))
    is_part = READER.companion_check(metadata)
    assert is_part("__0_0.distcp", alone)
    assert not is_part("other.distcp", alone)
    other = OneFile(MemoryFile(saved({"a": WEIGHT, "b": WEIGHT})))
    assert not is_part("__0_0.distcp", list(READERS["torch-zip"].tensors(other)))
