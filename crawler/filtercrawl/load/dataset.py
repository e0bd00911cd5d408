"""A dataset as an object: its configs, tables and layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.formatting import format_count, unknown_column
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.manifest import PATH as MANIFEST
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.display import html_table
from filtercrawl.load.configs import config_paths, table_files
from filtercrawl.load.layers import load_layers
from filtercrawl.load.location import FolderLocation, open_location, reading
from filtercrawl.load.views import RAW

if TYPE_CHECKING:
    from filtercrawl.load.hub_location import HubLocation
    from filtercrawl.load.kernel_dataset import KernelDataset


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The content of a dataset's `manifest.json`.

    Attributes:
        dataset_id: The id that a dataset keeps for all its versions.
        root: SHA-256 over the paths, sizes and hashes of all published files.
        schema_version: The version of the schema of all tables.
        filtercrawl_version: The version that wrote the dataset.
        counts: Numbers of checkpoints, layers and kernels.
    """

    dataset_id: str
    root: str
    schema_version: int
    filtercrawl_version: str
    counts: Mapping[str, int]


class Dataset:
    """A filtercrawl dataset: a folder, or a repository on the Hub at one commit. Returned by `open_dataset`."""

    def __init__(self, location: FolderLocation | HubLocation) -> None:
        self._location = location

    @property
    def repo_or_path(self) -> str:
        """`org/name`, or the path of the folder."""
        return str(self._location) if isinstance(self._location, FolderLocation) else self._location.repo_id

    @property
    def revision(self) -> str | None:
        """The commit on the Hub; None for a folder."""
        return None if isinstance(self._location, FolderLocation) else self._location.commit

    @cached_property
    def info(self) -> DatasetInfo:
        """Identity, versions and counts of the dataset.

        Raises:
            DatasetError: `manifest.json` is missing or cannot be read.
        """
        content = self._folder_with([MANIFEST]).manifest()
        try:
            return DatasetInfo(
                dataset_id=str(content["dataset_id"]),
                root=str(content["root"]),
                schema_version=int(content["schema_version"]),
                filtercrawl_version=str(content["filtercrawl_version"]),
                counts={str(name): int(count) for name, count in content["counts"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{self}: {MANIFEST} is not a manifest ({error!r})") from error

    @cached_property
    def configs(self) -> tuple[str, ...]:
        """Names that `datasets.load_dataset(path, name)` accepts, as the card lists them.

        Raises:
            DatasetError: The card is missing or cannot be read.
        """
        return tuple(self._paths_by_config)

    def index(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return `index`: one row per layer, everything but the weights.

        Args:
            columns: The columns to read; None for all.
        """
        return self.table("index", columns)

    def models(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return `models`: one row per checkpoint, with its outcome.

        Args:
            columns: The columns to read; None for all.
        """
        return self.table("models", columns)

    def table(self, config: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one table as a whole; empty if the dataset has no rows of it.

        Args:
            config: A config other than `layers`, for example `ledger` or `samples`.
            columns: The columns to read; None for all.

        Returns:
            The rows in the types of the schema. A column that an older dataset does not have is null.

        Raises:
            UsageError: There is no such table or column.
            DatasetError: A file cannot be read.
            NetworkError: The Hub does not answer.
        """
        if config not in TABLES or config == "layers":
            known = ", ".join(name for name in TABLES if name != "layers")
            raise UsageError(f"no table is named {config!r}; there are {known}; layers() returns weights")
        names = TABLES[config].names
        if unknown := [name for name in columns or () if name not in names]:
            raise UsageError(f"{config} has no column {unknown_column(unknown[0], names)}")
        return self._folder_with(table_files(self._location, config)).table(config, columns)

    def layers(
        self,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        view: str | Sequence[str] = RAW.name,
    ) -> pa.Table:
        """Return the layers that match a condition, with their weights; see `filtercrawl.load_layers`.

        Args:
            where: A condition over the columns of `index` in the SQL of DuckDB; None for all layers.
            columns: Columns of `layers` or `index`; `shape` and `weight` are added. By default those of `layers`.
            view: The name of a view, or of several that are combined.

        Returns:
            One row per layer; `weight` is float32, flat in row-major order of `shape`.

        Raises:
            UsageError: The condition, a column or a view is not understood.
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        return load_layers(self.repo_or_path, where, columns, view=view, revision=self.revision)

    def kernels(self, kernel: str, *, batch_size: int = 8192, seed: int = 0, where: str | None = None) -> KernelDataset:
        """Return a torch dataset of all kernels of one size; see `filtercrawl.KernelDataset`.

        Args:
            kernel: The kernel size as in the column `kernel`, for example `3x3`.
            batch_size: Kernels of a batch.
            seed: Seed of the order; not negative.
            where: A condition as for `layers`; None for all kernels of the size.

        Returns:
            Yields float32 tensors `[batch_size, *kernel_size]`.

        Raises:
            UsageError: Nothing matches, or an argument is not understood.
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        from filtercrawl.load.kernel_dataset import KernelDataset

        return KernelDataset(
            self.repo_or_path, kernel, batch_size=batch_size, seed=seed, where=where, revision=self.revision
        )

    def __str__(self) -> str:
        return str(self._location)

    def __repr__(self) -> str:
        revision = "" if self.revision is None else f", revision={self.revision!r}"
        return f"open_dataset({self.repo_or_path!r}{revision})"

    def _repr_html_(self) -> str:
        """Show identity, counts and configs in a notebook; text from the dataset is escaped."""
        rows: dict[str, object] = {"revision": self.revision} if self.revision else {}
        rows |= {name: format_count(count) for name, count in self.info.counts.items()}
        rows |= {"configs": ", ".join(self.configs), "dataset id": self.info.dataset_id, "root": self.info.root}
        return html_table(str(self), rows)

    @cached_property
    def _paths_by_config(self) -> dict[str, tuple[str, ...]]:
        return config_paths(self._location)

    def _folder_with(self, paths: Sequence[str]) -> DatasetFolder:
        """Return the local folder that holds these published files, downloaded if necessary."""
        for path in paths:
            with reading(self._location, path):
                self._location.file(path)
        return DatasetFolder(self._location.root, str(self._location))


def open_dataset(repo_or_path: str | Path, *, revision: str | None = None) -> Dataset:
    """Open a dataset to read its tables and layers. No weight is read before one is asked for.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        revision: A branch, tag or commit of a repository; by default `main`. A version of a dataset is a tag.

    Raises:
        DatasetError: There is no dataset, or the text names neither a folder nor a repository.
        NetworkError: The Hub cannot be reached, or has no such repository or revision.

    Example:
        >>> dataset = filtercrawl.open_dataset("org/kernels", revision="v2026.11.23")
        >>> dataset.index(["kernel", "n_kernels"]).group_by("kernel").aggregate([("n_kernels", "sum")])
        >>> dataset.layers("kernel = '7x7' and depthwise")["weight"]
    """
    location = open_location(repo_or_path, revision)
    location.index()
    return Dataset(location)
