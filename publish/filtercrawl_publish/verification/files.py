"""Check files against the file list: sizes, digests, schemas, the manifest and the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, UnsafeFileError
from filtercrawl.api.range_file import relative_path
from filtercrawl.dataset.card import card
from filtercrawl.dataset.card.configs import LISTED_FILES, REDISTRIBUTABLE
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.subset_folders import config_names, subset_folders
from filtercrawl.dataset.files.table_files import files_of, table_of
from filtercrawl.dataset.schema.arrow import FILES, SCHEMA_VERSION
from filtercrawl_publish.repository.base import RepositoryFile
from filtercrawl_publish.verification.issues import CheckedFolder, Issue, pc, schema_of


def check_files(path: Path, remote: Mapping[str, RepositoryFile] | None = None) -> tuple[CheckedFolder, list[Issue]]:
    """Compare the files of a dataset with its file list.

    Args:
        path: The dataset folder.
        remote: What a repository states about its files. Files without a local copy are compared with that.

    Returns:
        The folder with the files that can be read, and what is wrong.
    """
    folder, issues = _read_file_list(path)
    remote = remote or {}
    intact: list[File] = []
    for file in folder.files:
        stated = None if (path / file.path).is_file() else remote.get(file.path)
        problem = _compare_local(path, file) if stated is None else _compare_remote(file, stated)
        if problem is None:
            intact.append(file)
        else:
            issues.append(Issue(where=file.path, what=problem))
    issues += _unlisted_files(folder, remote)
    readable = []
    for name in [
        *(file.path for file in intact if file.path.endswith(".parquet")),
        *(file.path for file in folder.lists),
        manifest.RUNS,
    ]:
        if (path / name).is_file():
            problem = schema_problem(path / name, schema_of(name))
            if problem is None:
                readable.append(name)
            else:
                issues.append(Issue(where=name, what=problem))
    return replace(folder, verified_files=frozenset(readable)), issues


def _read_file_list(path: Path) -> tuple[CheckedFolder, list[Issue]]:
    lists = [name.relative_to(path).as_posix() for name in files_of(path, "files")]
    issues = [
        Issue(where=name, what="is missing; run `filtercrawl sync` to write it again")
        for name in sorted({*(_stated_lists(path) or ()), *([] if lists else [manifest.TABLE])} - {*lists})
    ]
    files: dict[str, File] = {}
    readable = [name for name in lists if schema_problem(path / name, FILES) is None]  # others are reported later
    for row in (row for name in readable for row in pq.read_table(path / name, columns=FILES.names).to_pylist()):
        try:
            safe = relative_path(row["path"]).as_posix() == row["path"]
        except UnsafeFileError:
            safe = False
        if not safe or row["path"] in files:
            issues.append(Issue(where=manifest.TABLE, what=f"lists {row['path']!r}, which is unsafe or listed twice"))
        else:
            files[row["path"]] = File(**row)
    about_lists = tuple(manifest.hashed_file(path, name) for name in lists)
    return CheckedFolder(path=path, files=tuple(files.values()), lists=about_lists), issues


def _stated_lists(path: Path) -> tuple[str, ...] | None:
    try:
        return DatasetFolder(path).stated_files("files")
    except DatasetError:
        return None  # reported with the manifest


def _compare_local(folder: Path, file: File) -> str | None:
    try:
        with (folder / file.path).open("rb") as stream:
            size = stream.seek(0, 2)
            if size != file.size:
                return f"has {size} bytes, {file.size} are listed"
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return "is listed but missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None if digest == file.sha256 else f"has sha256 {digest}, {file.sha256} is listed"


def _compare_remote(file: File, stated: RepositoryFile) -> str | None:
    if stated.size != file.size:
        return f"has {stated.size} bytes, {file.size} are listed"
    if stated.sha256 is None:
        return "is not stored as a large file, so the Hub states no sha256"
    return None if stated.sha256 == file.sha256 else f"has sha256 {stated.sha256}, {file.sha256} is listed"


def _unlisted_files(folder: CheckedFolder, remote: Collection[str]) -> Iterator[Issue]:
    """Report files of the dataset that are not listed; hidden ones are ignored, as readers do."""
    listed = {file.path for file in (*folder.files, *folder.lists)} | manifest.ABOUT_RUNS
    local = [path for part in manifest.PARTS for path in (folder.path / part).rglob("*")]
    single_files = [folder.path / name for name in manifest.SINGLE_FILES]
    absent = [folder.path / path for path in remote if path.startswith(tuple(f"{part}/" for part in manifest.PARTS))]
    for path in sorted({*local, *absent, *(path for path in single_files if path.is_file())}):
        relative = path.relative_to(folder.path)
        hidden = any(part.startswith((".", "_")) for part in relative.parts)
        if hidden or path.is_dir() or relative.as_posix() in listed:
            continue
        if not path.is_file() or manifest.is_published(relative.as_posix(), path.stat().st_size):
            yield Issue(where=relative.as_posix(), what=f"is not listed in {manifest.TABLE}")


def schema_problem(path: Path, schema: pa.Schema | None) -> str | None:
    """Return how a Parquet file differs from the schema that it must have; None if it does not."""
    try:
        with pq.ParquetFile(path) as file:
            actual, rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"is not a Parquet file: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if rows == 0:
        return "has no rows; `datasets` cannot read such a file"
    if schema is None or actual.equals(schema):
        return None
    have, want = ({field.name: (field.type, field.nullable) for field in s} for s in (actual, schema))
    names = [name for name in sorted(have.keys() | want.keys()) if have.get(name) != want.get(name)]
    names = names or ["the order of the columns"]
    return f"has another schema than version {SCHEMA_VERSION}: {', '.join(names)}"


def check_manifest(folder: CheckedFolder) -> Iterator[Issue]:
    """Compare the root hash and the schema version in manifest.json with the files."""
    readme = folder.path / card.PATH
    try:
        content = json.loads((folder.path / manifest.PATH).read_bytes())
        text = readme.read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        where = card.PATH if isinstance(error, OSError) and error.filename == str(readme) else manifest.PATH
        yield Issue(where=where, what=f"cannot be read: {reason}")
        return
    if not isinstance(content, dict):
        yield Issue(where=manifest.PATH, what="is not a JSON object")
        return
    about_readme = File(path=card.PATH, size=len(text), sha256=hashlib.sha256(text).hexdigest())
    root = manifest.root_of(folder.lists, about_readme, folder.files)
    if content.get("root") != root:
        what = f"states the root {content.get('root')!r}; that of the listed files and the card is {root}"
        yield Issue(where=manifest.PATH, what=what)
    if content.get("schema_version") != SCHEMA_VERSION:
        what = f"states schema version {content.get('schema_version')!r}; this filtercrawl checks {SCHEMA_VERSION}"
        yield Issue(where=manifest.PATH, what=what)


def check_card(folder: CheckedFolder) -> Iterator[Issue]:
    """Compare the configs that the card names with the tables that have files."""
    try:
        header = card.Card.parse((folder.path / card.PATH).read_text("utf-8")).header
    except OSError:
        return  # reported with the manifest
    except (DatasetError, UnicodeDecodeError) as error:
        yield Issue(where=card.PATH, what=f"its header cannot be read: {' '.join(str(error).split())}")
        return
    configs, infos = header.get("configs") or [], header.get("dataset_info") or []
    named = _config_names(configs)
    described = _config_names(infos)
    expected = {name for file in folder.files if (name := table_of(file.path))}
    if folder.lists:
        expected.add("files")
    if files_of(folder.path, "runs"):
        expected.add("runs")
    layers = [file.path for file in folder.files if table_of(file.path) == "layers"]
    expected |= {f"layers-{path.split('/')[2]}" for path in layers if path.count("/") > 2}
    redistributable = _redistributable_files(folder)
    if (redistributable is None and REDISTRIBUTABLE in named) or 0 < len(redistributable or ()) <= LISTED_FILES:
        expected.add(REDISTRIBUTABLE)
    if (
        redistributable is not None
        and REDISTRIBUTABLE in named & expected
        and _config_paths(configs, REDISTRIBUTABLE) != redistributable
    ):
        yield Issue(where=card.PATH, what=f"the config {REDISTRIBUTABLE!r} does not match data/index")
    expected |= set(config_names(subset_folders(folder.path)))
    for name in sorted(expected - named):
        yield Issue(where=card.PATH, what=f"does not name the config {name!r}")
    for name in sorted(named - expected):
        yield Issue(where=card.PATH, what=f"names the config {name!r}, which has no file")
    for name in sorted(named & expected - described):
        yield Issue(where=card.PATH, what=f"does not state the features of the config {name!r}")


def _redistributable_files(folder: CheckedFolder) -> set[str] | None:
    """Return the layers files that may be redistributed; None if the index cannot be read."""
    if not folder.tables("index"):
        return None
    index = folder.table("index", ["file", "row_group", "redistributable"])
    return set(index.filter(pc.field("redistributable") & pc.field("row_group").is_valid())["file"].to_pylist())


def _config_paths(entries: object, name: str) -> set[str]:
    """Return all paths of a config in the card."""
    listed = entries if isinstance(entries, list) else []
    paths: set[str] = set()
    for entry in listed:
        if isinstance(entry, dict) and entry.get("config_name") == name:
            for part in entry.get("data_files") or []:
                paths.update(map(str, part.get("path") or [] if isinstance(part, dict) else []))
    return paths


def _config_names(entries: object) -> set[str]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry.get("config_name")) for entry in listed if isinstance(entry, dict)}
