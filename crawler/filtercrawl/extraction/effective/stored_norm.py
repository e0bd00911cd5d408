"""The modules of a checkpoint, and the batch normalizations among them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl.extraction.effective.recipe import Norm
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.state_dict_names import split_raw_parameter_name
from filtercrawl.extraction.to_float32 import read_float32

Root = tuple[str, ...]
ModuleKey = tuple[Root, str]

# Names of scale, offset, mean and variance: torch, Keras, Paddle.
_LEAVES: Final = (
    ("weight", "bias", "running_mean", "running_var"),
    ("gamma", "beta", "moving_mean", "moving_variance"),
    ("weight", "bias", "_mean", "_variance"),
)


class StoredModules:
    """The tensors of a checkpoint by module: a container and a path in it, wrappers included."""

    def __init__(self, tensors: Iterable[StoredTensor]) -> None:
        self.tensors = tuple(tensors)
        self.by_name = {tensor.name: tensor for tensor in self.tensors}
        self._modules: dict[ModuleKey, dict[str, StoredTensor]] = defaultdict(dict)
        self._sorted: dict[Root, list[str]] = {}
        for tensor in self.tensors:
            path, leaf = split_raw_parameter_name(tensor.key)
            self._modules[tensor.root, path].setdefault(leaf, tensor)

    def module(self, root: Root, path: str) -> Mapping[str, StoredTensor]:
        """Return the tensors of a module by the names of its parameters; empty if there is no such module."""
        return self._modules.get((root, path), {})

    def below(self, root: Root, prefix: str) -> Iterator[str]:
        """Yield the paths of the modules whose paths begin with a prefix."""
        if root not in self._sorted:
            self._sorted[root] = sorted(path for own, path in self._modules if own == root)
        paths = self._sorted[root]
        for i in range(bisect_left(paths, prefix), len(paths)):
            if not paths[i].startswith(prefix):
                return
            yield paths[i]

    def beside(self, tensor: StoredTensor, leaf: str) -> StoredTensor | None:
        """Return another tensor of the module of a tensor."""
        return self.module(*module_key(tensor)).get(leaf)

    def norm(self, root: Root, path: str, channels: int | None = None) -> StoredNorm | None:
        """Return the batch normalization that a module is.

        Args:
            root: Container.
            path: Module path.
            channels: Number of channels that it must have; None for any.

        Returns:
            The normalization; None if the module has no running statistics, or its sizes disagree.
        """
        leaves = self.module(root, path)
        for scale, offset, mean, variance in _LEAVES:
            if mean in leaves and variance in leaves:
                found = StoredNorm(
                    path=path,
                    evidence="names",
                    scale=leaves.get(scale),
                    offset=leaves.get(offset),
                    mean=leaves[mean],
                    variance=leaves[variance],
                )
                return found if found.is_consistent(channels) else None
        return None

    def stated_norm(self, norm: FollowingNorm, channels: int) -> StoredNorm | None:
        """Return the normalization that a graph states; None if its numbers are not in the checkpoint."""
        mean, variance = self.by_name.get(norm.mean or ""), self.by_name.get(norm.variance or "")
        scale, offset = self.by_name.get(norm.scale or ""), self.by_name.get(norm.offset or "")
        if mean is None or variance is None or (norm.scale and not scale) or (norm.offset and not offset):
            return None
        found = StoredNorm(path=norm.path, evidence="graph", scale=scale, offset=offset, mean=mean, variance=variance)
        return found if found.is_consistent(channels) else None


@dataclass(frozen=True, kw_only=True)
class StoredNorm:
    """A batch normalization whose numbers have not been read; attributes as those of `Norm`."""

    path: str
    evidence: Literal["graph", "names"]
    scale: StoredTensor | None
    offset: StoredTensor | None
    mean: StoredTensor
    variance: StoredTensor

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.mean.shape[0] if len(self.mean.shape) == 1 else 0

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """The tensors that hold its numbers."""
        return tuple(one for one in (self.scale, self.offset, self.mean, self.variance) if one is not None)

    def is_consistent(self, channels: int | None) -> bool:
        """Return whether each tensor has one number for each of `channels`, and can be read."""
        size = self.channels if channels is None else channels
        return size > 0 and all(tensor.shape == (size,) and is_readable(tensor) for tensor in self.tensors)

    def read(self) -> Norm:
        """Read the numbers; raises CheckpointError if the file does not hold them."""
        return Norm(
            path=self.path,
            evidence=self.evidence,
            eps=self.variance.eps,
            scale=None if self.scale is None else read_numbers(self.scale),
            offset=None if self.offset is None else read_numbers(self.offset),
            mean=read_numbers(self.mean),
            variance=read_numbers(self.variance),
        )


def module_key(tensor: StoredTensor) -> ModuleKey:
    """Return the module of a tensor."""
    return tensor.root, split_raw_parameter_name(tensor.key)[0]


def is_readable(tensor: StoredTensor) -> bool:
    """Return whether a tensor holds numbers that can be read as they are."""
    return tensor.location is not None and tensor.dtype in FLOAT_DTYPES and tensor.quantization is None


def read_numbers(tensor: StoredTensor) -> NDArray[np.float32]:
    """Read a small stored tensor, in the order of the file; raises CheckpointError if the file does not hold it."""
    assert tensor.location is not None
    whole = tuple((0, size) for size in tensor.shape)
    return read_float32(tensor.location, whole).numpy()


def is_graph(layer: Layer) -> bool:
    """Return whether the file is a graph that shows which bias a convolution has, and what takes its output."""
    convolution = layer.tensor.convolution
    return convolution is not None and convolution.source == "onnx_graph"


def shows_output(layer: Layer) -> bool:
    """Return whether a graph shows what takes the output of a convolution: that of the file, or a network that ran."""
    convolution = layer.tensor.convolution
    ran = convolution is not None and convolution.source == "module" and layer.tensor.depth is not None
    return ran or is_graph(layer)


def bias_of(layer: Layer, modules: StoredModules) -> StoredTensor | None:
    """Return the bias of a convolution, one number an output channel; None if it has none."""
    if layer.tensor.bias is not None or is_graph(layer):
        bias = modules.by_name.get(layer.tensor.bias or "")
    else:
        bias = modules.beside(layer.tensor, "bias")
    return bias if bias is not None and bias.shape == (layer.out_channels,) and is_readable(bias) else None
