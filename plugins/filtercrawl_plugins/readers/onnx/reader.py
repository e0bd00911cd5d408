"""Reads ONNX models: structure first, numbers only where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.source import Files
from filtercrawl.api.tensor import FLOAT_DTYPES, StoredTensor
from filtercrawl_plugins.readers.onnx.detect import looks_like_onnx
from filtercrawl_plugins.readers.onnx.graph.parse import read_model
from filtercrawl_plugins.readers.onnx.graph.tensor_names import NamedTensor, name_tensors
from filtercrawl_plugins.readers.onnx.tensors.dtypes import dtype_of
from filtercrawl_plugins.readers.onnx.tensors.storage import TensorStorage, external_paths, tensor_context
from filtercrawl_plugins.readers.onnx.usage.convolution import read_convolution
from filtercrawl_plugins.readers.onnx.usage.depth import compute_depths
from filtercrawl_plugins.readers.onnx.usage.quantization import read_quantization
from filtercrawl_plugins.readers.onnx.usage.weight_uses import ConvolutionUse, TensorUsage, collect_uses


class OnnxReader:
    """Reads every tensor of an ONNX model. A tensor has either a convolution that uses it, or a reason."""

    name = "onnx"

    def can_read(self, file: RandomAccessFile) -> bool:
        return looks_like_onnx(file)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Name the external data files in the order of the tensors; raises CheckpointError as they do."""
        return external_paths(file, (tensor.tensor for tensor in name_tensors(read_model(file), file.name)))

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor in the order of the file; raises CheckpointError.

        name: as `graph.tensor_names.named` says. layer: the node of the first convolution that
        uses it, or its own name without `.weight` where that node has none.
        """
        model = read_model(files.main)
        uses = collect_uses(model, files.main.name)
        deep = compute_depths(model, files.main.name)
        storage = TensorStorage(files)
        for tensor in name_tensors(model, files.main.name):
            stored = _stored(tensor, uses, storage, files.main)
            yield replace(stored, depth=deep.get(tensor.tensor.message.start)) if stored.convolution else stored


def _stored(tensor: NamedTensor, uses: TensorUsage, storage: TensorStorage, file: RandomAccessFile) -> StoredTensor:
    held = tensor.tensor
    start = held.message.start
    extent = storage.locate(held)
    dtype = dtype_of(held)
    stored = StoredTensor(name=tensor.name, key=tensor.name, shape=held.shape, dtype=dtype, location=extent)
    if dtype == "string":
        return replace(stored, reason="constant")
    if extent is None:
        return replace(stored, reason="unreadable")
    if dtype.startswith("complex"):
        return replace(stored, reason="complex")
    if not math.prod(held.shape):
        return replace(stored, reason="empty")
    if tensor.training:
        return replace(stored, reason="optimizer_state")
    use = uses.convolutions.get(start)
    if use is None:
        return replace(stored, reason=uses.roles.get(start, "constant"))
    try:
        return _weight(stored, use, uses.n_calls[start], storage)
    except FormatError as error:
        raise FormatError(f"{tensor_context(file, held)} {error}; fetch it again") from error


def _weight(stored: StoredTensor, use: ConvolutionUse, n_calls: int, storage: TensorStorage) -> StoredTensor:
    if not 3 <= len(stored.shape) <= 5:
        return replace(stored, reason="nonstandard_operator")
    codes = None
    if stored.dtype not in FLOAT_DTYPES or stored.dtype.startswith("float8"):
        codes = read_quantization(use, storage)
        if codes is None and stored.dtype not in FLOAT_DTYPES:
            return replace(stored, reason="quantized_codes")
    return replace(
        stored,
        layer=use.node.name or stored.name.removesuffix(".weight"),
        convolution=read_convolution(use, n_calls),
        quantization=codes,
        notes=("fake_quantized",) if use.origin.fake_quantized else (),
    )
