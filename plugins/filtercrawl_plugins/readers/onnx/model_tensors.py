"""The tensors of an ONNX model: structure first, numbers only on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.convolution import Depth
from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.lazy_tensor import Stored
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.onnx.graph.parse import read_model
from filtercrawl_plugins.readers.onnx.graph.tensor_names import NamedTensor, name_tensors
from filtercrawl_plugins.readers.onnx.tensors.dtypes import dtype_of
from filtercrawl_plugins.readers.onnx.tensors.storage import TensorStorage, tensor_context
from filtercrawl_plugins.readers.onnx.usage.constant_folding import ConstantFolder
from filtercrawl_plugins.readers.onnx.usage.convolution import read_convolution
from filtercrawl_plugins.readers.onnx.usage.depth import compute_depths
from filtercrawl_plugins.readers.onnx.usage.effective_weight import EffectiveWeight, WeightResolver, weight_notes
from filtercrawl_plugins.readers.onnx.usage.following_norm import NormFinder
from filtercrawl_plugins.readers.onnx.usage.weight_uses import ConvolutionUse, TensorUsage, collect_uses

# Elements of all weights together, relative to those of all tensors, plus a constant: weights may be slices of one
# tensor, used in several layouts, or expanded, but only up to a point.
MAX_COMPUTED_RATIO: Final = 8
MAX_COMPUTED_EXTRA: Final = 1 << 28


def model_tensors(files: Files) -> Iterator[StoredTensor]:
    """Yield every tensor in the order of the file; raises CheckpointError."""
    budget = Budget(files.main)
    model = read_model(files.main, budget)
    storage = TensorStorage(files, budget)
    resolver = WeightResolver(ConstantFolder(storage))
    named_tensors = name_tensors(model, budget)
    uses = collect_uses(model, resolver, budget)
    depths = compute_depths(model, resolver, budget)
    _check_computed(uses, named_tensors, files.main)
    norms = NormFinder.of_model(model, named_tensors, budget)
    for named in named_tensors:
        stored = _to_stored_tensor(named, _Usage(uses=uses, depths=depths, norms=norms), storage, files.main)
        yield replace(stored, eps=norms.eps.get(named.tensor.message.start))


def _check_computed(uses: TensorUsage, tensors: list[NamedTensor], file: RandomAccessFile) -> None:
    """Raise UnsafeFileError if all weights together have far more elements than the file stores."""
    stored = sum(math.prod(named.tensor.shape) for named in tensors)
    computed = sum(weight.value.numel for weights in uses.convolutions.values() for weight in weights)
    if computed > MAX_COMPUTED_RATIO * stored + MAX_COMPUTED_EXTRA:
        raise UnsafeFileError(f"{file.name}: computes weights of {computed} numbers from {stored} that it stores")


@dataclass(frozen=True, kw_only=True)
class _Usage:
    """What the graph shows of its tensors: uses, depths of convolutions, and normalizations behind them."""

    uses: TensorUsage
    depths: Mapping[EffectiveWeight, Depth]
    norms: NormFinder


def _to_stored_tensor(
    named: NamedTensor, usage: _Usage, storage: TensorStorage, file: RandomAccessFile
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
    found = usage.uses.convolutions.get(start)
    if found is None:
        return replace(stored, reason=usage.uses.roles.get(start, "constant"), rule="graph")
    try:
        layers = [_with_convolution(stored, use, usage) for use in found.values()]
    except FormatError as error:
        raise FormatError(f"{tensor_context(file, tensor)} {error}; fetch it again") from error
    convolutions = [layer for layer in layers if layer.convolution is not None]
    if len(convolutions) <= 1:
        return (convolutions or layers)[0]
    parts = tuple(replace(layer, bank_index=index) for index, layer in enumerate(convolutions))
    return replace(convolutions[0], parts=parts)


def _with_convolution(stored: StoredTensor, use: ConvolutionUse, usage: _Usage) -> StoredTensor:
    weight = use.weight.value
    if not 3 <= len(weight.shape) <= 5:
        return replace(stored, reason="nonstandard_operator", rule="operator_shape")
    output = usage.norms.output(use, stored.name)
    return replace(
        stored,
        layer=use.node.name or stored.name.removesuffix(".weight"),
        convolution=read_convolution(use),
        weight=None if isinstance(weight, Stored) and weight.location == stored.location else weight,
        notes=weight_notes(weight),
        depth=usage.depths.get(use.weight),
        norm=output.norm,
        bias=output.bias,
        bn_folded=output.bn_folded,
    )
