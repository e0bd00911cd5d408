"""Names of arrays in the frameworks that store nothing else: path, leaf, and the arrays of the same module."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.arrays.slots import resolve_slots

# Names of weights: JAX and Keras, Haiku and Chainer, TF-Slim, and everything like torch.
JAX_LEAVES: Final = frozenset(
    {"kernel", "weights", "depthwise_kernel", "depthwise_weights", "pointwise_kernel", "pointwise_weights", "filters"}
)
SHORT_LEAF: Final = "w"
TORCH_LEAF: Final = "weight"
BIAS_LEAVES: Final = ("bias", "b", "biases")
_STATISTICS: Final = frozenset({"moving_mean", "moving_variance", "moving_var", "avg_mean", "avg_var"})
# Names that NumPy gives arrays without one, and places in a list.
_ANONYMOUS: Final = re.compile(r"(arr_)?(\d+)")
# Names that Flax gives modules: `Conv_0`, `BatchNorm_1`.
_FLAX_MODULE: Final = re.compile(r"[A-Z][A-Za-z0-9]*_\d+")
# Blobs of Caffe2: `conv1_w`, `conv1_b`.
_BLOB: Final = re.compile(r"(\w+)_([wb])")
# Containers of moments in the training states of Flax, Optax and Haiku.
_OPTIMIZER: Final = frozenset({"opt_state", "optimizer", "optimizer_state"})


@dataclass(frozen=True, kw_only=True)
class NamedArray:
    """An array and what its name says.

    Attributes:
        tensor: The array, its axes in the order of the file.
        module: Components of the name above the leaf.
        leaf: Last component in lower case, without the `:0` of TensorFlow.
    """

    tensor: StoredTensor
    module: tuple[str, ...]
    leaf: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the file."""
        return self.tensor.shape

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return self.tensor.dtype

    @property
    def path(self) -> str:
        """Components above the leaf, joined by slashes."""
        return "/".join(self.module)

    @property
    def is_anonymous(self) -> bool:
        """Whether it has no name but its number in the file."""
        return _ANONYMOUS.fullmatch(self.leaf) is not None

    @property
    def in_optimizer(self) -> bool:
        """Whether it is part of the state of an optimizer."""
        return not _OPTIMIZER.isdisjoint(self.module[:2])


@dataclass(frozen=True, kw_only=True)
class ArrayNames:
    """All arrays of a file by name.

    Attributes:
        arrays: The arrays in the order of the file.
        modules: Arrays by module and leaf.
        children: Names of the submodules of each module.
    """

    arrays: tuple[NamedArray, ...]
    modules: Mapping[tuple[str, ...], Mapping[str, NamedArray]]
    children: Mapping[tuple[str, ...], frozenset[str]] = field(default_factory=dict)

    def bias(self, array: NamedArray) -> tuple[int, ...] | None:
        """Return the shape of the bias beside a weight, None if there is none; in a list it is the vector behind it."""
        siblings = self.modules[array.module]
        if place := _ANONYMOUS.fullmatch(array.leaf):
            following = siblings.get(f"{place[1] or ''}{int(place[2]) + 1}")
            is_bias = following is not None and len(following.shape) == 1 and following.dtype == array.dtype
            return following.shape if following is not None and is_bias else None
        return next((siblings[leaf].shape for leaf in BIAS_LEAVES if leaf in siblings), None)

    @property
    def named_by_flax(self) -> bool:
        """Whether every kernel belongs to a module with a default name of Flax."""
        weights = [array for array in self.arrays if array.leaf == "kernel"]
        return bool(weights) and all(
            ":" not in array.tensor.name and array.module and _FLAX_MODULE.fullmatch(array.module[-1])
            for array in weights
        )

    def is_attention(self, array: NamedArray) -> bool:
        """Return whether a module is one of the projections of an attention: query, key, value and the output."""
        return {"query", "key", "value"} <= self.children.get(array.module[:-1], frozenset())


def path_separator(names: Iterable[str]) -> str:
    """Return what separates the components of names: a slash, or two underscores where there is nothing else."""
    names = tuple(names)
    plain = not any("/" in name or "." in name for name in names)
    return "__" if plain and any(name.endswith("__kernel") for name in names) else "/"


def parse_names(tensors: Iterable[StoredTensor]) -> ArrayNames:
    """Return the arrays of a file by name; components are separated by slashes and dots, or by two underscores."""
    tensors = tuple(tensors)
    separator = "__" if path_separator(tensor.name for tensor in tensors) == "__" else "[/.]"
    arrays: list[NamedArray] = []
    modules: dict[tuple[str, ...], dict[str, NamedArray]] = {}
    children: dict[tuple[str, ...], set[str]] = {}
    for tensor, variable in resolve_slots(tensors):
        *above, last = re.split(separator, variable)
        if blob := _BLOB.fullmatch(last):
            above, last = [*above, blob[1]], blob[2]
        array = NamedArray(tensor=tensor, module=tuple(above), leaf=re.sub(r":\d+$", "", last).lower())
        arrays.append(array)
        modules.setdefault(array.module, {})[array.leaf] = array
        if above:
            children.setdefault(array.module[:-1], set()).add(above[-1].lower())
    return ArrayNames(
        arrays=tuple(arrays), modules=modules, children={path: frozenset(names) for path, names in children.items()}
    )


def reason_by_name(array: NamedArray, names: ArrayNames) -> str | None:
    """Return the reason of the ledger for an array that is no kernel, where the conventions of JAX and Keras tell."""
    rank, siblings = len(array.shape), names.modules[array.module]
    if rank == 0:
        return None
    if array.leaf in _STATISTICS or (array.leaf in ("gamma", "beta") and {"gamma", "beta"} <= siblings.keys()):
        return "norm"
    if array.leaf in BIAS_LEAVES and rank == 1:
        return "bias"
    if rank == 2 and (array.leaf in JAX_LEAVES or array.leaf == SHORT_LEAF):
        return "linear"
    return "embedding" if rank == 2 and array.leaf in ("embedding", "embeddings") else None
