"""Tell archives of arrays that may be networks from those of other data, which packages ship too."""

from __future__ import annotations

import zipfile
from pathlib import PurePosixPath
from typing import IO

import numpy as np

from filtercrawl.api.checkpoint import Checkpoint, local_path

# Axes of the smallest kernel, that of a one-dimensional convolution: [out, in, k].
_KERNEL_AXES = 3


def may_hold_kernels(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint of a local file may hold kernels, also if it is no `.npz` or cannot be read.

    NumPy archives hold tables and pictures as well as weights. One without an array of three axes or more has no
    kernel. Only the headers of its arrays are read.
    """
    if PurePosixPath(checkpoint.name).suffix.lower() != ".npz":
        return True
    try:
        with zipfile.ZipFile(local_path(checkpoint.files[0])) as archive:
            return any(_axes(archive.open(name)) >= _KERNEL_AXES for name in archive.namelist())
    except Exception:  # noqa: BLE001 - of a damaged archive anything is raised; reading it says what is wrong
        return True


def _axes(array: IO[bytes]) -> int:
    """Return the number of axes that the header of a `.npy` file states."""
    with array:
        version = np.lib.format.read_magic(array)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return len(read(array)[0])
