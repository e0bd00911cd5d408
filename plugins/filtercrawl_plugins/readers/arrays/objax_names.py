"""Archives that `objax.io.save_var_collection` writes: arrays by number, and an array of text that names the variables.

A name holds the class of each module: `(Net).layers(Sequential)[0](Conv2D).w`. Convolutions of Objax keep their kernels
as `[*k, in/groups, out]`, transposed ones as `[*k, out, in]`, whatever the order of the data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.layout import Layout, arrange
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES

NAMES: Final = "names"
# Bytes of all names, at four bytes a letter: those of 50,000 variables take less.
MAX_NAMES_BYTES: Final = 16 << 20
_TEXT: Final = re.compile(r"<U(\d{1,6})")
_PATH: Final = re.compile(r"\([^()]*\)")
_OWNER: Final = re.compile(r"\((?P<kind>\w+)\)\.(?P<leaf>\w+)$")
_LAYOUTS: Final = {
    **{f"Conv{n}D": (n + 2, Layout.KIO) for n in (1, 2, 3)},
    **{f"ConvTranspose{n}D": (n + 2, Layout.KOI) for n in (1, 2, 3)},
}
_NORMS: Final = re.compile(r"(Synced)?(Batch|Group|Layer)Norm(\dD)?")


def objax_arrays(arrays: Sequence[StoredTensor], names: RandomAccessFile | None) -> tuple[StoredTensor, ...] | None:
    """Return the variables of an archive of Objax, kernels with their axes in the order of torch.

    Args:
        arrays: All arrays of the archive: by number, and their names.
        names: The file of the array of names; None if there is none.

    Returns:
        The arrays in their order, variables under their own names; None if the archive is not one of Objax.

    Raises:
        FormatError: The names take more memory than those of any network.
    """
    numbers = {array.name for array in arrays if array.name != NAMES}
    text = next((array for array in arrays if array.name == NAMES), None)
    width = _TEXT.fullmatch(text.dtype) if text is not None else None
    if names is None or text is None or width is None or numbers != {str(i) for i in range(len(arrays) - 1)}:
        return None
    size = 4 * int(width[1]) * len(numbers)
    if size > MAX_NAMES_BYTES:
        raise FormatError(f"{names.name}: the names of its variables take {size} bytes, more than is supported")
    if text.shape != (len(numbers),) or not 0 < size < names.size:
        return None
    try:
        variables = _texts(names.read(names.size - size, size), 4 * int(width[1]))
    except UnicodeDecodeError:
        return None
    if len(set(variables)) < len(variables) or not all(_OWNER.search(variable) for variable in variables):
        return None
    return tuple(
        replace(array, reason="other") if array.name == NAMES else _variable(array, variables[int(array.name)])
        for array in arrays
    )


def _texts(data: bytes, width: int) -> list[str]:
    """Return the elements of an array of text, each of so many bytes."""
    return [data[i : i + width].decode("utf-32-le").rstrip("\0") for i in range(0, len(data), width)]


def _variable(array: StoredTensor, variable: str) -> StoredTensor:
    """Return an array under the name of its variable, with what the class of its module says of it."""
    path = _PATH.sub("", variable).replace("[", ".").replace("]", "").lstrip(".")
    named = replace(array, name=variable, key=path)
    owner = _OWNER.search(variable)
    if named.reason is not None or owner is None:
        return named
    kind, leaf = owner["kind"], owner["leaf"]
    rank, layout = _LAYOUTS.get(kind, (0, Layout.KIO))
    if leaf == "w" and rank == len(array.shape) and 0 not in array.shape and array.dtype in FLOAT_DTYPES:
        return arrange(named, layout)
    if _NORMS.fullmatch(kind):
        return replace(named, reason="norm")
    if leaf == "b" and (rank or kind == "Linear"):
        return replace(named, reason="bias")
    if leaf == "w" and kind == "Linear":
        return replace(named, reason="linear")
    return replace(named, reason="unknown_layout") if len(array.shape) >= 3 else named
