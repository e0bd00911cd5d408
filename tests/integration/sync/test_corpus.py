"""Every convolution of real checkpoints is in the dataset, bit for bit, and none is invented."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from conftest import NOW
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl_publish.verification import verify_folder
from support.zoo_files import layers, models, table


class Synced:
    """The dataset made of the whole corpus, looked up by checkpoint."""

    def __init__(self, corpus: Path, dataset: Path) -> None:
        self.corpus = corpus
        self.dataset = dataset
        self.report = sync(
            [f"local:{corpus / 'files'}"],
            SyncContext(settings=Settings(dataset=dataset, device="cpu"), plugins=load_plugins(), now=NOW),
        )
        self.weights = layers(dataset)
        self.models = models(dataset)
        self.index = {(row["model_id"], row["tensor"]): row for row in table(dataset, "index")}
        self.ledger = {(row["model_id"], row["tensor"]): row["reason"] for row in table(dataset, "ledger")}

    def stored(self, model_id: str, tensor: str) -> NDArray[np.float32]:
        """A layer as the checkpoint orders it: transposed convolutions turned back."""
        row = self.index[model_id, tensor]
        weight = self.weights[row["layer_id"] if row["row_group"] is not None else row["duplicate_of"]]
        if row["op"].startswith("conv_transpose"):
            return np.concatenate([part.swapaxes(0, 1) for part in np.split(weight, row["groups"])])
        return weight


@pytest.fixture(scope="module")
def synced(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Synced:
    return Synced(corpus, tmp_path_factory.mktemp("corpus") / "dataset")


def records(corpus: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((corpus / "manifest.json").read_text())
    for record in found:
        record["model_id"] = "local/" + record["file"].removeprefix("files/")
        record["golden"] = json.loads((corpus / "layers" / f"{record['id']}.json").read_text())
    return found


@cache
def graph(path: Path) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}


def scaled(path: Path, name: str) -> NDArray[np.float32]:
    """What the int8 codes of a convolution stand for, by the onnx library."""
    tensors = graph(path)
    node = next(
        n for n in onnx.load(path).graph.node if name in n.input and n.op_type in ("QLinearConv", "DequantizeLinear")
    )
    at = list(node.input).index(name)
    scale, zero = (numpy_helper.to_array(tensors[node.input[at + i]]) for i in (1, 2))
    codes = numpy_helper.to_array(tensors[name])
    along = (-1, *(1,) * (codes.ndim - 1)) if scale.ndim and scale.size > 1 else ()
    product = (codes.astype(np.int32) - zero.astype(np.int32).reshape(along)).astype(np.float32) * scale.reshape(along)
    return np.asarray(product, np.float32)


def test_every_checkpoint_is_read(synced: Synced, corpus: Path) -> None:
    assert synced.report.failures == {}
    outcomes = {record["id"]: synced.models[record["model_id"]]["outcome"] for record in records(corpus)}
    assert set(outcomes.values()) <= {"emitted", "duplicate", "no_kernels"}
    assert outcomes["dists-weights"] == "no_kernels"
    assert list(verify_folder(synced.dataset)) == []


def test_every_convolution_is_there_bit_for_bit(synced: Synced, corpus: Path) -> None:
    exact = quantised = 0
    for record in records(corpus):
        for golden in record["golden"]:
            where = record["model_id"], golden["name"]
            reason = synced.ledger[where]
            if not golden["conv"] or reason == "raw_copy":
                continue
            if all(size == 1 for size in golden["shape"][2:]):
                assert reason == "pointwise", where
                continue
            assert reason is None, (where, reason)
            weight = synced.stored(*where)
            assert list(weight.shape) == golden["shape"], where
            if golden["dtype"] in ("int8", "uint8"):
                assert np.array_equal(weight, scaled(corpus / record["file"], golden["name"])), where
                quantised += 1
            else:
                digest = hashlib.sha256(np.ascontiguousarray(weight, "<f4").tobytes()).hexdigest()
                assert digest[:32] == golden["sha_f32"], where
                exact += 1
    assert exact > 500
    assert quantised > 10


def test_nothing_is_invented(synced: Synced, corpus: Path) -> None:
    known = {(r["model_id"], golden["name"]) for r in records(corpus) for golden in r["golden"] if golden["conv"]}
    assert synced.index.keys() <= known
    assert {where for where, reason in synced.ledger.items() if reason is None} <= known


def test_of_raw_and_averaged_weights_the_averages_are_emitted(synced: Synced, corpus: Path) -> None:
    pairs = [record["model_id"] for record in records(corpus) if "team23" in record["id"] or "team28" in record["id"]]
    copied = {where for where, reason in synced.ledger.items() if reason == "raw_copy"}
    assert {model_id for model_id, _ in copied} == set(pairs)
    for model_id, tensor in copied:
        assert tensor.startswith("params.")
        assert (model_id, tensor.replace("params.", "params_ema.", 1)) in synced.ledger
