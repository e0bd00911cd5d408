"""Hold the effective weights of an architecture of timm against those of the library."""

from __future__ import annotations

import copy
import re
from typing import Any, Final

import timm
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from filtercrawl.extraction.architecture import Structure
from support.effective_networks import (
    effective,
    largest_error,
    plans_of,
    randomize,
    reparameterized,
    stored_tensors,
)

MERGES: Final = ("reparameterize", "fuse", "switch_to_deploy")
STANDARDIZED: Final = ("StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame")
_PLACES: Final = re.compile(r"(\.\d+)+$")

Row = dict[str, Any]


def merged(name: str, structure: Structure) -> Row:
    """Compare every spatial convolution of the merged network with the effective kernels of the branches."""
    module = randomize(timm.create_model(name))
    tensors = stored_tensors(module.state_dict())
    ours: dict[str, dict[bool, list[Any]]] = {}
    for known, built in (("built", structure), ("names", None)):
        plans = plans_of(tensors, built)
        kernels = {fold: [(plan, *effective(plan, fold_norm=fold)) for plan in plans] for fold in (True, False)}
        ours[known] = kernels
    blocks = sum(plan.block is not None for plan, *_ in ours["names"][True])
    own = {path: part.weight.detach() for path, part in module.named_modules() if isinstance(part, _ConvNd)}
    deployed = reparameterized(module)
    row: Row = {"blocks": blocks, "kernels": 0, "plain": 0}
    for known, kernels in ours.items():
        errors, plain = [], 0
        unused = {fold: list(items) for fold, items in kernels.items()}
        for path, part in deployed.named_modules():
            if not isinstance(part, _ConvNd) or part.weight[0, 0].numel() == 1:
                continue
            error = nearest(path, part, unused)
            if error is None and path in own and torch.equal(own[path].double(), part.weight.detach()):
                plain += 1  # it is no sum, and no known normalization follows
                continue
            errors.append(1.0 if error is None else error)
        row |= {"kernels": len(errors), "plain": plain, f"error_{known}": max(errors, default=0.0)}
    return row


def nearest(path: str, part: _ConvNd, unused: dict[bool, list[Any]]) -> float | None:
    """Return the error of the effective kernel of a convolution, each of which is the one of one convolution only."""
    above = _PLACES.sub("", path).rpartition(".")[0]
    best: tuple[float, bool, int] | None = None
    for fold, items in unused.items():
        for i, (plan, weight, bias) in enumerate(items):
            inside = plan.layer.path == path or plan.layer.path.startswith((f"{path}.", f"{above}."))
            if not inside or weight.shape != part.weight.shape or (bias is None) != (part.bias is None):
                continue
            error = largest_error(weight, part.weight.detach())
            if bias is not None and part.bias is not None:
                error = max(error, largest_error(bias, part.bias.detach()))
            if best is None or error < best[0]:
                best = (error, fold, i)
    if best is None or best[0] > 1e-3:
        return None
    del unused[best[1]][best[2]]
    return best[0]


class _Weights(TorchFunctionMode):
    """Collects the weights that convolutions get."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.conv2d:
            self.found.append(args[1].detach())
        return func(*args, **(kwargs or {}))


def standardized(name: str, structure: Structure) -> Row:
    """Compare standardized weights with those that the modules convolve with."""
    module = randomize(timm.create_model(name))
    plans = {plan.layer.path: plan for plan in plans_of(stored_tensors(module.state_dict()), structure)}
    errors = []
    for path, single in module.named_modules():
        if type(single).__name__ not in STANDARDIZED or single.weight[0, 0].numel() == 1:
            continue
        part = copy.deepcopy(single).double()  # the largest of these networks have a billion numbers
        with _Weights() as weights, torch.no_grad():
            part(torch.zeros(1, part.in_channels, *part.kernel_size, dtype=torch.float64))
        plan = plans.get(path)
        errors.append(1.0 if plan is None else largest_error(effective(plan, fold_norm=False)[0], weights.found[0]))
    return {"kernels": len(errors), "error": max(errors, default=0.0)}
