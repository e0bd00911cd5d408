"""Which test tells a layer from independent weights, its p-values and its power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.null import EntropyNull, is_supported
from filtercrawl_analysis.statistics.entropy.permutation import permutation_p_values
from filtercrawl_analysis.statistics.entropy.power import EntropyPower

# Power from which on a test suffices.
POWER: Final = 0.8

# Share of the kernels that have to matter, for power to follow from the kurtosis of weights alone. Kernels of one scale
# differ less, those of trained-like layers by about 0.7.
MOST: Final = 0.5

Null = Literal["permutation", "kurtosis", "sample permutation"]


@dataclass(frozen=True, kw_only=True)
class LayerToTest:
    """What is known of a layer.

    Attributes:
        kernels: Finite kernels [k, taps], all of them or a random sample; None if there are none.
        n_kernels: Kernels of the layer.
        kernel_size: Size of its kernels.
        entropy: Its variance entropy.
        kurtosis: Excess kurtosis of its weights.
    """

    kernels: Array | None
    n_kernels: int
    kernel_size: Sequence[int]
    entropy: float | None
    kurtosis: float | None


@dataclass(frozen=True, kw_only=True)
class StructureTest:
    """The result of the test of a layer.

    Attributes:
        null: `permutation` where p-values are those of the layer's weights in random order, `kurtosis` where they are
            those of weights of its kurtosis, `sample permutation` where they are those of the sampled kernels alone;
            None without p-values.
        p_structured: Share of such layers with at most its variance entropy.
        p_even: Share of such layers with at least its variance entropy.
        power: Share of trained-like layers that the test tells, see `EntropyPower`; None if unknown.
    """

    null: Null | None
    p_structured: float | None
    p_even: float | None
    power: float | None


class StructureTests:
    """Tests of layers, whose null distributions and power are simulated once for many of them."""

    def __init__(self, null: EntropyNull, seed: int = 0) -> None:
        """Create an empty cache of power.

        Args:
            null: Null distributions.
            seed: Seed of the simulations of power.
        """
        self.null = null
        self._power = EntropyPower(null, seed)

    def test(self, layer: LayerToTest, seed: Sequence[int]) -> StructureTest:
        """Test a layer.

        Its weights are permuted if all kernels are sampled, else compared with weights of its kurtosis. Where that has
        little power, as few weights decide the entropy, the sampled kernels are permuted, if that has more.
        Which test it is depends on sizes and on what no permutation changes, so that the p-values of each are valid.

        Args:
            layer: The layer.
            seed: Seed of the random order.
        """
        kernels, kurtosis = layer.kernels, layer.kurtosis
        if kernels is not None and len(kernels) == layer.n_kernels:
            return self._permuted(kernels, layer, kurtosis, "permutation", seed)
        structured, even = self.null.p_values(layer.entropy, layer.n_kernels, math.prod(layer.kernel_size), kurtosis)
        power = None
        if kurtosis is not None:
            known = is_supported(layer.n_kernels, kurtosis)
            power = self._power.power(layer.n_kernels, layer.kernel_size, kurtosis, permuted=False) if known else 0.0
        found = StructureTest(
            null=None if structured is None else "kurtosis", p_structured=structured, p_even=even, power=power
        )
        if kernels is None or power is None or power >= POWER:
            return found
        sampled = _kurtosis(kernels)
        if sampled is None or self._power.power(len(kernels), layer.kernel_size, sampled, permuted=True) <= power:
            return found
        return self._permuted(kernels, layer, sampled, "sample permutation", seed)

    def _permuted(
        self, kernels: Array, layer: LayerToTest, kurtosis: float | None, null: Null, seed: Sequence[int]
    ) -> StructureTest:
        structured, even = permutation_p_values(kernels, seed)
        power = None
        if kurtosis is not None:
            power = self._power.power(len(kernels), layer.kernel_size, kurtosis, permuted=True)
            if (many := _kernels_that_matter(kernels)) < MOST * len(kernels):
                power = min(power, self._power.power(round(many), layer.kernel_size, 0.0, permuted=True))
        return StructureTest(
            null=None if structured is None else null, p_structured=structured, p_even=even, power=power
        )


def _kurtosis(kernels: Array) -> float | None:
    centered = kernels - kernels.mean()
    variance = float((centered**2).mean())
    return float((centered**4).mean()) / variance**2 - 3 if variance > 0 else None


def _kernels_that_matter(kernels: Array) -> float:
    """Return the number of kernels of one norm that have the same ratio of energy^2 to the sum of squared energies."""
    energies = (kernels**2).sum(1)
    return float(energies.sum() ** 2 / (energies**2).sum())
