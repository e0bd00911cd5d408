"""The source `cnn-filter-db`: each model of a published file of CNN Filter DB is a checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from filtercrawl.api.checkpoint import Checkpoint, Offer, RemoteFile
from filtercrawl.api.errors import CheckpointError, FormatError, UnsupportedError, UsageError
from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.source import Query
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.cnn_filter_db.hdf5 import Hdf5
from filtercrawl_plugins.cnn_filter_db.kernels import StoredKernels
from filtercrawl_plugins.cnn_filter_db.metadata import parse_metadata
from filtercrawl_plugins.cnn_filter_db.model_file import ModelFile, build_header
from filtercrawl_plugins.cnn_filter_db.models import PublishedModel, published_models
from filtercrawl_plugins.cnn_filter_db.pandas_table import read_frame
from filtercrawl_plugins.formats.hdf5 import SIGNATURE
from filtercrawl_plugins.sources.local.source import LocalPattern


@dataclass(frozen=True, kw_only=True)
class FileContents:
    """The content of a published file.

    Attributes:
        etag: Version of the file.
        models: Models by model_id.
        dtype: Name of the torch dtype of the kernels.
        row_bytes: Bytes of a kernel.
    """

    etag: str
    models: dict[str, PublishedModel]
    dtype: str
    row_bytes: int


class CnnFilterDbSource:
    """Offers the models of a published file, named by the column `model` of its table.

    `cnn-filter-db:FILE.h5` offers all models, `FILE.h5#PATTERN` those whose names match, as in `#resnet*`; `as=LABEL`
    puts `LABEL/` before the names. Pickles in the file are never run. A checkpoint is a part of the file, and only its
    own kernels are hashed.
    """

    name = "cnn-filter-db"
    setting_names = ()
    needs_pattern = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents_by_path: dict[Path, FileContents] = {}

    def canonical(self, pattern: str) -> str:
        """Return a pattern with an absolute path; raises UsageError."""
        return LocalPattern.parse(pattern, self.name).canonical

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the models in the order of the table; raises UsageError if the file is not a published one."""
        location = LocalPattern.parse(query.pattern, self.name)
        try:
            path, pattern = split_pattern(location.path.resolve())
            with LocalFile(path) as file:
                contents = self._contents(path, file)
        except CheckpointError as error:
            raise UsageError(f"{self.name}: {error}") from error
        for model in contents.models.values():
            if not fnmatchcase(model.name, pattern):
                continue
            size = sum(layer.n_kernels for layer in model.layers) * contents.row_bytes
            remote_file = RemoteFile(
                url=f"{path.as_uri()}#{quote(model.model_id, safe='')}",
                size=None if model.problem else len(build_header(contents.dtype, model.layers)) + size,
                etag=contents.etag,
                path=path.name,
            )
            yield Checkpoint(name=location.label + model.name, files=(remote_file,), meta=parse_metadata(model.columns))

    def part(self, checkpoint: Checkpoint, file: RandomAccessFile) -> RandomAccessFile:
        """Return one model as a file of its own; raises FormatError if its rows are invalid."""
        url = urlsplit(checkpoint.files[0].url)
        if not isinstance(file, LocalFile):
            raise UnsupportedError(f"{file.name}: only local files can be split into models")
        model = self._contents(Path(unquote(url.path)), file).models.get(unquote(url.fragment))
        if model is None:
            raise FormatError(f"{file.name}: has no model {unquote(url.fragment)!r}")
        if model.problem is not None:
            raise FormatError(f"{file.name}: {model.problem}")
        return ModelFile(Hdf5(file), model.layers, f"{file.name}#{model.model_id}")

    def _contents(self, path: Path, file: LocalFile) -> FileContents:
        """Return the content of a file; it is read again only when the file changes."""
        with self._lock:
            contents = self._contents_by_path.get(path)
            if contents is None or contents.etag != file.etag:
                self._contents_by_path[path] = contents = read_contents(file)
            return contents


def split_pattern(path: Path) -> tuple[Path, str]:
    """Split `FILE#PATTERN`; a path that exists is not split."""
    name, marker, pattern = path.name.rpartition("#")
    return (path, "*") if not marker or not name or path.exists() else (path.with_name(name), pattern or "*")


def read_contents(file: LocalFile) -> FileContents:
    """Read the table of a published file; raises CheckpointError."""
    if file.size < len(SIGNATURE) or file.read(0, len(SIGNATURE)) != SIGNATURE:
        raise FormatError(f"{file.name}: is not an HDF5 file; if its name ends in .xz, decompress it first")
    hdf5 = Hdf5(file)
    try:
        kernels = StoredKernels(hdf5)
        models = published_models(read_frame(hdf5), kernels.count, file.name)
    finally:
        hdf5.close()
    return FileContents(
        etag=file.etag,
        models={model.model_id: model for model in models},
        dtype=kernels.dtype,
        row_bytes=kernels.row_bytes,
    )
