"""Read the layers of one checkpoint, without a dataset: what `inspect` shows, with the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.reader import read_content
from filtercrawl.config import Settings
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.extract import attach_architecture, warn_of_part
from filtercrawl.pipeline.crawling.reading_limit import ReadingLimit
from filtercrawl.pipeline.discovery.architectures import architecture_of
from filtercrawl.pipeline.inspect import open_one
from filtercrawl.pipeline.inspection import InspectionRequest
from filtercrawl.transport import network

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """What the file of a checkpoint states of a layer.

    Attributes:
        tensor: Name of the tensor, with `@index` for one kernel set of a bank.
        shape: `[out, in/groups, *kernel_size]`.
        groups: Groups of the convolution; None if unknown.
        dtype: Type of the stored numbers.
    """

    tensor: str
    shape: tuple[int, ...]
    groups: int | None
    dtype: str


@dataclass(frozen=True, kw_only=True)
class CheckpointLayer(LayerInfo):
    """A layer whose weight can be read.

    Attributes:
        read: Returns the weight, float32 of its shape; raises CheckpointError where the file does not hold the bytes.
    """

    read: Callable[[], NDArray[np.float32]]


@contextmanager
def open_checkpoint_layers(text: str, plugins: Plugins, settings: Settings) -> Iterator[tuple[CheckpointLayer, ...]]:
    """Open the one checkpoint that a selector names, with the checks that a sync makes.

    A worker process reads it, within the limits of the settings, and leaves the weights in a temporary file; with the
    engine `threads` this one reads each layer when it is needed.

    Args:
        text: The selector.
        plugins: Sources and readers.
        settings: Which kernels to keep, how to reach the network, and limits.

    Yields:
        The layers in the order of the file.

    Raises:
        UsageError: The selector names no checkpoint, or several.
        CheckpointError: The checkpoint cannot be read.
        NetworkError: A server does not answer.
    """
    with open_one(text, plugins, settings) as (request, workers):
        if workers is None:
            with _opened(plugins, request) as layers:
                yield tuple(CheckpointLayer(**vars(_info(layer)), read=partial(_read, layer)) for layer in layers)
            return
        with temporary_folder() as folder:
            order = (request, folder / "weights")
            infos = workers.call(_write_layers, order, name=request.checkpoint.name, local=request.is_local)
            yield tuple(_in_file(infos, folder / "weights"))


def _write_layers(plugins: Plugins, order: tuple[InspectionRequest, Path]) -> tuple[LayerInfo, ...]:
    """Write the weights of a checkpoint into a file, one after the other, as float32; return what they are."""
    request, path = order
    with _opened(plugins, request) as layers:
        try:
            with path.open("wb") as file:
                for layer in layers:
                    file.write(_read(layer).data)
        except OSError as error:
            why = error.strerror or error
            raise CheckpointError(f"{path.parent}: {why}; make space, or name another folder by TMPDIR") from error
        return tuple(map(_info, layers))


def _in_file(infos: tuple[LayerInfo, ...], file: Path) -> Iterator[CheckpointLayer]:
    offset = 0
    for info in infos:
        yield CheckpointLayer(**vars(info), read=partial(_weight_at, file, offset, info.shape))
        offset += 4 * int(np.prod(info.shape))


def _weight_at(file: Path, offset: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.fromfile(file, np.float32, int(np.prod(shape)), offset=offset).reshape(shape)


@contextmanager
def _opened(plugins: Plugins, request: InspectionRequest) -> Iterator[tuple[Layer, ...]]:
    """Open the files of a checkpoint; its weights are read while the block runs."""
    checkpoint, source = request.checkpoint, plugins.sources[request.source]
    with CheckpointFiles(checkpoint, plugins.readers, network(request.network), source) as files:

        def limit() -> ReadingLimit | nullcontext[None]:
            seconds = request.reading_seconds
            return nullcontext() if seconds is None else ReadingLimit(seconds, files.size)

        with limit():
            stored = read_content(files.reader(), files).tensors
        warn_of_part(files.main.name)
        tensors, _ = attach_architecture(*architecture_of(source, checkpoint, plugins.sources), stored)
        layers = classify_tensors(tensors, request.kernel_size, checkpoint.prefix).emitted
        prefetch(span for layer in layers for span in layer.spans)
        with limit():
            yield layers


def _info(layer: Layer) -> LayerInfo:
    bank = layer.tensor.bank_index
    return LayerInfo(
        tensor=layer.tensor.name + ("" if bank is None else f"@{bank}"),
        shape=layer.shape,
        groups=layer.groups,
        dtype=layer.tensor.dtype,
    )


def _read(layer: Layer) -> NDArray[np.float32]:
    weight: NDArray[np.float32] = to_float32(layer, 0, layer.out_channels, _CPU).numpy()
    return weight
