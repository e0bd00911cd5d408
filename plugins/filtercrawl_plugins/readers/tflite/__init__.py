"""Reader of TFLite models (`.tflite`).

Flow: `model` parses tensors and operators, `usage` finds the operators that use each constant, `reader` turns constants
into records.
"""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.reader import Reader
from filtercrawl_plugins.readers.tflite.reader import TfliteReader

__all__ = ["filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield TfliteReader()
