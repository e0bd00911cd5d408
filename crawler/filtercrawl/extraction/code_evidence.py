"""Which tensors hold codes and which belong to a scale, by names, whatever library wrote them.

A scale says that the numbers beside it are no weights yet, also where nobody knows how it is applied.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import is_weight_quantizer

CODE_DTYPES: Final = frozenset({"int8", "uint8", "int16", "int32"})
# Names of codes that may be packed, several in a number: without a scale they are no weights, whatever their shape.
PACKED: Final = ("weight._data", "weight._data._data", "weight_packed", "qweight", "W_q")
# States of bitsandbytes.
QUANT_STATES: Final = ("weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4")
# Names beside a `weight` of bytes that say that each byte holds two numbers; the last is that of NVFP4.
_HALVES: Final = frozenset({*QUANT_STATES, "weight_scale_2"})
# Names of weights, and what libraries add to them for codes.
_CODES: Final = re.compile(
    r"^(q_?|u?int\d*_?|quantized_)?(weights?|kernel|filters?|w)(_(q|quantized|u?int\d+|fp8|idx|indices|codes))?$",
    re.IGNORECASE,
)
# Last parts of names that say how codes become numbers, and those that speak of other tensors.
_SCALE: Final = re.compile(r"scal(e|ing)|(^|_)(abs|a)max($|_)|codebook|centroids|zero_point", re.IGNORECASE)
_OTHER: Final = re.compile(r"(^|_)(in|input|out|output|act|activation|bias|a|x|y)s?(_|$)", re.IGNORECASE)
_SCALES_CONTAINER: Final = re.compile(r"(^|_)(scales?|scaling)$", re.IGNORECASE)

Root = tuple[str, ...]
Module = Mapping[str, StoredTensor]
# Containers, None for any, and the path of a module or tensor in them.
_Place = tuple[Root | None, str]


@dataclass(frozen=True, kw_only=True)
class CodeEvidence:
    """Where a checkpoint holds scales and codes.

    Attributes:
        scaled: Modules and tensors that a scale or a codebook belongs to.
        coded: Modules that hold codes.
    """

    scaled: frozenset[_Place]
    coded: frozenset[_Place]

    def is_state(self, tensor: StoredTensor, module: str, leaf: str) -> bool:
        """Return whether a tensor says how the codes of its module become numbers."""
        return bool(_SCALE.search(leaf)) and self.has_codes(tensor, module)

    def has_codes(self, tensor: StoredTensor, module: str) -> bool:
        """Return whether the module of a tensor holds codes."""
        return (tensor.root, module) in self.coded

    def is_scaled(self, tensor: StoredTensor, module: str, leaf: str) -> bool:
        """Return whether a tensor holds codes, by its name and a scale for it.

        Matrices called `weight` are left alone, and what a graph convolves with.
        """
        stated = tensor.weight is not None or (tensor.convolution is not None and tensor.convolution.source != "module")
        if stated or not _holds_codes(leaf, tensor) or (leaf == "weight" and len(tensor.shape) < 3):
            return False
        own: tuple[_Place, ...] = ((tensor.root, module), (tensor.root, tensor.key), (None, tensor.key))
        return not self.scaled.isdisjoint(own)


def code_evidence(modules: Mapping[tuple[Root, str], Module]) -> CodeEvidence:
    """Return where a checkpoint holds scales and codes.

    Args:
        modules: Its tensors by container and module, and in a module by the names of the parameters.
    """
    coded = (place for place, module in modules.items() if any(_holds_codes(*item) for item in module.items()))
    return CodeEvidence(scaled=frozenset(_scaled(modules)), coded=frozenset(coded))


def is_codes(tensor: StoredTensor | None) -> bool:
    """Return whether the type of a tensor is one that codes have."""
    return tensor is not None and (tensor.dtype in CODE_DTYPES or tensor.dtype.startswith("float8"))


def is_halves(tensor: StoredTensor, leaf: str, module: Module) -> bool:
    """Return whether a tensor holds two numbers in each byte, so that its shape is not that of the weight."""
    return leaf == "weight" and tensor.dtype == "uint8" and not module.keys().isdisjoint(_HALVES)


def _scaled(modules: Mapping[tuple[Root, str], Module]) -> Iterator[_Place]:
    """Yield the modules and the tensors that a scale or a codebook belongs to by its name.

    It lies beside the codes, below them, in a quantizer of the weight, or at the same path in a container of scales.
    """
    for (root, path), module in modules.items():
        if any(map(_SCALES_CONTAINER.search, root)):
            yield from ((None, t.key) for t in module.values() if math.prod(t.shape) == max(t.shape, default=1))
        if any(_SCALE.search(leaf) and not _OTHER.search(leaf) for leaf in module):
            yield root, path
            parent, _, owner = path.rpartition(".")
            if is_weight_quantizer(owner):
                yield root, parent


def _holds_codes(leaf: str, tensor: StoredTensor) -> bool:
    return is_codes(tensor) and (leaf in PACKED or (len(tensor.shape) > 1 and bool(_CODES.match(leaf))))
