"""Names of parameters in the programs of Paddle, which store no others: `conv2d_0.w_0`, `conv1_weights`.

Paddle numbers layers by their type and parameters by their letter. PaddleClas 1.x names them itself, and the four
vectors of a normalization after their module: `conv1_bn_scale`, `_offset`, `_mean` and `_variance`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.layout import Layout, arrange
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl_plugins.readers.arrays.names import ArrayNames, NamedArray

_LAYER: Final = re.compile(r"(?:depthwise_)?conv(?P<dims>[123])d(?P<transposed>_transpose)?_\d+")
_PARAMETER: Final = re.compile(r"(?P<letter>[wb])_\d+")
_NORM: Final = re.compile(r"(?P<module>\w+)_(?P<leaf>scale|offset|mean|variance)")
_NORM_LEAVES: Final = 4


@dataclass(frozen=True)
class PaddleNames:
    """The arrays of a file that may be a program of Paddle.

    Attributes:
        names: All arrays.
        norms: Modules with the four vectors of a normalization.
    """

    names: ArrayNames
    norms: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, names: ArrayNames) -> PaddleNames:
        """Return the names of a file."""
        vectors: dict[tuple[tuple[str, ...], tuple[int, ...]], set[str]] = {}
        for array in names.arrays:
            if (norm := _NORM.fullmatch(array.leaf)) and len(array.shape) == 1:
                vectors.setdefault(((*array.module, norm["module"]), array.shape), set()).add(norm["leaf"])
        complete = (module for (module, _), leaves in vectors.items() if len(leaves) == _NORM_LEAVES)
        return cls(names=names, norms=frozenset(complete))

    def arranged(self, array: NamedArray) -> StoredTensor | None:
        """Return an array with what the conventions of Paddle tell of it; None where they tell nothing."""
        tensor = array.tensor
        if tensor.reason is not None or tensor.dtype not in FLOAT_DTYPES:
            return None
        found = self._of_numbered_layer(array) or self._of_named_layer(array)
        if found is None:
            return None
        return arrange(tensor, found) if isinstance(found, Layout) else replace(tensor, reason=found)

    def _of_numbered_layer(self, array: NamedArray) -> Layout | str | None:
        """Return the layout of a kernel, or the reason of the ledger, for a name such as `conv2d_0.w_0`."""
        layer = _LAYER.fullmatch(array.module[-1]) if array.module else None
        parameter = _PARAMETER.fullmatch(array.leaf)
        if layer is None or parameter is None:
            return None
        shape = array.shape
        if parameter["letter"] == "b":
            return "bias" if len(shape) == 1 else None
        if len(shape) != int(layer["dims"]) + 2 or 0 in shape:
            return None
        beside = self.names.modules[array.module]
        bias = next((beside[leaf].shape for leaf in beside if leaf.startswith("b_")), None)
        if layer["transposed"]:
            # Only a bias tells that there are no groups.
            return Layout.IOK if bias == shape[1:2] else "unknown_layout"
        return Layout.OIK if bias in (None, shape[:1]) else "unknown_layout"

    def _of_named_layer(self, array: NamedArray) -> Layout | str | None:
        """Return the same for a name such as `conv1_weights`, where normalizations show a program of Paddle."""
        if not self.norms:
            return None
        norm = _NORM.fullmatch(array.leaf)
        if norm is not None and (*array.module, norm["module"]) in self.norms:
            return "norm"
        if not array.leaf.endswith("weights") or 0 in array.shape:
            return None
        return "linear" if len(array.shape) == 2 else Layout.OIK if len(array.shape) in (4, 5) else None
