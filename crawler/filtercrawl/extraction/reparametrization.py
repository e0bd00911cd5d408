"""How a weight is stored: as such, masked, or as the raw tensors of a reparametrization.

One table: the name of a tensor and the names beside it decide what the network convolves with. A raw tensor is never
`learned` where the network convolves with something else.

Sources: `torch.nn.utils` (`weight_norm`, `spectral_norm`, `parametrizations`, `prune`), `torch.ao.pruning`,
`torch.ao.nn.qat`, and the spectral normalizations of BigGAN, mimicry and SNGAN ports.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import split_raw_parameter_name

_ORIGINAL: Final = "parametrizations.weight.original"
_STATE: Final = re.compile(r"^parametrizations\.weight\.(\d+)\.(\w+)$")
# Raw tensors from which a network computes a weight that may be stored beside them under its own name.
_RAW: Final = ("weight_orig", "weight_v", "weight_bar", "weight_raw", _ORIGINAL, f"{_ORIGINAL}1")
# Vectors beside a `weight` that is divided by its largest singular value at run time.
_SPECTRAL_STATE: Final = ("weight_u", "sn_u", "u0")


@dataclass(frozen=True, kw_only=True)
class StoredForm:
    """How a tensor takes part in a weight.

    Attributes:
        rule: The row of the table.
        weight_kind: `learned`, or `standardized` for raw weights; None for a tensor that is no weight.
        mask: The tensor that the weight is multiplied by.
        reason: Why the tensor is no weight.
    """

    rule: str
    weight_kind: str | None = None
    mask: StoredTensor | None = None
    reason: str | None = None


def stored_form(tensor: StoredTensor, siblings: Mapping[str, StoredTensor]) -> StoredForm | None:
    """Return how a tensor takes part in a weight, None for a plain tensor.

    Args:
        tensor: A tensor.
        siblings: The tensors of its module by the names of the parameters.
    """
    leaf = split_raw_parameter_name(tensor.key)[1]
    if len(tensor.shape) < 2 and leaf != "weight_g" and not leaf.endswith("original0"):
        return None
    auxiliary = _auxiliary(leaf, tensor, siblings)
    if auxiliary is not None or len(tensor.shape) < 3:
        return auxiliary
    mask = _mask(leaf, tensor, siblings)
    kind, rule = _raw_kind(leaf, siblings)
    if mask is not None:
        return StoredForm(rule="masked", weight_kind=kind, mask=mask)
    if leaf.endswith("_orig"):
        return StoredForm(rule=rule, weight_kind="standardized")
    return None if rule == "weight" else StoredForm(rule=rule, weight_kind=kind)


def _auxiliary(leaf: str, tensor: StoredTensor, siblings: Mapping[str, StoredTensor]) -> StoredForm | None:
    """Return the form of a tensor that only takes part in the computation of a weight."""
    if leaf in ("weight_g", f"{_ORIGINAL}0") and math.prod(tensor.shape) == max(tensor.shape, default=1):
        return StoredForm(rule="weight_norm", reason="norm")
    if _STATE.match(leaf):
        return StoredForm(rule="parametrization", reason="buffer")
    if leaf.endswith("_mask") and any(name in siblings for name in (leaf[:-5], f"{leaf[:-5]}_orig")):
        return StoredForm(rule="masked", reason="buffer")
    if leaf == "weight" and any(_same_shape(siblings.get(name), tensor) for name in _RAW):
        return StoredForm(rule="computed_copy", reason="buffer")
    return None


def _mask(leaf: str, tensor: StoredTensor, siblings: Mapping[str, StoredTensor]) -> StoredTensor | None:
    """Return the mask of a pruned weight, whose product with it the network convolves with."""
    if leaf.endswith("_orig"):
        names: tuple[str, ...] = (f"{leaf[:-5]}_mask",)
    elif leaf == _ORIGINAL:
        # A parametrization that keeps a mask and nothing else.
        state = [name for name in siblings if _STATE.match(name)]
        names = tuple(state) if len(state) == 1 and state[0].endswith(".mask") else ()
    else:
        names = (f"{leaf}_mask", "mask") if leaf == "weight" else ()
    found = (siblings[name] for name in names if name in siblings)
    return next((mask for mask in found if mask.location is not None and mask.shape == tensor.shape), None)


def _raw_kind(leaf: str, siblings: Mapping[str, StoredTensor]) -> tuple[str, str]:
    """Return kind and rule of a weight by its name and the names beside it."""
    base = leaf.removesuffix("_orig") if f"{leaf.removesuffix('_orig')}_mask" in siblings else leaf
    if base == "weight":
        spectral = any(name in siblings for name in _SPECTRAL_STATE)
        return ("standardized", "spectral_norm") if spectral else ("learned", "weight")
    if base in ("weight_v", f"{_ORIGINAL}1"):
        return "standardized", "weight_norm"
    if base == _ORIGINAL:
        state = {match[2] for match in map(_STATE.match, siblings) if match}
        if state == {"mask"}:
            return "learned", "masked"
        rule = "spectral_norm" if "_u" in state else "orthogonal" if state == {"base"} else "parametrization"
        return "standardized", rule
    if base.startswith("weight_"):
        return "standardized", "spectral_norm" if "weight_u" in siblings else "raw_name"
    return "learned", "weight"


def _same_shape(one: StoredTensor | None, other: StoredTensor) -> bool:
    return one is not None and one.shape == other.shape
