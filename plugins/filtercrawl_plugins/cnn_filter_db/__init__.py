"""Published files of CNN Filter DB (arXiv 2203.15331): a source of their models, and the reader of one model.

A file is HDF5 with a pandas table `/meta`, a row per layer, and all kernels in `/filters`. Flow: `hdf5` opens the file,
`pandas_table` reads the table into `cells`, `models` groups its rows into models, `metadata` maps their columns, and
`source` offers each model as a `model_file` with its `kernels`, which `reader` reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.reader import Reader
from filtercrawl.api.source import Source
from filtercrawl_plugins.cnn_filter_db.reader import CnnFilterDbReader
from filtercrawl_plugins.cnn_filter_db.source import CnnFilterDbSource


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield CnnFilterDbSource()


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield CnnFilterDbReader()
