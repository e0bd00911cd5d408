"""What is searched for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from filtercrawl.kernel_search.similarity import Similarity


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Kernels whose neighbors are sought.

    Attributes:
        kernels: float32 `[n, *kernel_size]`, finite.
        similarity: How neighbors are measured.
        k: Neighbors of each.
        device: Where kernels are compared.
    """

    kernels: torch.Tensor
    similarity: Similarity
    k: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Size of the kernels."""
        return tuple(self.kernels.shape[1:])

    @property
    def taps(self) -> int:
        """Numbers of a kernel."""
        return self.kernels[0].numel()

    def images(self) -> torch.Tensor:
        """Return the images of all kernels, float64 `[images, n, taps]`, of norm 1 where kernels are compared so."""
        images = self.similarity.images(self.kernels).flatten(2).double()
        return images / images.norm(dim=-1, keepdim=True) if self.similarity.at_norm_one else images
