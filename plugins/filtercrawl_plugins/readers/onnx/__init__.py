"""Reads ONNX models: every tensor, and which convolution uses it as the graph proves."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Reader
from filtercrawl_plugins.readers.onnx.reader import OnnxReader

__all__ = ["OnnxReader", "filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield OnnxReader()
