"""Pair convolutions with the batch normalizations that follow them, by names, sizes and the order of the file.

For files without a graph. Three rules, none of which may contradict another: equal names (`conv1` and `bn1`), the next
place of a Sequential (`features.0` and `features.1`), and the next module in the order in which a network registers its
modules. A pair of names counts only if it holds wherever the checkpoint has it: in a network that normalizes before it
convolves, `norm1` comes before `conv1` and has the size of its input.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl.extraction.effective.stored_norm import ModuleKey, Root, StoredModules, StoredNorm, module_key
from filtercrawl.extraction.layer import Layer

_CONV: Final = re.compile(r"conv(?!t)")
_NORM_WORDS: Final = ("bn", "norm", "batchnorm", "batch_norm")
# Names of convolutions without the word, in timm's and Facebook's LeViT and in networks derived from it.
_SHORT: Final = frozenset({"c", "linear"})
_TRANSPOSED: Final = re.compile(r"deconv|transpose|convt|upconv|upsample", re.IGNORECASE)


@dataclass(frozen=True)
class _Pair:
    conv: ModuleKey
    norm: ModuleKey


def norms_by_name(layers: Sequence[Layer], modules: StoredModules) -> dict[ModuleKey, StoredNorm]:
    """Return the normalization that follows each convolution, by the module of the convolution.

    Args:
        layers: The convolutions of a checkpoint.
        modules: Its tensors.
    """
    convolutions = {module_key(layer.tensor): layer for layer in layers if _is_plain(layer)}
    order = _Order(modules)
    found: dict[ModuleKey, set[ModuleKey]] = defaultdict(set)
    pairs = chain(
        _equal_names(convolutions, modules, order),
        _next_places(convolutions, modules),
        _next_registered(convolutions, modules, order),
    )
    for pair in pairs:
        found[pair.conv].add(pair.norm)
    chosen = {conv: next(iter(norms)) for conv, norms in found.items() if len(norms) == 1}
    users = Counter(chosen.values())
    named = {conv: modules.norm(*norm) for conv, norm in chosen.items() if users[norm] == 1}
    return {conv: norm for conv, norm in named.items() if norm is not None}


def _is_plain(layer: Layer) -> bool:
    """Return whether the first axis of a weight is certainly the output: transposed ones are recognized by names.

    A square weight with an even number of taps is one that may be transposed.
    """
    if layer.tensor.bank_index is not None or not layer.filters_known:
        return False
    square = layer.shape[0] == layer.shape[1] and all(size % 2 == 0 for size in layer.kernel_size)
    return layer.operator_verified or not (square or _TRANSPOSED.search(layer.path))


def _fits(layer: Layer, norm: ModuleKey, modules: StoredModules) -> bool:
    return modules.norm(*norm, layer.out_channels) is not None


class _Order:
    """The order of the modules in a checkpoint, in each container; None where the file is sorted by name."""

    def __init__(self, modules: StoredModules) -> None:
        keys: dict[Root, list[str]] = defaultdict(list)
        self._places: dict[ModuleKey, int] = {}
        self._following: dict[ModuleKey, ModuleKey] = {}
        last: dict[Root, ModuleKey] = {}
        for tensor in modules.tensors:
            if tensor.dtype not in FLOAT_DTYPES:
                continue  # counters, which some formats store apart
            keys[tensor.root].append(tensor.key)
            own = module_key(tensor)
            if own not in self._places:
                self._places[own] = len(self._places)
                if tensor.root in last:
                    self._following[last[tensor.root]] = own
                last[tensor.root] = own
        self._sorted = {root for root, names in keys.items() if names == sorted(names)}

    def comes_before(self, one: ModuleKey, other: ModuleKey) -> bool | None:
        """Return whether a module is registered before another one; None where the order is not kept."""
        return None if one[0] in self._sorted else self._places[one] < self._places[other]

    def following(self, module: ModuleKey) -> ModuleKey | None:
        """Return the module that is registered next; None where there is none, or the order is not kept."""
        return None if module[0] in self._sorted else self._following.get(module)


def _equal_names(convolutions: Mapping[ModuleKey, Layer], modules: StoredModules, order: _Order) -> Iterator[_Pair]:
    """Yield pairs such as `conv1` and `bn1` below one module.

    A pair of names counts if it holds wherever it occurs. That a network normalizes after it convolves is shown by one
    of its pairs of names, and holds for all that are built with the same word, such as `bn`, if these hold too; where
    the order is lost, none counts unless all hold.
    """
    schemes: dict[tuple[Root, str], dict[str, list[_Pair]]] = defaultdict(lambda: defaultdict(list))
    for root, path in convolutions:
        parent, dot, leaf = path.rpartition(".")
        for word, name in _norm_names(leaf).items():
            norm = root, f"{parent}{dot}{name}"
            if modules.norm(*norm) is not None:
                schemes[root, word][leaf].append(_Pair((root, path), norm))
    for groups in schemes.values():
        fitting = {leaf for leaf, pairs in groups.items()
                   if all(_fits(convolutions[pair.conv], pair.norm, modules) for pair in pairs)}  # fmt: skip
        shown = {leaf for leaf in fitting if _normalizes_after(groups[leaf], convolutions, order)}
        places = [order.comes_before(pair.conv, pair.norm) for pairs in groups.values() for pair in pairs]
        if len(fitting) == len(groups) and shown and False not in places:
            shown = fitting
        elif None in places:
            shown = set()
        for leaf in shown:
            yield from groups[leaf]


def _norm_names(leaf: str) -> dict[str, str]:
    """Return the names that the normalization after a convolution may have, by the word that they are built with."""
    if leaf in _SHORT:
        return {"bn": "bn"}
    return {word: _CONV.sub(word, leaf, count=1) for word in _NORM_WORDS} if _CONV.search(leaf) else {}


def _normalizes_after(pairs: Sequence[_Pair], convolutions: Mapping[ModuleKey, Layer], order: _Order) -> bool:
    """Return whether normalizations come after the convolutions of their names: by the order, else by a size."""
    before = [order.comes_before(pair.conv, pair.norm) for pair in pairs]
    if None not in before:
        return all(before)
    layers = [convolutions[pair.conv] for pair in pairs]
    return any(layer.shape[1] not in (1, layer.out_channels) and layer.groups in (1, None) for layer in layers)


def _next_places(convolutions: Mapping[ModuleKey, Layer], modules: StoredModules) -> Iterator[_Pair]:
    """Yield pairs such as `features.0` and `features.1`."""
    for (root, path), layer in convolutions.items():
        parent, dot, place = path.rpartition(".")
        if place.isdecimal():
            norm = root, f"{parent}{dot}{int(place) + 1}"
            if _fits(layer, norm, modules):
                yield _Pair((root, path), norm)


def _next_registered(convolutions: Mapping[ModuleKey, Layer], modules: StoredModules, order: _Order) -> Iterator[_Pair]:
    """Yield pairs of modules below one parent that are registered one after the other, such as `conv_pw` and `bn1`.

    In a Sequential there may be others without numbers between them. A normalization without a number behind a
    numbered convolution is often that of a sum, or comes after the activation.
    """
    for conv, layer in convolutions.items():
        norm = order.following(conv)
        if norm is None or _parent(norm) != _parent(conv) or not _fits(layer, norm, modules):
            continue
        leaf, norm_leaf = conv[1].rpartition(".")[2], norm[1].rpartition(".")[2]
        if not leaf.isdecimal() and (norm_leaf[-1].isdecimal() or not leaf[-1].isdecimal()):
            yield _Pair(conv, norm)


def _parent(module: ModuleKey) -> str:
    return module[1].rpartition(".")[0]
