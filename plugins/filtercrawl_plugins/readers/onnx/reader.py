"""The reader of ONNX models: structure first, numbers of tensors only on demand."""

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
    """Reads every tensor of an ONNX model: each has the convolution that uses it, or a reason why it is no kernel."""

    name = "onnx"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file starts like an ONNX model; see `looks_like_onnx`."""
        return looks_like_onnx(file)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return the external data files in the order of the tensors; raises CheckpointError."""
        return external_paths(file, (tensor.tensor for tensor in name_tensors(read_model(file), file.name)))

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor in the order of the file; raises CheckpointError.

        Names are those of `graph.tensor_names.name_tensors`. The layer of a weight is the name of the first node that
        convolves with it, or the tensor's name without `.weight` if the node has no name.
        """
        model = read_model(files.main)
        uses = collect_uses(model, files.main.name)
        depths = compute_depths(model, files.main.name)
        storage = TensorStorage(files)
        for tensor in name_tensors(model, files.main.name):
            stored = _to_stored_tensor(tensor, uses, storage, files.main)
            yield replace(stored, depth=depths.get(tensor.tensor.message.start)) if stored.convolution else stored


def _to_stored_tensor(
    named: NamedTensor, uses: TensorUsage, storage: TensorStorage, file: RandomAccessFile
) -> StoredTensor:
    tensor = named.tensor
    start = tensor.message.start
    location = storage.locate(tensor)
    dtype = dtype_of(tensor)
    stored = StoredTensor(name=named.name, key=named.name, shape=tensor.shape, dtype=dtype, location=location)
    if dtype == "string":
        return replace(stored, reason="constant")
    if location is None:
        return replace(stored, reason="unreadable")
    if dtype.startswith("complex"):
        return replace(stored, reason="complex")
    if not math.prod(tensor.shape):
        return replace(stored, reason="empty")
    if named.training:
        return replace(stored, reason="optimizer_state")
    use = uses.convolutions.get(start)
    if use is None:
        return replace(stored, reason=uses.roles.get(start, "constant"))
    try:
        return _with_convolution(stored, use, uses.n_calls[start], storage)
    except FormatError as error:
        raise FormatError(f"{tensor_context(file, tensor)} {error}; fetch it again") from error


def _with_convolution(stored: StoredTensor, use: ConvolutionUse, n_calls: int, storage: TensorStorage) -> StoredTensor:
    if not 3 <= len(stored.shape) <= 5:
        return replace(stored, reason="nonstandard_operator")
    quantization = None
    if stored.dtype not in FLOAT_DTYPES or stored.dtype.startswith("float8"):
        quantization = read_quantization(use, storage)
        if quantization is None and stored.dtype not in FLOAT_DTYPES:
            return replace(stored, reason="quantized_codes")
    return replace(
        stored,
        layer=use.node.name or stored.name.removesuffix(".weight"),
        convolution=read_convolution(use, n_calls),
        quantization=quantization,
        notes=("fake_quantized",) if use.origin.fake_quantized else (),
    )
