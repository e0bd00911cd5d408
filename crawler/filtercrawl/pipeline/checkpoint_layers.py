"""Read the layers of one checkpoint, without a dataset: what `inspect` shows, with the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.reader import read_content
from filtercrawl.config import Settings
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.extract import attach_architecture, warn_of_part
from filtercrawl.pipeline.discovery.architectures import architecture_of
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.inspect import select_checkpoint
from filtercrawl.transport import network


@dataclass(frozen=True, kw_only=True)
class CheckpointLayers:
    """The layers of one checkpoint whose files are open.

    Attributes:
        name: Name of the checkpoint.
        layers: Its layers in the order of the file.
    """

    name: str
    layers: tuple[Layer, ...]

    def read(self, layer: Layer) -> NDArray[np.float32]:
        """Return the weight of a layer, float32 `[out, in/groups, *kernel_size]`.

        Raises:
            CheckpointError: The file does not hold the bytes.
        """
        weight: NDArray[np.float32] = to_float32(layer, 0, layer.out_channels, torch.device("cpu")).numpy()
        return weight


@contextmanager
def open_checkpoint_layers(text: str, plugins: Plugins, settings: Settings) -> Iterator[CheckpointLayers]:
    """Open the one checkpoint that a selector names, with the checks that a sync makes.

    Args:
        text: The selector.
        plugins: Sources and readers.
        settings: Which kernels to keep, and how to reach the network.

    Raises:
        UsageError: The selector names no checkpoint, or several.
        CheckpointError: The checkpoint cannot be read.
        NetworkError: A server does not answer.
    """
    selector = Selector.parse(text, plugins)
    transport = network(settings.network)
    checkpoint = select_checkpoint(text, plugins, settings, transport)
    source = plugins.sources[selector.source]
    with CheckpointFiles(checkpoint, plugins.readers, transport, source) as files:
        stored = read_content(files.reader(), files).tensors
        warn_of_part(files.main.name)
        tensors, _ = attach_architecture(*architecture_of(source, checkpoint, plugins.sources), stored)
        layers = classify_tensors(tensors, settings.kernel_size, checkpoint.prefix).emitted
        prefetch(span for layer in layers for span in layer.spans)
        yield CheckpointLayers(name=checkpoint.name, layers=layers)
