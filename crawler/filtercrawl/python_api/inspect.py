"""The Python function behind `filtercrawl.inspect`."""

from __future__ import annotations

import os
from os import PathLike, fspath
from typing import TYPE_CHECKING

from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config import resolve

if TYPE_CHECKING:
    from filtercrawl.pipeline.inspection import Inspection


def inspect(
    checkpoint: str | PathLike[str], *, kernel_size: KernelPolicy | None = None, plugins: Plugins | None = None
) -> Inspection:
    """Tell for every tensor of one checkpoint whether a sync would emit or skip it, and why. Nothing is written.

    A worker process reads the file, within the limits that a sync has (`memory_limit`, `cpu_limit`, `reading_limit`,
    `stall_timeout`); with the engine `threads` this one does.

    Args:
        checkpoint: A file, or a selector that names one checkpoint, for example `hub:timm/resnet18.a1_in1k`.
        kernel_size: Which kernels to keep: `3x3`, `spatial` (more than one tap; the default) or `all`.
        plugins: Sources and readers; by default those of all installed plugins.

    Raises:
        UsageError: Nothing, or more than one checkpoint, has this name.
        CheckpointError: The file cannot be read.
        NetworkError: A server does not answer.

    Example:
        >>> for tensor in filtercrawl.inspect("model.safetensors").tensors:
        ...     print(tensor["tensor"], tensor["outcome"], tensor["reason"])
    """
    settings = resolve({"kernel_size": kernel_size}, keywords=True)
    plugins = plugins or load_plugins()
    selector = selector_of(checkpoint, plugins)
    from filtercrawl.pipeline.inspect import inspect as inspect_checkpoint

    return inspect_checkpoint(selector, plugins, settings)


def selector_of(checkpoint: str | PathLike[str], plugins: Plugins) -> str:
    """Return the selector of a file, or what is one already.

    Raises:
        UsageError: There is no such file, nor a source of this name.
    """
    text = fspath(checkpoint)
    # Not pathlib's functions, which raise for a name that is too long.
    if os.path.isfile(text):  # noqa: PTH113
        return f"local:{text}"
    if ":" not in text and text not in plugins.sources:
        if os.path.isdir(text):  # noqa: PTH112
            raise UsageError(f"{text}: is a folder; name one file in it, as a single checkpoint is inspected")
        if os.path.lexists(text):
            raise UsageError(f"{text}: is no regular file (a pipe, a device or a link to nothing); name a file")
        known = ", ".join(sorted(plugins.sources))
        raise UsageError(f"{text}: no such file, and no source of this name; installed are {known}")
    return text
