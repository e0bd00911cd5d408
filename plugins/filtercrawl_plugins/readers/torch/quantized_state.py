"""The states of quantized convolutions: tuples, where other modules have dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from filtercrawl_plugins.formats.pickle.objects import PickledTensor, Stub
from filtercrawl_plugins.readers.torch.weight_uses import WeightUses

# `torch.ao.nn.quantized.modules.conv._ConvNd.__getstate__`.
_MODULE_STATE: Final = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "output_padding",
    "groups", "padding_mode", "weight", "bias",
)  # fmt: skip
# Classes of `torch.classes.quantized`.
_PACKED: Final = ("Conv2dPackedParamsBase", "Conv3dPackedParamsBase")


def is_packed(path: str) -> bool:
    """Return whether a class is that of the packed weight of a quantized convolution."""
    return path.rpartition(".")[2] in _PACKED


def state_by_name(stub: Stub) -> dict[str, object]:
    """Return the state of a quantized convolution by name, {} for any other object.

    A packed weight has `weight`, `bias` and `config`, a tensor or a list of the integers that `packed_uses` takes.
    """
    for state in stub.states or ():
        if not isinstance(state, tuple):
            continue
        if is_packed(stub.path):
            return _packed_state(state)
        if len(state) >= len(_MODULE_STATE):
            named = dict(zip(_MODULE_STATE, state, strict=False))
            quantized = isinstance(named["weight"], PickledTensor) and named["weight"].quantizer is not None
            if quantized and isinstance(named["transposed"], bool) and isinstance(named["groups"], int):
                return named
    return {}


def _packed_state(state: tuple[object, ...]) -> dict[str, object]:
    """Return the state of packed parameters.

    Version 2 is `("2", [config, weight], [bias])`, version 3 `(3, config, [None, weight, bias])`
    (`aten/src/ATen/native/quantized/cpu/conv_serialization.h`).
    """
    match state:
        case ("2" | b"2", [PickledTensor() as config, PickledTensor() as weight], [bias, *_]):
            return {"config": config, "weight": weight, "bias": bias}
        case (3, [*config], [_, PickledTensor() as weight, bias, *_]):
            return {"config": config, "weight": weight, "bias": bias}
    return {}


def packed_uses(config: Sequence[object]) -> WeightUses:
    """Return how a packed weight is used.

    Args:
        config: Number of spatial axes n, then n numbers each of stride, padding, dilation and output padding, then the
            groups, and 1 for a transposed convolution.
    """
    rank = config[0] if config else None
    if type(rank) is not int or not 1 <= rank <= 3 or len(config) < 4 * rank + 3:
        return WeightUses()
    settings: dict[str, object] = {"rank": rank}
    for i, name in enumerate(("stride", "padding", "dilation")):
        settings[name] = tuple(config[1 + i * rank : 1 + (i + 1) * rank])
    groups, flags = config[4 * rank + 1 : 4 * rank + 3]
    settings |= {"groups": groups, "transposed": flags == 1}
    return WeightUses(settings={"weight": settings} if flags in (0, 1) else {})
