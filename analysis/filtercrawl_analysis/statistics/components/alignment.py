"""Principal components of a group beside those of all kernels: which is like which, with signs that agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array


@dataclass(frozen=True, kw_only=True)
class AlignedComponents:
    """Components with the signs of a reference.

    Attributes:
        vectors: Components as rows, each with a cosine of at least 0 to the reference that it is most like.
        nearest: Index of that reference, int64 [components].
        cosine: That cosine, from 0 to 1 [components].
    """

    vectors: Array
    nearest: NDArray[np.int64]
    cosine: Array


def align_components(vectors: Array, reference: Array) -> AlignedComponents:
    """Give components the signs of the reference components that they are most like.

    The sign of a component is arbitrary, and components of similar variance may have another order in a group.

    Args:
        vectors: Orthonormal rows [components, taps].
        reference: Orthonormal rows [references, taps].
    """
    cosines = vectors @ reference.T
    nearest = np.abs(cosines).argmax(1)
    cosine = cosines[np.arange(len(vectors)), nearest]
    signs = np.where(cosine < 0, -1.0, 1.0)
    return AlignedComponents(vectors=vectors * signs[:, None], nearest=nearest, cosine=np.minimum(np.abs(cosine), 1.0))
