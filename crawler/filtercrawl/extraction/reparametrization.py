"""How a weight is stored: as such, masked, or as the raw tensors of a reparametrization.

One table: the name of a tensor and the names beside it decide what the network convolves with. A raw tensor is never
`learned` where the network convolves with something else.

Sources: `torch.nn.utils` (`weight_norm`, `spectral_norm`, `parametrizations`, `prune`), `torch.ao.pruning`,
`torch.ao.nn.qat`, other libraries that quantize weights at run time, timm's `ScaledStdConv2d`, and the spectral
normalizations of BigGAN, mimicry and SNGAN ports.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl.extraction.state_dict_names import is_weight_quantizer, split_raw_parameter_name

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


def stored_form(
    tensor: StoredTensor, siblings: Mapping[str, StoredTensor], below: Iterable[StoredTensor]
) -> StoredForm | None:
    """Return how a tensor takes part in a weight, None for a plain tensor.

    Args:
        tensor: A tensor.
        siblings: The tensors of its module by the names of the parameters.
        below: Tensors of the modules below its module.
    """
    leaf = split_raw_parameter_name(tensor.key)[1]
    if len(tensor.shape) < 2 and leaf != "weight_g" and not leaf.endswith("original0"):
        return None
    auxiliary = _auxiliary(leaf, tensor, siblings)
    if auxiliary is not None or len(tensor.shape) < 3:
        return auxiliary
    mask = _mask(leaf, tensor, siblings)
    kind, rule = _raw_kind(leaf, siblings)
    computed = _run_time_rule(tensor, siblings, below) if rule == "weight" else None
    if computed is not None:
        kind, rule = "standardized", computed
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
    found = (_broadcast(siblings[name], tensor.shape) for name in names if name in siblings)
    return next((mask for mask in found if mask is not None), None)


def _broadcast(mask: StoredTensor, shape: tuple[int, ...]) -> StoredTensor | None:
    """Return a mask in the shape of the weight, also one for each channel or each tap; None for any other shape."""
    own, location = mask.shape, mask.location
    if location is None or len(own) != len(shape) or (own != shape and math.prod(own) == 1):
        return None
    if not all(size in (1, full) for size, full in zip(own, shape, strict=True)):
        return None
    strides = tuple(
        stride if size == full else 0 for size, full, stride in zip(own, shape, location.strides, strict=True)
    )
    return replace(mask, shape=shape, location=replace(location, shape=shape, strides=strides))


def _run_time_rule(
    tensor: StoredTensor, siblings: Mapping[str, StoredTensor], below: Iterable[StoredTensor]
) -> str | None:
    """Return the rule by which the network computes with a plain weight before it convolves, None if it does not.

    A quantizer rounds it, or it is standardized and multiplied by a gain for each output channel.
    """
    module = split_raw_parameter_name(tensor.key)[0]
    states = (other.key[len(module) + 1 :].split(".") for other in below if other.dtype in FLOAT_DTYPES)
    if any(is_weight_quantizer(path[0]) for path in states):
        return "fake_quantized"
    gain = siblings.get("gain")
    per_channel = (tensor.shape[0], *(1,) * (len(tensor.shape) - 1))
    return "weight_standardization" if gain is not None and gain.shape == per_channel else None


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
