"""Reads ONNX models: every tensor, and which convolution uses it as the graph proves."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.checkpoint import Reader
from filtercrawl.hookspecs import hookimpl
from filtercrawl_plugins.onnx.reader import OnnxReader

__all__ = ["OnnxReader", "filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield OnnxReader()
