"""The reader of ONNX models."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.onnx.detect import looks_like_onnx
from filtercrawl_plugins.readers.onnx.graph.parse import read_tensors
from filtercrawl_plugins.readers.onnx.tensors.storage import external_paths


class OnnxReader:
    """Reads every tensor of an ONNX model: each has the convolution that uses it, or a reason why it is no kernel."""

    name = "onnx"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file starts like an ONNX model; see `looks_like_onnx`."""
        return looks_like_onnx(file)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return the external data files in the order of the tensors; raises CheckpointError."""
        return external_paths(file, read_tensors(file))

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor in the order of the file; raises CheckpointError.

        Names are those of `graph.tensor_names.name_tensors`. The layer of a weight is the name of the first node that
        convolves with it, or the tensor's name without `.weight` if the node has no name.
        """
        # Needs torch, for what is folded before a weight; to tell an ONNX model from another file does not.
        from filtercrawl_plugins.readers.onnx.model_tensors import model_tensors

        yield from model_tensors(files)
