"""Writes the checkpoints of the ranges benchmark: each network in each format, kept for the next run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper
from range_golden import FORMATS, Golden, golden
from range_models import Model, build
from safetensors.torch import save_file

__all__ = ["FORMATS", "Written", "golden", "write"]

_SHARDED: Final = ("convnext_tiny",)
_SHARDS: Final = 4
_RECORD: Final = "written.json"


@dataclass(frozen=True, kw_only=True)
class Written:
    """One checkpoint on disk.

    main: its main file; sizes: of all its files. Paths are relative to the folder of all checkpoints. kernels: where
    the numbers of its spatial kernels lie, by file.
    """

    model: str
    form: str
    main: str
    sizes: Mapping[str, int]
    kernels: Mapping[str, Sequence[tuple[int, int]]]

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    @property
    def wanted(self) -> int:
        return sum(stop - start for ranges in self.kernels.values() for start, stop in ranges)


def write(folder: Path, models: Sequence[str], forms: Sequence[str]) -> Iterator[Written]:
    """Yield every checkpoint, written into `folder` unless it is there; sharded ones of one network alone."""
    for name in models:
        model: Model | None = None
        for form in forms:
            if form.startswith("sharded") and name not in _SHARDED:
                continue
            if not (folder / name / form / _RECORD).exists():
                model = model or build(name)
                _write(folder, model, form)
            yield _read(folder, name, form)


def _read(folder: Path, name: str, form: str) -> Written:
    return Written(**json.loads((folder / name / form / _RECORD).read_bytes()))


def _write(folder: Path, model: Model, form: str) -> None:
    """Write one checkpoint; its record comes last, so that what is half-written is written again."""
    place = folder / model.name / form
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    main = _WRITERS[form](place, model)
    beside = f"{model.name}/{form}/"
    kernels: Golden = golden(main, form, model.kernels)
    written = Written(
        model=model.name,
        form=form,
        main=beside + main.name,
        sizes={beside + file.name: file.stat().st_size for file in sorted(place.iterdir())},
        kernels={beside + name: ranges for name, ranges in kernels.items()},
    )
    assert written.wanted == sum(model.state[name].nbytes for name in model.kernels)
    (place / _RECORD).write_text(json.dumps(asdict(written)), encoding="utf-8")


def _safetensors(place: Path, model: Model) -> Path:
    path = place / "model.safetensors"
    save_file(dict(model.state), path, {"format": "pt"})
    return path


def _torch(place: Path, model: Model, *, zipped: bool) -> Path:
    path = place / "pytorch_model.bin"
    torch.save(dict(model.state), path, _use_new_zipfile_serialization=zipped)
    return path


def _npz(place: Path, model: Model) -> Path:
    path = place / "model.npz"
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in model.state.items()}
    np.savez(path, **arrays)
    return path


def _sharded(place: Path, model: Model, *, stem: str, suffix: str, save: Callable[..., object]) -> Path:
    """Shards as the Hub has them: filled one after the other, and an index beside them."""
    full = sum(tensor.nbytes for tensor in model.state.values())
    shards: list[dict[str, torch.Tensor]] = [{} for _ in range(_SHARDS)]
    before = 0
    for name, tensor in model.state.items():
        shards[min(before * _SHARDS // full, _SHARDS - 1)][name] = tensor
        before += tensor.nbytes
    names = [f"{stem}-{number:05}-of-{_SHARDS:05}{suffix}" for number in range(1, _SHARDS + 1)]
    for name, shard in zip(names, shards, strict=True):
        save(shard, place / name)
    where = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    index = place / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": full}, "weight_map": where}, indent=2), encoding="utf-8")
    return index


def _onnx(place: Path, model: Model, *, external: bool) -> Path:
    """A chain of nodes, one for each weight, and all initializers behind them in the order of the state dict."""
    state = {name: tensor for name, tensor in model.state.items() if tensor.is_floating_point()}
    element = helper.np_dtype_to_tensor_dtype(next(iter(state.values())).numpy().dtype)
    nodes = list(_nodes(model, state))
    initializers = [
        helper.make_tensor(name, element, tensor.shape, tensor.numpy().tobytes(), raw=True)
        for name, tensor in state.items()
    ]
    ends = [helper.make_tensor_value_info(name, element, None) for name in ("x0", f"x{len(nodes)}")]
    graph = helper.make_graph(nodes, model.name, ends[:1], ends[1:], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="range_files")
    path = place / "model.onnx"
    onnx.save_model(proto, path, save_as_external_data=external, location="model.onnx.data")
    return path


def _nodes(model: Model, state: Mapping[str, torch.Tensor]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes, in an order as good as any: what is read of them is what they do with their weights."""
    number = 0
    for name, tensor in state.items():
        if name.endswith(".bias") and f"{name.removesuffix('bias')}weight" in state:
            continue  # goes with its weight
        bias = f"{name.removesuffix('weight')}bias"
        inputs = [f"x{number}", name, *([bias] if name.endswith(".weight") and bias in state else [])]
        path = "/" + name.rpartition(".")[0].replace(".", "/")
        if name in model.groups:
            about: dict[str, Any] = {"kernel_shape": list(tensor.shape[2:]), "group": model.groups[name]}
            yield helper.make_node("Conv", inputs, [f"x{number + 1}"], f"{path}/Conv", **about)
        elif tensor.dim() == 2:
            yield helper.make_node("Gemm", inputs, [f"x{number + 1}"], f"{path}/Gemm", transB=1)
        elif len(inputs) == 3:
            yield helper.make_node("LayerNormalization", inputs, [f"x{number + 1}"], f"{path}/LayerNormalization")
        else:
            yield helper.make_node("Mul", inputs, [f"x{number + 1}"], f"{path}/Mul")
        number += 1


_WRITERS: Final[Mapping[str, Callable[[Path, Model], Path]]] = {
    "safetensors": _safetensors,
    "torch": partial(_torch, zipped=True),
    "legacy": partial(_torch, zipped=False),
    "npz": _npz,
    "onnx": partial(_onnx, external=False),
    "onnx-external": partial(_onnx, external=True),
    "sharded-safetensors": partial(_sharded, stem="model", suffix=".safetensors", save=save_file),
    "sharded-torch": partial(_sharded, stem="pytorch_model", suffix=".bin", save=torch.save),
}
assert _WRITERS.keys() == FORMATS.keys()
