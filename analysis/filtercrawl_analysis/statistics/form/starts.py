"""Starts of fits: the best of a dictionary of models on a grid of parameters, by one matrix product."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from filtercrawl_analysis.statistics.form.kernel_models import KernelModel, working_dtype

# Numbers in a matrix of projections, and atoms that are computed at a time.
_NUMBERS: Final = 4_000_000
_ATOMS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Models on a grid of nonlinear parameters.

    Attributes:
        parameters: Nonlinear parameters of each atom [N, P].
        cell: Atoms of equal cells are near in what decides which minimum a fit ends in, int64 [N].
        atoms: Orthonormal bases of the models, of which the mean is removed, float32 [taps, N * L].
    """

    parameters: Tensor
    cell: Tensor
    atoms: Tensor

    @classmethod
    def build(cls, model: KernelModel, parameters: Tensor, cell: Tensor) -> Dictionary:
        """Evaluate a model at nonlinear parameters [N, P]."""
        bases = []
        for start in range(0, len(parameters), _ATOMS):
            part = parameters[start : start + _ATOMS]
            columns = model.basis(part).columns[:, :-1]  # the last one is the offset
            columns = columns - columns.mean(2, keepdim=True)
            bases.append(torch.linalg.qr(columns.mT)[0].float())  # [n, taps, L - 1]
        atoms = torch.cat(bases).permute(1, 0, 2).reshape(len(bases[0][0]), -1).contiguous()
        return cls(parameters=parameters, cell=cell, atoms=atoms)

    def starts(self, kernels: Tensor, count: int) -> Iterator[Tensor]:
        """Yield nonlinear parameters [B, P], `count` times: of the best atom, then of the best in other cells.

        Args:
            kernels: [B, taps], each of mean 0.
            count: Starts for each kernel.
        """
        single, step = kernels.float(), max(1, _NUMBERS // self.atoms.shape[1])
        found = [self._best(single[i : i + step], count) for i in range(0, len(single), step)]
        for choice in torch.cat(found).unbind(1):
            yield self.parameters[choice]

    def _best(self, kernels: Tensor, count: int) -> Tensor:
        n_atoms = len(self.parameters)
        explained = (kernels @ self.atoms).square_().view(len(kernels), n_atoms, -1).sum(2)
        n_cells = int(self.cell[-1]) + 1
        by_cell = explained.view(len(kernels), n_cells, -1)
        energy, position = by_cell.max(2)
        cells = energy.topk(min(count, n_cells), 1).indices
        return cells * by_cell.shape[2] + position.gather(1, cells)


def gabor_dictionary(model: KernelModel, size: tuple[int, int], device: torch.device) -> Dictionary:
    """Return Gabor functions of a kernel size; cells are of equal frequency and orientation."""
    short, longest = min(size), max(size)
    lowest = 0.6 / longest
    n_frequencies = 1 + math.ceil(math.log(0.45 / lowest) / math.log(1.5))
    frequencies = torch.logspace(math.log10(lowest), math.log10(0.45), n_frequencies)
    angles = torch.arange(8) * (math.pi / 8)
    centers = torch.linspace(-0.3, 0.3, 3)
    widths = torch.tensor([0.14, 0.25]) * short
    grid = torch.cartesian_prod(
        frequencies.log(), angles, centers * size[1], centers * size[0], widths.log(), widths.log()
    ).to(device, working_dtype(device))
    parameters = grid[:, [2, 3, 0, 1, 4, 5]]
    cell = torch.arange(n_frequencies * 8, device=device).repeat_interleave(len(grid) // (n_frequencies * 8))
    return Dictionary.build(model, model.clamp(parameters), cell)


def dog_dictionary(model: KernelModel, size: tuple[int, int], device: torch.device) -> Dictionary:
    """Return differences of Gaussians of a kernel size; cells are of equal width of the center."""
    short = min(size)
    lowest = 0.5
    n_widths = 1 + math.ceil(math.log(0.3 * short / lowest) / math.log(1.5))
    widths = torch.logspace(math.log10(lowest), math.log10(0.3 * short), n_widths)
    steps = [torch.linspace(-0.4, 0.4, 7 if n < 12 else 13) * n for n in size]
    ratios = torch.tensor([1.3, 2.0, 4.0])
    grid = torch.cartesian_prod(widths.log(), steps[1], steps[0], ratios.log()).to(device, working_dtype(device))
    parameters = grid[:, [1, 2, 0, 3]]
    cell = torch.arange(n_widths, device=device).repeat_interleave(len(grid) // n_widths)
    return Dictionary.build(model, model.clamp(parameters), cell)
