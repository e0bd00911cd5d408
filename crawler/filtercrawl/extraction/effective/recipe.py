"""How the kernels that a network convolves with follow from the stored ones.

A recipe states, for one stored layer,

    weight = sum over terms of place(raw * scale + shift) + place(rest)

where `place` puts a smaller or dilated kernel into the center of the larger one. The normalization that follows the
convolution is kept beside it, so that it can be folded or not. Raw weights are as the dataset has them: masks of
pruning are applied already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Step = Literal["weight_norm", "spectral_norm", "weight_standardization", "branches", "batch_norm"]

# Epsilon of torch's normalizations, used where neither the file nor the built network states one.
ASSUMED_EPS: Final = 1e-5


class LayerKey(NamedTuple):
    """A stored layer of a checkpoint.

    Attributes:
        tensor: Name of its weight, as in the ledger.
        bank_index: Index of the expert in its bank; None for a tensor that is no bank.
    """

    tensor: str
    bank_index: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """A stored layer as a part of an effective weight: `raw * scale + shift`, placed into the center.

    Attributes:
        layer: The stored layer.
        scale: Factor, float64, with as many axes as the weight `[out, in/groups, *kernel_size]`, each of size 1 or the
            weight's: `[out, 1, 1, 1]` for one number a filter. None for 1.
        shift: Constant, float64, of such a shape; None for 0.
        dilation: Distance of the taps of the stored kernel in the effective one, one number an axis; None for 1.
    """

    layer: LayerKey
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None
    dilation: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Norm:
    """A batch normalization that takes exactly the output of a convolution.

    In inference it is `(x - mean) / sqrt(variance + eps) * scale + offset`, an affine function of each channel
    (Ioffe and Szegedy 2015, arXiv 1502.03167).

    Attributes:
        path: Module path, or name of the graph node.
        evidence: `graph` where the network was built or the file is a graph, `names` where names and sizes tell.
        eps: What is added to the variance; None where it is not stated.
        scale: Weight, float32 `[out]`; None for 1.
        offset: Bias, float32 `[out]`; None for 0.
        mean: Running mean, float32 `[out]`.
        variance: Running variance, float32 `[out]`.
    """

    path: str
    evidence: Literal["graph", "names"]
    eps: float | None
    scale: NDArray[np.float32] | None
    offset: NDArray[np.float32] | None
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]

    @property
    def factor(self) -> NDArray[np.float64]:
        """What each output channel is multiplied by: `scale / sqrt(variance + eps)`, float64 `[out]`."""
        eps = ASSUMED_EPS if self.eps is None else self.eps
        factor = 1 / np.sqrt(self.variance.astype(np.float64) + eps)
        return factor if self.scale is None else factor * self.scale

    def shift(self, bias: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return what is added to each output channel after the factor: `offset + (bias - mean) * factor`.

        Args:
            bias: Bias of the convolution, `[out]`; None for 0.
        """
        centered = -self.mean.astype(np.float64) if bias is None else bias - self.mean
        shift = centered * self.factor
        return shift if self.offset is None else shift + self.offset


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """How the weight that a network convolves with follows from stored layers.

    A layer that is convolved with as it is stored, and that no known normalization follows, has no recipe.

    Attributes:
        layer: The main stored layer, whose place in the network the effective one has.
        steps: What is done, in this order; `batch_norm` is last, and done where `norm` is folded.
        shape: Shape of the effective weight, `[out, in/groups, *kernel_size]`.
        groups: Number of groups; None where it is unknown.
        terms: The stored layers that take part, the main one first.
        rest: Sum of the parts that are no spatial layer of their own, such as pointwise and identity branches and
            products of weights: float32 `[out, in/groups, *size]` with a size of at most `kernel_size`, placed into the
            center. None for 0.
        bias: Bias of the convolution before `norm`, float64 `[out]`; None for 0.
        norm: The normalization that follows; None where none is known.
        eps_assumed: Whether `ASSUMED_EPS` is used anywhere, in a branch or in `norm`.
    """

    layer: LayerKey
    steps: tuple[Step, ...]
    shape: tuple[int, ...]
    groups: int | None
    terms: tuple[Term, ...]
    rest: NDArray[np.float32] | None = None
    bias: NDArray[np.float64] | None = None
    norm: Norm | None = None
    eps_assumed: bool = False

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Spatial size of the effective weight."""
        return self.shape[2:]


def per_channel(values: NDArray[np.float64], n_axes: int) -> NDArray[np.float64]:
    """Return one number an output channel, `[out]`, in the shape `[out, 1, ...]` of a weight with `n_axes` axes."""
    return values.reshape(-1, *(1,) * (n_axes - 1))
