"""Find the branches of a block in a checkpoint, and merge them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.effective.branch_patterns import BLOCKS, BlockPattern, BranchPattern
from filtercrawl.extraction.effective.stored_norm import (
    ModuleKey,
    Root,
    StoredModules,
    StoredNorm,
    is_readable,
    module_key,
    shows_output,
)
from filtercrawl.extraction.layer import Layer


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a branch is multiplied by: one number a channel, or a row of such."""

    tensor: StoredTensor
    row: int | None
    logistic: bool


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch whose numbers have not been read: first, pool, layer, norm and gate, as far as it has them.

    Attributes:
        layer: Its convolution; None for the identity, or a mean.
        norm: The normalization behind it.
        first: A pointwise convolution before it.
        first_norm: The normalization behind that.
        first_is_residual: Whether the weight of `first` is the difference from the identity.
        pool: Whether the mean over a window of the size of the main kernel follows.
        gate: What it is multiplied by.
        negative: Whether it is subtracted.
        dilation: Distance of its taps.
    """

    layer: Layer | None
    norm: StoredNorm | None
    first: Layer | None
    first_norm: StoredNorm | None
    first_is_residual: bool
    pool: bool
    gate: Gate | None
    negative: bool
    dilation: int

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its convolutions."""
        return tuple(layer for layer in (self.first, self.layer) if layer is not None)

    @property
    def norms(self) -> tuple[StoredNorm, ...]:
        """Its normalizations."""
        return tuple(norm for norm in (self.first_norm, self.norm) if norm is not None)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Branches that are summed, the one with the main kernel first, and the normalization of the sum."""

    branches: tuple[Branch, ...]
    norm: StoredNorm | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The convolutions of all branches."""
        return tuple(layer for branch in self.branches for layer in branch.layers)


def find_blocks(layers: Sequence[Layer], modules: StoredModules) -> Iterator[Block]:
    """Yield the blocks of a checkpoint whose branches can be merged; a layer is in one block.

    Args:
        layers: The convolutions of the checkpoint.
        modules: Its tensors.
    """
    by_module = {module_key(layer.tensor): layer for layer in layers if layer.tensor.bank_index is None}
    taken: set[ModuleKey] = set()
    for pattern in BLOCKS:
        main = _expression(pattern.branches[0].conv)
        for key in list(by_module):
            match = main.fullmatch(key[1])
            if key in taken or match is None:
                continue
            block = _Finder(by_module, modules, pattern, key[0], match["block"]).find()
            if block is not None:
                yield block
                taken.update(module_key(layer.tensor) for layer in block.layers)


@cache
def _expression(name: str) -> re.Pattern[str]:
    """Return an expression for the full path of a module: the block, and a name below it with numbers for `*`."""
    below = re.escape(name).replace(r"\*", r"(\d+)")
    return re.compile(rf"(?P<block>(?:.*\.)?){below}")


@dataclass(frozen=True)
class _Finder:
    """Looks for the branches of one block; `prefix` is its path with a final dot."""

    layers: Mapping[ModuleKey, Layer]
    modules: StoredModules
    pattern: BlockPattern
    root: Root
    prefix: str

    def find(self) -> Block | None:
        """Return the block, None if it is another one."""
        path = self.prefix.removesuffix(".")
        parent = self.pattern.parent
        if parent and not re.search(rf"(?:^|\.)(?:{parent})$", path):
            return None
        if any(self._tensor(name) is None for name in self.pattern.beside):
            return None
        branches: list[Branch] = []
        for row in self.pattern.branches:
            found = [self._branch(row, numbers) for numbers in self._numbers(row)]
            if None in found or (row.required and not found):
                return None
            branches += [branch for branch in found if branch is not None]
        main = max(branches, key=lambda branch: branch.layer.taps if branch.layer and not branch.first else 0)
        branches.sort(key=lambda branch: branch is not main)
        norm = self._sum_norm(path)
        block = Block(branches=tuple(branches), norm=norm)
        return block if len(branches) > 1 and self._is_consistent(block) else None

    def _numbers(self, row: BranchPattern) -> list[tuple[str, ...]]:
        """Return the numbers for the asterisks of a row, for each of its branches; one without any if it has none."""
        name = row.conv or row.norm
        if "*" not in name:
            present = not name or bool(row.first) or bool(self.modules.module(self.root, self.prefix + name))
            return [()] if present else []
        expression = _expression(name)
        matches = (expression.fullmatch(path) for path in self.modules.below(self.root, self.prefix))
        found = [match.groups()[1:] for match in matches if match and match["block"] == self.prefix]
        return sorted(found, key=lambda numbers: [int(number) for number in numbers])

    def _branch(self, row: BranchPattern, numbers: tuple[str, ...]) -> Branch | None:
        conv, norm = (_filled(name, numbers) for name in (row.conv, row.norm))
        layer, normalized = self._layer(conv), self._norm(norm)
        first_name = next((name for name in row.first if self._layer(name) is not None), "")
        first = self._layer(first_name)
        first_norm = self._norm(row.first_norm) if first is not None else None
        missing = (
            (bool(conv) and layer is None)
            or (bool(norm) and normalized is None)
            or (bool(row.first) and first is None and "" not in row.first)
            or (first is not None and bool(row.first_norm) and first_norm is None)
        )
        gate = self._gate(row)
        if missing or _contradicts(layer, normalized) or _contradicts(first, first_norm):
            return None
        return Branch(
            layer=layer,
            norm=normalized,
            first=first,
            first_norm=first_norm,
            first_is_residual=first_name in row.first_is_residual,
            pool=row.pool,
            gate=gate,
            negative=row.negative,
            dilation=int(numbers[-1]) if row.dilated else 1,
        )

    def _gate(self, row: BranchPattern) -> Gate | None:
        name, _, number = row.gate.partition(":")
        tensor = self._tensor(name) if name else None
        return None if tensor is None else Gate(
            tensor=tensor, row=int(number) if number else None, logistic=row.logistic
        )  # fmt: skip

    def _sum_norm(self, path: str) -> StoredNorm | None:
        name = self.pattern.norm
        if name.startswith("../"):
            parent, dot, _ = path.rpartition(".")
            return self.modules.norm(self.root, f"{parent}{dot}{name[3:]}")
        return self._norm(name)

    def _layer(self, name: str) -> Layer | None:
        return self.layers.get((self.root, self.prefix + name)) if name else None

    def _norm(self, name: str) -> StoredNorm | None:
        return self.modules.norm(self.root, self.prefix + name) if name else None

    def _tensor(self, name: str) -> StoredTensor | None:
        path, _, leaf = f"{self.prefix}{name}".rpartition(".")
        return self.modules.module(self.root, path).get(leaf)

    def _is_consistent(self, block: Block) -> bool:
        """Return whether the sizes of all branches are those of branches of one convolution."""
        main = block.branches[0].layer
        if main is None or main.stored_transposed or (self.pattern.depthwise and main.shape[1] != 1):
            return False
        out, width = main.shape[:2]
        for branch in block.branches:
            sizes = [branch.norm.channels] if branch.norm else []
            sizes += [] if branch.layer is None else [branch.layer.out_channels]
            if branch.gate is not None:
                shape = branch.gate.tensor.shape[0 if branch.gate.row is None else 1 :]
                sizes += [max(shape, default=1)] if is_readable(branch.gate.tensor) else [-1]
            if any(size != out for size in sizes) or not _fits_kernel(branch, main):
                return False
            # The identity has as many channels out as in.
            if branch.layer is None and branch.first is None and out % width:
                return False
        return block.norm is None or block.norm.channels == out


def _filled(name: str, numbers: tuple[str, ...]) -> str:
    for number in numbers:
        name = name.replace("*", number, 1)
    return name


def _contradicts(layer: Layer | None, norm: StoredNorm | None) -> bool:
    """Return whether a graph shows that another normalization follows a layer, or none."""
    if layer is None or not shows_output(layer):
        return False
    stated = layer.tensor.norm
    return (stated.variance if stated else None) != (norm.variance.name if norm else None)


def _fits_kernel(branch: Branch, main: Layer) -> bool:
    """Return whether a branch has a place in the main kernel, and a first convolution the channels of the next."""
    first, layer = branch.first, branch.layer
    if first is not None:
        middle = first.out_channels if layer is None else layer.shape[1]
        if first.taps != 1 or first.shape[1] != main.shape[1] or not middle or first.out_channels % middle:
            return False
        if branch.first_norm is not None and branch.first_norm.channels != first.out_channels:
            return False
    elif layer is not None and layer.shape[1] != main.shape[1]:
        return False
    sizes = zip(layer.kernel_size if layer else (), main.kernel_size, strict=False)
    margins = [large - (branch.dilation * (small - 1) + 1) for small, large in sizes]
    return all(margin >= 0 and margin % 2 == 0 for margin in margins) and all(n % 2 for n in main.kernel_size)
