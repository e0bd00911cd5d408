"""Readers of Keras files: HDF5 (`.h5`, `.weights.h5`) and archives (`.keras`).

Flow: `datasets` lists the arrays of an HDF5 file, `config` parses the description of the model beside them, and
`layers` says by the class of a layer what its arrays are and in which order their axes lie.
"""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.reader import Reader
from filtercrawl_plugins.readers.keras.readers import KerasArchiveReader, KerasHdf5Reader

__all__ = ["filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the readers of the two formats of Keras."""
    yield KerasHdf5Reader()
    yield KerasArchiveReader()
