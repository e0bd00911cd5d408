"""The digest of all tensors: what it tells apart, and which bytes it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation, row_major
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl.pipeline.crawling.tensor_digest import digest_tensors, hashes_of_layers
from support.recording_file import WantedFile

RANDOM = np.random.default_rng(0)
STATE = {
    "conv.weight": RANDOM.normal(size=(8, 4, 3, 3)).astype("f4"),
    "conv.bias": RANDOM.normal(size=8).astype("f4"),
    "head.weight": RANDOM.normal(size=(2, 8)).astype("f4"),
}


def stored(state: dict[str, np.ndarray], dtype: str = "float32") -> tuple[WantedFile, list[StoredTensor]]:
    file = WantedFile(b"".join(array.tobytes() for array in state.values()))
    offsets = np.cumsum([0, *(array.nbytes for array in state.values())])
    return file, [
        StoredTensor(
            name=name, key=name, shape=array.shape, dtype=dtype,
            location=TensorLocation(file=file, offset=int(offset), dtype=dtype, shape=array.shape),
        )
        for (name, array), offset in zip(state.items(), offsets, strict=False)
    ]  # fmt: skip


def digest(tensors: list[StoredTensor], file: WantedFile, folder: Path) -> str | None:
    """Write the layers, forget what that read, and digest the tensors."""
    classified = classify_tensors(tensors)
    writer = LayerStager(staging=folder, device=torch.device("cpu"), measures=())
    staged = writer.write("lab/net", "lab", classified.layers)
    file.forget()
    return digest_tensors(tensors, hashes_of_layers(classified, staged.rows), file.size, CancellationToken())


def test_numbers_of_written_layers_are_not_read_again(tmp_path: Path) -> None:
    file, tensors = stored(STATE)
    assert digest(tensors, file, tmp_path) is not None
    assert file.reads == [(8 * 4 * 9 * 4, 8 * 4 * 9 * 4 + 32), (8 * 4 * 9 * 4 + 32, file.size)]


@pytest.mark.parametrize("name", STATE)
def test_one_other_number_or_name_is_another_digest(name: str, tmp_path: Path) -> None:
    file, tensors = stored(STATE)
    before = digest(tensors, file, tmp_path)
    changed = STATE[name].copy()
    changed.flat[-1] += 1
    file, tensors = stored(STATE | {name: changed})
    assert digest(tensors, file, tmp_path) != before
    file, tensors = stored({("x" + key if key == name else key): array for key, array in STATE.items()})
    assert digest(tensors, file, tmp_path) != before


def test_of_a_float32_layer_hash_and_bytes_are_the_same(tmp_path: Path) -> None:
    file, tensors = stored(STATE)
    assert digest(tensors, file, tmp_path) == digest_tensors(tensors, {}, file.size, CancellationToken())


def test_numbers_that_float32_rounds_are_read(tmp_path: Path) -> None:
    state = {name: array.astype("f8") for name, array in STATE.items()}
    file, tensors = stored(state, "float64")
    before = digest(tensors, file, tmp_path)
    assert len(file.reads) == 3
    state["conv.weight"][0, 0, 0, 0] = np.nextafter(state["conv.weight"][0, 0, 0, 0], 9)
    file, tensors = stored(state, "float64")
    assert digest(tensors, file, tmp_path) != before


def test_scattered_numbers_have_no_digest(tmp_path: Path) -> None:
    file, tensors = stored(STATE)
    strides = tuple(2 * step for step in row_major((2, 4)))
    location = TensorLocation(file=file, offset=0, dtype="float32", shape=(2, 4), strides=strides)
    scattered = StoredTensor(name="s", key="s", shape=(2, 4), dtype="float32", location=location)
    assert digest([*tensors, scattered], file, tmp_path) is None
