"""The manifest: which files are published, and one hash over all of them.

The hash is of a tree: `files` lists the SHA-256 of every file, a part of it those of one part of the dataset, and the
root is the hash of the parts of `files`. A change of one file changes one part and the root.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION

PATH: Final = "manifest.json"
# The table of all files, for messages.
TABLE: Final = "data/files"
# The folders whose files are published.
PARTS: Final = ("data", "analysis", "subsets")
# Above these sizes a table of an analysis is not published as text (CSV, or the script file of the report): that has
# several times the bytes of its Parquet file, and each version would send all of it again.
_TEXT_BYTES: Final = {".csv": 100_000, ".js": 1_000_000}
# What changed against the version before, for people and in full; beside the card, where somebody who browses looks.
CHANGELOG: Final = "CHANGES.md"
CHANGES: Final = "changes.json"
# The picture of kernels at the top of the card.
PICTURE: Final = "figures/kernels.png"
# Files, tables and columns for programs.
CROISSANT: Final = "croissant.json"
# Published files outside the folders of `PARTS`, where a repository may have files of its owner; they are listed too.
SINGLE_FILES: Final = (CHANGELOG, CHANGES, PICTURE, CROISSANT)
# What the last release did. It describes a run, not the data, so it is published but not listed:
# nothing changed would else be a change.
RUN: Final = "analysis/run.json"
# What each run did and cost, a table. It is not listed either, and no part of the root hash: two runs never take the
# same time, and equal data is to have equal hashes.
RUNS: Final = "data/runs.parquet"
ABOUT_RUNS: Final = frozenset({RUN, RUNS})

# The names that every reader takes: `datasets` and pyarrow skip what starts with "." or "_".
_WORD: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_LAYERS_FILE: Final = re.compile(rf"data/layers/{_WORD}/[0-9a-f]{{2}}/{_WORD}\.parquet")


def layer_files(folder: Path, known: Iterable[tuple[str, int, str]]) -> list[File]:
    """Return layers files by path, with the hashes from the catalog; no content is read.

    A file may be absent, since a nightly release starts without the weights.

    Args:
        folder: The dataset folder.
        known: Path, size and SHA-256 of each file.

    Raises:
        DatasetError: A file has another size, or `datasets` would not read a file of its name.
    """
    files = [File(path=path, size=size, sha256=sha256) for path, size, sha256 in sorted(known)]
    for file in files:
        if not _LAYERS_FILE.fullmatch(file.path):
            raise DatasetError(
                f"{file.path!r} is not the name of a layers file; run `filtercrawl sync SELECTOR --rebuild`"
            )
        try:
            size = (folder / file.path).stat().st_size
        except FileNotFoundError:
            continue
        if size != file.size:
            raise DatasetError(f"{file.path}: {size} bytes, but {file.size} were written; delete it and run sync again")
    return files


def other_files(folder: Path, known: set[str]) -> Iterator[File]:
    """Yield what is published besides `known`, the layers files and the card; each is read for its hash."""
    for walked, folders, names in chain.from_iterable(os.walk(folder / part) for part in PARTS):
        here = Path(walked)
        top = here == folder / "data"
        folders[:] = [name for name in folders if name[0] not in "._" and not (top and name == "layers")]
        for name in names:
            path = (here / name).relative_to(folder).as_posix()
            if path in known or path in ABOUT_RUNS or name[0] in "._":
                continue
            if is_published(path, (here / name).stat().st_size):
                yield hashed_file(folder, path)
    for path in SINGLE_FILES:
        if path not in known and (folder / path).is_file():
            yield hashed_file(folder, path)


def is_published(path: str, size: int) -> bool:
    """Tell whether a file below PARTS is published: all are, but for long tables as text, which stay here."""
    limit = _TEXT_BYTES.get(PurePosixPath(path).suffix) if path.startswith("analysis/tables/") else None
    return limit is None or size <= limit


def hashed_file(folder: Path, path: str) -> File:
    """Return the record of a file that is read for its hash."""
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return File(path=path, size=file.tell(), sha256=digest)


def file_entry(path: str, text: str) -> File:
    """Return the record of a text file that is about to be written."""
    data = text.encode()
    return File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def root_hash(files: Iterable[File]) -> str:
    """Hash files as sorted lines `sha256 size path`, each ended by a line feed."""
    lines = sorted(f"{file.sha256} {file.size} {file.path}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def root_of(lists: Sequence[File], card: File, listed: Iterable[File]) -> str:
    """Return the root hash of a dataset.

    Args:
        lists: The parts of `files`.
        card: README.md, which names a digest of `files` and so is not listed.
        listed: The files that are listed; the root of the older layout, which has one list, is the hash of these.
    """
    is_tree = all(list_.path.startswith(f"{TABLE}/") for list_ in lists)
    return root_hash([*(lists if is_tree else listed), card])


def manifest_text(dataset_id: str, root: str, tables: Mapping[str, Sequence[File]], counts: Mapping[str, int]) -> str:
    """Return manifest.json: canonical JSON without a time, so that equal datasets have equal manifests.

    Args:
        dataset_id: The id of the dataset.
        root: The root hash.
        tables: The files of each table: who reads over HTTP finds their names here.
        counts: Numbers of checkpoints, layers and kernels.
    """
    content = {
        "counts": dict(counts),
        "dataset_id": dataset_id,
        "filtercrawl_version": version("filtercrawl"),
        "pyarrow_version": pa.__version__,
        "root": root,
        "schema_version": SCHEMA_VERSION,
        "tables": {name: [file.path for file in files] for name, files in tables.items()},
    }
    return json.dumps(content, sort_keys=True, indent=1) + "\n"
