"""Scores of pairs of a query and a kernel, in float64."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.kernel_search.query import Query

# Numbers of images of queries that are compared at a time: 32 MiB.
_MAX_NUMBERS: Final = 1 << 22


class ExactScores:
    """Computes scores; larger for nearer kernels."""

    def __init__(self, query: Query) -> None:
        """Make the images of the queries."""
        self._similarity = query.similarity
        self._images: NDArray[np.float64] = query.images().numpy()
        n_images, _, taps = self._images.shape
        self._chunk = max(_MAX_NUMBERS // (n_images * taps), 1)

    def __call__(
        self, queries: NDArray[np.int64], kernels: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return scores and images, as `Neighbors` has them.

        Args:
            queries: The query of each pair [pairs].
            kernels: The kernel of each pair [pairs, taps]; scores of kernels that are not finite are not finite, nor
                are those of zeros where kernels are compared at norm 1.
        """
        parts = [
            self._scores(queries[start : start + self._chunk], kernels[start : start + self._chunk])
            for start in range(0, len(queries), self._chunk)
        ]
        if len(parts) == 1:
            return parts[0]
        scores, images = zip(*parts, strict=True)
        return np.concatenate(scores), np.concatenate(images)

    def _scores(
        self, queries: NDArray[np.int64], stored: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        kernels = stored.astype(np.float64)
        left = self._images[:, queries]  # [images, pairs, taps]
        with np.errstate(invalid="ignore", divide="ignore"):
            if self._similarity.at_norm_one:
                kernels /= np.sqrt((kernels**2).sum(-1, keepdims=True))
            if self._similarity.metric == "cosine":
                signed = (left * kernels).sum(-1)
                negated = -signed
            else:
                signed, negated = (-((left - sign * kernels) ** 2).sum(-1) for sign in (1, -1))
        every = np.concatenate([signed, negated]) if self._similarity.up_to_sign else signed
        if len(every) == 1:
            return every[0], np.zeros(len(queries), np.int64)
        images = every.argmax(0)
        scores = np.take_along_axis(every, images[None], 0)[0]
        return scores, np.where(images < len(left), images, len(left) - 1 - images)
