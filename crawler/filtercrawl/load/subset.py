"""A subset of a dataset: the layers and kernels that a recipe selected, read by reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.formatting import format_count, unknown_name
from filtercrawl.dataset.files.dataset_folder import with_schema
from filtercrawl.dataset.files.subset_folders import ABOUT, CONFIG_PREFIX, SPLIT_FILE, SubsetFolder, read_about
from filtercrawl.dataset.schema.subset_rows import SubsetRow
from filtercrawl.display import html_table
from filtercrawl.load.configs import config_paths
from filtercrawl.load.location import DatasetLocation, open_location, reading
from filtercrawl.load.query import LayerRequest
from filtercrawl.load.subset_references import check_references
from filtercrawl.load.whole_layers import RowGroupRequests, read_whole_layers

if TYPE_CHECKING:
    import torch

_FIRST_PART: Final = "#part0"


@dataclass(frozen=True, kw_only=True, eq=False)
class SubsetLayer:
    """A layer of a subset.

    Attributes:
        layer_id: Its id.
        model_id: The id of its checkpoint.
        split: train, validation or test.
        shape: Of the whole layer, `[out_channels, in_channels/groups, *kernel_size]`.
        kernels: Its kernels that are in the subset, float32 `[n, *kernel_size]`; must not be written to.
        places: Where they are in the layer, `out * in_channels/groups + in`, int64 `[n]`.
    """

    layer_id: str
    model_id: str
    split: str
    shape: tuple[int, ...]
    kernels: torch.Tensor
    places: torch.Tensor

    def kernel_ids(self) -> list[str]:
        """Return the ids of the kernels, `layer_id:out:in`."""
        channels = (divmod(place, self.shape[1]) for place in self.places.tolist())
        return [f"{self.layer_id}:{out}:{channel}" for out, channel in channels]


class Subset:
    """The layers of a subset, or of one split of it. Returned by `load_subset`.

    Iterate over it for one layer after the other, or give it to `KernelDataset` for shuffled kernels. Memory: the
    manifest, which has at most a bit for each kernel of its layers, a row group, and the layers that begin in it.

    Attributes:
        layers: The manifest: a row a layer, with the columns that docs/schema.md lists under `subset`.
    """

    def __init__(self, location: DatasetLocation, folder: Path, layers: pa.Table) -> None:
        self._location = location
        self._folder = folder
        self.layers = layers

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What `subset.json` says: the recipe, its hash, and how many layers and kernels each rule excluded."""
        return read_about(self._folder)

    @property
    def n_kernels(self) -> int:
        """Number of kernels."""
        return sum(self.layers["n_kept"].to_pylist())

    @property
    def location(self) -> DatasetLocation:
        """The dataset that stores the weights."""
        return self._location

    def mask(self, row: int) -> NDArray[np.bool_] | None:
        """Return which kernels of a layer are in the subset; None where all are.

        Args:
            row: The row of the layer in `layers`.

        Raises:
            DatasetError: There are fewer bits than kernels.
        """
        bits = self.layers["kept"][row].as_py()
        if bits is None:
            return None
        count = math.prod(self.layers["shape"][row].as_py()[:2])
        if 8 * len(bits) < count:
            name = self.layers["layer_id"][row].as_py()
            raise DatasetError(f"{self}: {name} has {8 * len(bits)} bits for {count} kernels; make the subset again")
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=count, bitorder="little").view(np.bool_)

    def of_size(self, kernel: str) -> Subset:
        """Return the layers of one kernel size, such as `3x3`."""
        kept = pa.array([size == kernel for size in self.layers["kernel"].to_pylist()], pa.bool_())
        return Subset(self._location, self._folder, self.layers.filter(kept))

    def requests(self) -> RowGroupRequests:
        """Return the layers by the file and row group in which their weights begin."""
        names = ("file", "row_group", "row_id", "shape", "n_parts")
        columns = [self.layers[name].to_pylist() for name in names]
        found: dict[str, dict[int, list[LayerRequest]]] = {}
        for row, (file, group, row_id, shape, n_parts) in enumerate(zip(*columns, strict=True)):
            owner = row_id.removesuffix(_FIRST_PART)
            request = LayerRequest(row=row, layer_id=owner, shape=tuple(shape), n_parts=n_parts)
            found.setdefault(file, {}).setdefault(group, []).append(request)
        return found

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[SubsetLayer]:
        import torch

        ids, models, splits = (self.layers[name].to_pylist() for name in ("layer_id", "model_id", "split"))
        for request, kernels in read_whole_layers(self._location, self.requests()):
            row, mask = request.row, self.mask(request.row)
            places = np.arange(len(kernels)) if mask is None else np.flatnonzero(mask)
            chosen = kernels if mask is None else kernels[places]
            yield SubsetLayer(
                layer_id=ids[row],
                model_id=models[row],
                split=splits[row],
                shape=request.shape,
                kernels=torch.from_numpy(chosen).view(-1, *request.shape[2:]),
                places=torch.from_numpy(places),
            )

    def __str__(self) -> str:
        name = self.info.get("name", "subset")
        return f"{name}: {format_count(len(self))} layers, {format_count(self.n_kernels)} kernels of {self._location}"

    def _repr_html_(self) -> str:
        """Show the counts in a notebook; text from the dataset is escaped."""
        facts = {name: self.info.get(name) for name in ("description", "version", "recipe_sha256")}
        counts = {"layers": format_count(len(self)), "kernels": format_count(self.n_kernels)}
        return html_table(str(self.info.get("name", "subset")), {**facts, **counts})


def load_subset(
    repo_or_path: str | Path, name: str | Path, *, split: str | None = None, revision: str | None = None
) -> Subset:
    """Load a subset of a dataset; weights are read when it is iterated.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        name: The name of a subset of the dataset, `NAME` or `NAME-HASH`; or the folder of one that was written
            elsewhere.
        split: `train`, `validation` or `test`; None for all layers.
        revision: A branch, tag or commit of a repository; by default `main`.

    Raises:
        UsageError: The dataset has no such subset or split; or the folder is that of a subset of another dataset, or
            of one whose layers the dataset no longer has as they were.
        DatasetError: The dataset or the subset is damaged.
        NetworkError: The Hub does not answer, or has no such repository or revision.

    Example:
        >>> subset = filtercrawl.load_subset("org/kernels", "healthy-3x3", split="train")
        >>> for layer in subset:
        ...     print(layer.layer_id, layer.kernels.shape)
        >>> batches = filtercrawl.KernelDataset(subset, "3x3", batch_size=8192)
    """
    location = open_location(repo_or_path, revision)
    folder = Path(name)
    find: Callable[[str], Path]
    is_folder = (folder / ABOUT).is_file()
    if is_folder:
        splits = tuple(SubsetFolder.read(folder).splits)
        find = folder.joinpath
    else:
        paths = _published(location, str(name))
        splits, published = tuple(paths), next(iter(paths.values())).rpartition("/")[0]

        def find(file: str) -> Path:
            with reading(location, file):
                return location.file(f"{published}/{file}")

    if split is not None and split not in splits:
        raise UsageError(f"{name}: there is no split {unknown_name(split, splits)}")
    tables = [_read(find(f"{known}.parquet")) for known in splits if split in (None, known)]
    layers = pa.concat_tables(tables)
    if is_folder:
        check_references(location, folder, layers)
    return Subset(location, find(ABOUT).parent, layers)


def _published(location: DatasetLocation, name: str) -> dict[str, str]:
    """Return the path of each split of a subset of a dataset, as its card lists them.

    Raises:
        UsageError: There is no such subset.
        DatasetError: The card cannot be read, or names files of something else.
    """
    found: dict[str, dict[str, str]] = {}
    for config, paths in config_paths(location).items():
        if not config.startswith(CONFIG_PREFIX):
            continue
        known = config.removeprefix(CONFIG_PREFIX)
        for path in paths:
            parts = SPLIT_FILE.fullmatch(path)
            if parts is None:
                raise DatasetError(f"{location}: {path!r} in the card is not the path of a file of a subset")
            # By its folder too: a later version of the recipe may take the name.
            found.setdefault(known, {})[parts["split"]] = path
            found.setdefault(parts["folder"], {})[parts["split"]] = path
    if name not in found:
        raise UsageError(f"{location}: there is no subset {unknown_name(name, found)}")
    return found[name]


def _read(path: Path) -> pa.Table:
    """Read the manifest of a split.

    Raises:
        DatasetError: It cannot be read, or a value is missing.
    """
    schema = SubsetRow.SCHEMA
    try:
        table = with_schema(pq.read_table(path, use_threads=False), schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); make the subset again") from error
    if lacking := [field.name for field in schema if not field.nullable and table[field.name].null_count]:
        raise DatasetError(f"{path}: {lacking[0]} is null in some row; make the subset again")
    return table
