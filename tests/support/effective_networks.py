"""Networks with random numbers as checkpoints in memory, and the weights that they convolve with by their recipes."""

from __future__ import annotations

from typing import cast

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.architecture import Structure, match_tensors
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective import effective_bias, effective_weight
from filtercrawl.extraction.effective.plan import RecipePlan, plan_recipes
from filtercrawl.extraction.to_float32 import to_float32

Effective = dict[str, tuple[torch.Tensor, torch.Tensor | None]]


def randomize(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network random weights, of the size of trained ones, and its normalizations random statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, _BatchNorm) and part.running_var is not None:
                part.running_mean.normal_(0, 0.5, generator=generator)
                part.running_var.uniform_(0.1, 2, generator=generator)
                if part.affine:
                    part.weight.uniform_(0.5, 1.5, generator=generator)
                    part.bias.normal_(0, 0.5, generator=generator)
            elif not list(part.children()):
                for parameter in part.parameters(recurse=False):
                    parameter.normal_(0, 0.1, generator=generator)
    return module.eval()


class Unread:
    """A file of which only the size matters."""

    name = "unread"
    size = 1 << 60

    def read(self, offset: int, length: int) -> bytes:
        raise AssertionError((offset, length))


def stored_tensors(state: dict[str, torch.Tensor], *, numbers: bool = True) -> list[StoredTensor]:
    """Return a state dict as a reader yields it; without numbers, in a file that nobody may read."""
    found = []
    for key, tensor in state.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        file: RandomAccessFile = Unread()
        if numbers:
            data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
            file = MemoryFile(cast("bytes", data))  # a view: networks are large
        place = TensorLocation(file=file, offset=0, dtype=dtype, shape=tuple(tensor.shape))
        found.append(StoredTensor(name=key, key=key, shape=tuple(tensor.shape), dtype=dtype, location=place))
    return found


def plans_of(tensors: list[StoredTensor], structure: Structure | None = None) -> tuple[RecipePlan, ...]:
    """Return the plans of a checkpoint, with its architecture where that is known."""
    matched = tensors if structure is None else list(match_tensors(structure, tensors).tensors)
    return plan_recipes(classify_tensors(matched).layers, matched)


def effective(plan: RecipePlan, *, fold_norm: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the weight and the bias of a plan, as a user who has the recipe and the raw weights computes them."""
    recipe = plan.read()
    assert recipe is not None, plan.layer.path
    layers = (plan.layer, *(plan.block.layers if plan.block else ()))
    raw = {}
    for layer in layers:
        if layer.exclusion_reason is None:
            weight = to_float32(layer, 0, layer.out_channels, torch.device("cpu"))
            raw[layer.tensor.name, layer.tensor.bank_index] = weight.numpy()
    weight, bias = effective_weight(recipe, raw, fold_norm=fold_norm), effective_bias(recipe, fold_norm=fold_norm)
    return torch.from_numpy(weight), None if bias is None else torch.from_numpy(bias)


def largest_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the largest difference relative to the largest magnitude of the layer."""
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())


def reparameterized(module: nn.Module) -> nn.Module:
    """Return a network as its library merges it, computed in float64."""
    return timm.utils.reparameterize_model(module.double())
