"""Reader of ONNX models: every tensor, and the convolution that uses it as the graph proves.

Flow: `detect` recognizes a file, `graph` parses its structure, `tensors` locates the numbers, `usage` finds out which
tensors are weights of convolutions, and `model_tensors` combines them. Format: https://onnx.ai/onnx/intro/concepts.html.
"""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.reader import Reader
from filtercrawl_plugins.readers.onnx.reader import OnnxReader

__all__ = ["OnnxReader", "filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield OnnxReader()
