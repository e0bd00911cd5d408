"""The function behind `filtercrawl.search`: kernels by number or by id, and their nearest neighbors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import ArrayLike

from filtercrawl.api.errors import UsageError
from filtercrawl.config.device import select_device
from filtercrawl.kernel_search.nearest import Candidates
from filtercrawl.kernel_search.neighbors import Neighbors
from filtercrawl.kernel_search.query import Query
from filtercrawl.kernel_search.report import SearchReport
from filtercrawl.kernel_search.similarity import Invariance, Metric, Similarity
from filtercrawl.kernel_search.stream import KernelStream
from filtercrawl.load.layers import load_located_layers
from filtercrawl.load.location import DatasetLocation, open_location
from filtercrawl.load.query import select_layers
from filtercrawl.load.tensors import to_tensors

# Numbers of a block of kernels: 16 MiB, as much as a row of a layers file has.
_BLOCK_NUMBERS: Final = 1 << 22
_KERNEL_ID: Final = re.compile(r"(?P<layer>.+?)(#part\d+)?:(?P<out>\d{1,12}):(?P<channel>\d{1,12})", re.DOTALL)


def search(
    repo_or_path: str | Path,
    kernels: ArrayLike | torch.Tensor | str | Sequence[str],
    *,
    kernel: str | None = None,
    k: int = 10,
    metric: Metric = "cosine",
    invariant: Invariance | Sequence[Invariance] = (),
    where: str | None = None,
    device: str = "auto",
    revision: str | None = None,
) -> SearchReport:
    """Find the kernels of a dataset that are nearest to given ones, exactly.

    Every kernel of the size that matches the condition is compared, in float32 with a bound on its error, and those
    that may be among the nearest again in float64: the result is that of float64. Of equally near kernels the one that
    comes first in `index` is nearer. Memory does not depend on the size of the dataset: weights are read by row group,
    from a repository by byte ranges.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        kernels: One kernel `[*kernel_size]` or several `[..., *kernel_size]`; or the id of a kernel of the dataset,
            `layer_id:out:in`, or several.
        kernel: The kernel size as in the column `kernel`, for example `3x3`; by default that of the last two axes, or
            of the only one. Needed for several kernels of one dimension, and for those of three.
        k: Neighbors of each; fewer are returned where there are fewer.
        metric: `cosine`, or `l2` for the Euclidean distance.
        invariant: Changes that do not count: `scale`, `sign`, `rotation`, `flip`; see `Similarity`.
        where: A condition as for `load_layers`; None for all kernels of the size.
        device: `auto`, `cpu`, `cuda` or `mps`, where kernels are compared.
        revision: A branch, tag or commit of a repository; by default `main`.

    Returns:
        The neighbors. A kernel of the dataset finds itself first.

    Raises:
        UsageError: An argument, the condition or the dataset is not understood; there is no such kernel, or none of the
            size that matches.
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer, or has no such repository or revision.

    Example:
        >>> found = filtercrawl.search("kernels", [[0, -1, 0], [-1, 4, -1], [0, -1, 0]], invariant=["sign"])
        >>> found.neighbors["kernel_id"].to_pylist()
    """
    changes = (invariant,) if isinstance(invariant, str) else tuple(invariant)
    similarity = Similarity(metric=metric, invariant=changes)
    if k < 1:
        raise UsageError(f"there is at least one neighbor: k={k}")
    location = open_location(repo_or_path, revision)
    chosen = _queries(kernels, kernel, location)
    if not bool(torch.isfinite(chosen).all()):
        raise UsageError("a kernel that is searched for has numbers that are not finite in float32")
    if similarity.at_norm_one and not bool((chosen.flatten(1) != 0).any(1).all()):
        raise UsageError("a kernel of zeros has no direction; use the metric l2 without scale")
    query = Query(kernels=chosen, similarity=similarity, k=k, device=select_device(device))
    size = "x".join(map(str, query.kernel_size))
    stream = KernelStream.select(location, size, where)
    if not len(stream.numbers):
        raise _nothing_to_search(location, query, where)
    return _report(stream, query, _nearest(stream, query))


def _queries(kernels: Any, size: str | None, location: DatasetLocation) -> torch.Tensor:
    """Return what is searched for as float32 `[n, *kernel_size]`.

    Raises:
        UsageError: It is no kernel, or an id that the dataset does not have.
    """
    names = [kernels] if isinstance(kernels, str) else kernels
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return _stored_kernels(names, location)
    try:
        is_complex = kernels.is_complex() if torch.is_tensor(kernels) else np.iscomplexobj(kernels)
        if is_complex:
            raise UsageError("what is searched for has complex numbers; kernels are real")
        with np.errstate(over="ignore"):  # infinities are refused as such
            numbers = torch.as_tensor(kernels if torch.is_tensor(kernels) else np.asarray(kernels, np.float32))
    except (TypeError, ValueError) as error:
        raise UsageError(f"what is searched for is neither a kernel nor the id of one: {error}") from error
    numbers = numbers.detach().to("cpu", torch.float32)
    rank = min(numbers.ndim, 2) if size is None else size.count("x") + 1
    shape = numbers.shape[numbers.ndim - rank :] if numbers.ndim >= rank else ()
    if not shape or not numbers.numel() or size not in (None, "x".join(map(str, shape))):
        of_size = f" of {size}, which have the shape [..., {size.replace('x', ', ')}]" if size else ""
        raise UsageError(f"numbers of shape {list(numbers.shape)} are no kernels{of_size}")
    return numbers.reshape(-1, *shape)


def _stored_kernels(kernel_ids: Sequence[str], location: DatasetLocation) -> torch.Tensor:
    """Return kernels of the dataset `[n, *kernel_size]` by their ids; each of their layers is read once.

    Raises:
        UsageError: An id is none, or none of the dataset; or the kernels have several sizes.
    """
    by_layer: dict[str, list[int]] = {}
    places: list[tuple[int, int]] = []
    for number, kernel_id in enumerate(kernel_ids):
        parts = _KERNEL_ID.fullmatch(kernel_id)
        if parts is None:
            raise UsageError(f"{kernel_id!r} is not the id of a kernel, layer_id:out:in")
        by_layer.setdefault(parts["layer"], []).append(number)
        places.append((int(parts["out"]), int(parts["channel"])))
    found: dict[int, torch.Tensor] = {}
    for layer, numbers in by_layer.items():
        this_layer = duckdb.ColumnExpression("layer_id") == duckdb.ConstantExpression(layer)
        weights = to_tensors(load_located_layers(location, None, ["layer_id"], this_layer))
        for number in numbers:
            out, channel = places[number]
            if not weights or out >= weights[0].shape[0] or channel >= weights[0].shape[1]:
                raise UsageError(f"the dataset has no kernel {kernel_ids[number]}")
            found[number] = weights[0][out, channel].clone()
    if len({kernel.shape for kernel in found.values()}) > 1:
        raise UsageError("the kernels have several sizes; search for those of one size at a time")
    return torch.stack([found[number] for number in range(len(kernel_ids))])


def _nothing_to_search(location: DatasetLocation, query: Query, where: str | None) -> UsageError:
    """Return the error for a size that no layer has; it names the sizes that there are."""
    layers = select_layers(location.index(), where, ["kernel", "kernel_size"])
    sizes = dict(sorted(zip(layers["kernel"].to_pylist(), layers["kernel_size"].to_pylist(), strict=True)))
    size = "x".join(map(str, query.kernel_size))
    text = f"{location}: no kernels of {size}" + (f" where {where}" if where else "")
    text += f"; there are {', '.join(sizes)}" if sizes else ""
    flat = [axes for axes in sizes.values() if len(axes) > 1 and math.prod(axes) == query.kernel_size[-1]]
    if flat:
        text += (
            f". Rows of {query.kernel_size[-1]} numbers are kernels in the shape [n, {', '.join(map(str, flat[0]))}]"
        )
    return UsageError(text)


def _nearest(stream: KernelStream, query: Query) -> Neighbors:
    candidates = Candidates(query, len(stream.numbers))
    for block in stream.blocks(_BLOCK_NUMBERS // query.taps):
        candidates.add(block)
    return candidates.result()


def _report(stream: KernelStream, query: Query, found: Neighbors) -> SearchReport:
    names = query.similarity.names(query.kernel_size)
    if query.similarity.metric == "cosine":
        measure, values = "cosine", found.score
    else:
        measure, values = "distance", np.sqrt(np.maximum(-found.score, 0))
    columns: dict[str, Any] = {
        "query": pa.array(found.query),
        "rank": pa.array(np.arange(len(found.query)) - np.searchsorted(found.query, found.query)),
        measure: pa.array(values),
        "image": pa.array([_image(image, names) for image in found.image.tolist()], pa.string()),
        **stream.describe(found.number),
        "values": pa.array(list(found.kernel), pa.list_(pa.float32())),
    }
    return SearchReport(
        neighbors=pa.table(columns), kernel_size=query.kernel_size, searched=len(stream.numbers), measure=measure
    )


def _image(image: int, names: Sequence[str]) -> str:
    """Return how a query is turned, flipped and negated to be nearest."""
    if image >= 0:
        return names[image]
    turned = names[-1 - image]
    return "negated" if turned == names[0] else f"{turned}, negated"
