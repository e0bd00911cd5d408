"""Which layers are still in a subset, and which rule excluded the others: the first one that did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Exclusions:
    """The state of each layer of a population; rules are applied one after the other."""

    def __init__(self, n_layers: int) -> None:
        """Begin with every layer in the subset."""
        self._codes = np.zeros(n_layers, np.int16)
        self._reasons: list[str] = []

    @property
    def kept(self) -> NDArray[np.int64]:
        """Rows of the layers that no rule has excluded."""
        return np.flatnonzero(self._codes == 0)

    def exclude(self, reason: str, rows: NDArray[np.int64] | Sequence[int]) -> None:
        """Apply a rule to the layers that are still in the subset.

        Args:
            reason: The name of the rule.
            rows: The layers that it excludes.
        """
        if reason not in self._reasons:
            self._reasons.append(reason)
        mask = np.zeros(len(self._codes), np.bool_)
        mask[np.asarray(rows, np.int64)] = True
        self._codes[mask & (self._codes == 0)] = self._reasons.index(reason) + 1

    def reasons(self) -> dict[int, str]:
        """Return the reason by row of each layer that is excluded."""
        return {row: self._reasons[code - 1] for row, code in enumerate(self._codes.tolist()) if code}
