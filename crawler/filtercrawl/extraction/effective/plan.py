"""Find the layers of a checkpoint that a network does not convolve with as they are stored, and make their recipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from filtercrawl.api.range_file import Span
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.effective.branches import Block, find_blocks
from filtercrawl.extraction.effective.merging import merge
from filtercrawl.extraction.effective.norm_names import norms_by_name
from filtercrawl.extraction.effective.parametrizations import Parametrization, parametrization_of
from filtercrawl.extraction.effective.recipe import LayerKey, Recipe, Step, Term
from filtercrawl.extraction.effective.stored_norm import (
    StoredModules,
    StoredNorm,
    bias_of,
    module_key,
    read_numbers,
    shows_output,
)
from filtercrawl.extraction.layer import Layer


@dataclass(frozen=True, kw_only=True)
class RecipePlan:
    """A recipe whose numbers have not been read.

    Attributes:
        layer: The main stored layer.
        modules: The tensors of its checkpoint.
        parametrization: How its weight follows from the stored one.
        block: The branches that are summed, its own included.
        norm: The normalization that follows.
    """

    layer: Layer
    modules: StoredModules
    parametrization: Parametrization | None = None
    block: Block | None = None
    norm: StoredNorm | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done to the stored weight, in this order."""
        own: tuple[Step, ...] = ()
        if self.block is not None:
            own = ("branches",)
        elif self.parametrization is not None:
            own = (self.parametrization.step,)
        return own if self.norm is None else (*own, "batch_norm")

    def spans(self) -> Iterator[Span]:
        """Yield the bytes of files that reading the recipe needs beside the weights of emitted layers."""
        for tensor in self._tensors():
            yield from tensor.weight_spans()
        for layer in self.block.layers if self.block else ():
            if layer.exclusion_reason is not None:
                yield from layer.spans

    def read(self) -> Recipe | None:
        """Read the numbers.

        Returns:
            The recipe; None if its formula has no finite result.

        Raises:
            CheckpointError: The file does not hold the numbers.
        """
        recipe = self._merged() if self.block is not None else self._single()
        if recipe is None or self.norm is None:
            return recipe
        norm = self.norm.read()
        with np.errstate(divide="ignore", invalid="ignore"):
            finite = np.isfinite(norm.factor).all() and np.isfinite(norm.shift(recipe.bias)).all()
        if not finite:
            return None
        return replace(recipe, norm=norm, eps_assumed=recipe.eps_assumed or norm.eps is None)

    def _single(self) -> Recipe | None:
        term = Term(layer=self.key)
        if self.parametrization is not None:
            found = self.parametrization.scale_and_shift()
            if found is None:
                return None
            term = replace(term, scale=found[0], shift=found[1])
        bias = bias_of(self.layer, self.modules)
        return Recipe(
            layer=self.key,
            steps=self.steps,
            shape=self.layer.shape,
            groups=self.layer.groups,
            terms=(term,),
            bias=None if bias is None else read_numbers(bias).astype(np.float64),
        )

    def _merged(self) -> Recipe | None:
        assert self.block is not None
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            merged = merge(self.block, self.modules)
        numbers = [merged.bias, *(term.scale for term in merged.terms if term.scale is not None)]
        numbers += [] if merged.rest is None else [merged.rest]
        if not all(np.isfinite(array).all() for array in numbers):
            return None
        return Recipe(
            layer=self.key,
            steps=self.steps,
            shape=self.layer.shape,
            groups=self.layer.groups,
            terms=tuple(merged.terms),
            rest=None if merged.rest is None else merged.rest.astype(np.float32),
            bias=merged.bias,
            eps_assumed=merged.eps_assumed,
        )

    @property
    def key(self) -> LayerKey:
        """The main stored layer."""
        return LayerKey(self.layer.tensor.name, self.layer.tensor.bank_index)

    def _tensors(self) -> Iterator[StoredTensor]:
        """Yield the small tensors that are read."""
        layers = (self.layer, *(self.block.layers if self.block else ()))
        norms = [self.norm] if self.norm else []
        for branch in self.block.branches if self.block else ():
            norms += branch.norms
            if branch.gate is not None:
                yield branch.gate.tensor
        for norm in norms:
            yield from norm.tensors
        for layer in layers:
            if (bias := bias_of(layer, self.modules)) is not None:
                yield bias
        if self.parametrization is not None:
            yield from self.parametrization.tensors


def plan_recipes(layers: Sequence[Layer], tensors: Iterable[StoredTensor]) -> tuple[RecipePlan, ...]:
    """Return a plan for each emitted layer that a network does not convolve with as it is stored, in their order.

    What a graph states comes first; where there is none, names and sizes tell.

    Args:
        layers: All convolutions of a checkpoint.
        tensors: All of its tensors.
    """
    modules = StoredModules(tensors)
    blocks: dict[LayerKey, Block] = {}
    merged: set[LayerKey] = set()
    for block in find_blocks(layers, modules):
        main = block.branches[0].layer
        if main is not None and main.exclusion_reason is None:
            blocks[_key(main)] = block
            merged.update(_key(layer) for layer in block.layers)
    named = norms_by_name([layer for layer in layers if not shows_output(layer)], modules)
    plans: list[RecipePlan] = []
    for layer in layers:
        key = _key(layer)
        if layer.exclusion_reason is not None or (key in merged and key not in blocks):
            continue
        if key in blocks:
            plans.append(RecipePlan(layer=layer, modules=modules, block=blocks[key], norm=blocks[key].norm))
            continue
        parametrization = parametrization_of(layer, modules)
        if parametrization is None and layer.weight_kind == "standardized":
            continue  # by a formula that is not known
        if layer.tensor.norm is not None:
            norm = modules.stated_norm(layer.tensor.norm, layer.out_channels)
        else:
            norm = named.get(module_key(layer.tensor)) if not shows_output(layer) else None
        if norm is not None or parametrization is not None:
            plans.append(RecipePlan(layer=layer, modules=modules, parametrization=parametrization, norm=norm))
    return tuple(plans)


def bn_folded(layer: Layer, plan: RecipePlan | None) -> bool | None:
    """Return whether the normalization that followed a convolution is folded into its stored weight.

    Args:
        layer: The layer.
        plan: Its plan; None if it has none.

    Returns:
        True if the graph shows it, False if the numbers of the normalization are in the checkpoint, None if unknown.
    """
    if layer.tensor.bn_folded is not None:
        return layer.tensor.bn_folded
    if plan is None:
        return None
    branches = plan.block.branches if plan.block else ()
    return False if plan.norm is not None or any(branch.norms for branch in branches) else None


def _key(layer: Layer) -> LayerKey:
    return LayerKey(layer.tensor.name, layer.tensor.bank_index)
