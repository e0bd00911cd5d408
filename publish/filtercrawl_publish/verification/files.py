"""Whether the files of a dataset are those it lists: sizes, hashes, schemas, the manifest and the card."""

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
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import table_of
from filtercrawl.dataset.schema.arrow import FILES, SCHEMA_VERSION
from filtercrawl_publish.repository.base import RepositoryFile
from filtercrawl_publish.verification.issues import DatasetFolder, Issue, pc, schema_of


def check_files(path: Path, elsewhere: Mapping[str, RepositoryFile] | None = None) -> tuple[DatasetFolder, list[Issue]]:
    """Compare a dataset with its own list of files; return what of it can be read, and what is wrong.

    elsewhere: what a remote says of files that are not here: they are compared with that, and count as readable only
    to whoever brings them here.
    """
    folder, findings = _listed(path)
    elsewhere = elsewhere or {}
    present: list[File] = []
    for file in folder.files:
        there = None if (path / file.path).is_file() else elsewhere.get(file.path)
        problem = _compare(path, file) if there is None else _stated(file, there)
        if problem is None:
            present.append(file)
        else:
            findings.append(Issue(where=file.path, what=problem))
    findings += _unlisted(folder, elsewhere)
    sound = []
    for name in [*(file.path for file in present if file.path.endswith(".parquet")), manifest.TABLE]:
        if (path / name).is_file():
            problem = schema_problem(path / name, schema_of(name))
            if problem is None:
                sound.append(name)
            else:
                findings.append(Issue(where=name, what=problem))
    return replace(folder, verified_files=frozenset(sound)), findings


def _listed(path: Path) -> tuple[DatasetFolder, list[Issue]]:
    listing = path / manifest.TABLE
    if not listing.is_file():
        finding = Issue(where=manifest.TABLE, what="is missing; run `filtercrawl sync` to write it again")
        return DatasetFolder(path=path, files=()), [finding]
    if schema_problem(listing, FILES) is not None:
        return DatasetFolder(path=path, files=()), []  # said once, with the other schemas
    files, findings = {}, []
    for row in pq.read_table(listing, columns=FILES.names).to_pylist():
        try:
            safe = relative_path(row["path"]).as_posix() == row["path"]
        except UnsafeFileError:
            safe = False
        if not safe or row["path"] in files:
            findings.append(Issue(where=manifest.TABLE, what=f"lists {row['path']!r}, outside or twice"))
        else:
            files[row["path"]] = File(**row)
    return DatasetFolder(path=path, files=tuple(files.values())), findings


def _compare(folder: Path, file: File) -> str | None:
    try:
        with (folder / file.path).open("rb") as stream:
            size = stream.seek(0, 2)
            if size != file.size:
                return f"has {size} bytes, {file.size} are listed"
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return "is listed and missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None if digest == file.sha256 else f"has sha256 {digest}, {file.sha256} is listed"


def _stated(file: File, there: RepositoryFile) -> str | None:
    if there.size != file.size:
        return f"has {there.size} bytes, {file.size} are listed"
    if there.sha256 is None:
        return "is no large file to the Hub, which so states no sha256 of it"
    return None if there.sha256 == file.sha256 else f"has sha256 {there.sha256}, {file.sha256} is listed"


def _unlisted(folder: DatasetFolder, elsewhere: Collection[str]) -> Iterator[Issue]:
    """Yield the files below data/ and analysis/ that the list leaves out, but for hidden ones: no reader sees them."""
    listed = {file.path for file in folder.files} | {manifest.TABLE, manifest.RUN}
    found = [path for part in manifest.PARTS for path in (folder.path / part).rglob("*")]
    texts = [folder.path / name for name in (manifest.CHANGELOG, manifest.CHANGES)]
    absent = [folder.path / path for path in elsewhere if path.startswith(tuple(f"{part}/" for part in manifest.PARTS))]
    for path in sorted({*found, *absent, *(path for path in texts if path.is_file())}):
        relative = path.relative_to(folder.path)
        hidden = any(part.startswith((".", "_")) for part in relative.parts)
        if hidden or path.is_dir() or relative.as_posix() in listed:
            continue
        if not path.is_file() or manifest.is_published(relative.as_posix(), path.stat().st_size):
            yield Issue(where=relative.as_posix(), what=f"is not listed in {manifest.TABLE}")


def schema_problem(path: Path, schema: pa.Schema | None) -> str | None:
    """Say how a Parquet file differs from the schema that it must have; None where it does not."""
    try:
        with pq.ParquetFile(path) as file:
            found, rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"is no Parquet file: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if rows == 0:
        return "has no rows; `datasets` cannot read such a file"
    if schema is None or found.equals(schema):
        return None
    here, there = ({field.name: (field.type, field.nullable) for field in s} for s in (found, schema))
    names = [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
    names = names or ["the order of the columns"]
    return f"has another schema than version {SCHEMA_VERSION}: {', '.join(names)}"


def check_manifest(folder: DatasetFolder) -> Iterator[Issue]:
    """Compare the root hash and the schema version in manifest.json with the files."""
    readme = folder.path / card.PATH
    try:
        stated = json.loads((folder.path / manifest.PATH).read_bytes())
        text = readme.read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        where = card.PATH if isinstance(error, OSError) and error.filename == str(readme) else manifest.PATH
        yield Issue(where=where, what=f"cannot be read: {reason}")
        return
    if not isinstance(stated, dict):
        yield Issue(where=manifest.PATH, what="is no JSON object")
        return
    about_readme = File(path=card.PATH, size=len(text), sha256=hashlib.sha256(text).hexdigest())
    root = manifest.root_hash([*folder.files, about_readme])
    if stated.get("root") != root:
        what = f"states the root {stated.get('root')!r}; that of the listed files and the card is {root}"
        yield Issue(where=manifest.PATH, what=what)
    if stated.get("schema_version") != SCHEMA_VERSION:
        what = f"states schema version {stated.get('schema_version')!r}; this program checks {SCHEMA_VERSION}"
        yield Issue(where=manifest.PATH, what=what)


def check_card(folder: DatasetFolder) -> Iterator[Issue]:
    """Compare the configs that the card names with the tables that have files."""
    try:
        header = card.Card.parse((folder.path / card.PATH).read_text("utf-8")).header
    except OSError:
        return  # said with the manifest
    except (DatasetError, UnicodeDecodeError) as error:
        yield Issue(where=card.PATH, what=f"its header cannot be read: {' '.join(str(error).split())}")
        return
    configs, infos = header.get("configs") or [], header.get("dataset_info") or []
    named = _names(configs)
    described = _names(infos)
    wanted = {name for file in folder.files if (name := table_of(file.path))}
    if (folder.path / manifest.TABLE).is_file():
        wanted.add("files")
    layers = [file.path for file in folder.files if table_of(file.path) == "layers"]
    wanted |= {f"layers-{path.split('/')[2]}" for path in layers if path.count("/") > 2}
    free = _free(folder)
    if (free is None and REDISTRIBUTABLE in named) or 0 < len(free or ()) <= LISTED_FILES:
        wanted.add(REDISTRIBUTABLE)
    if free is not None and REDISTRIBUTABLE in named & wanted and _paths(configs, REDISTRIBUTABLE) != free:
        yield Issue(where=card.PATH, what=f"the config {REDISTRIBUTABLE!r} names other files than data/index.parquet")
    for name in sorted(wanted - named):
        yield Issue(where=card.PATH, what=f"does not name the config {name!r}")
    for name in sorted(named - wanted):
        yield Issue(where=card.PATH, what=f"names the config {name!r}, which has no file")
    for name in sorted(named & wanted - described):
        yield Issue(where=card.PATH, what=f"does not state the features of the config {name!r}")


def _free(folder: DatasetFolder) -> set[str] | None:
    """Return the files of layers that everybody may pass on, None where the index cannot be read."""
    if not folder.tables("index"):
        return None
    index = folder.table("index", ["file", "redistributable"])
    return set(index.filter(pc.field("redistributable") & pc.field("file").is_valid())["file"].to_pylist())


def _paths(entries: object, name: str) -> set[str]:
    """Return all paths of a config."""
    listed = entries if isinstance(entries, list) else []
    found: set[str] = set()
    for entry in listed:
        if isinstance(entry, dict) and entry.get("config_name") == name:
            for part in entry.get("data_files") or []:
                found.update(map(str, part.get("path") or [] if isinstance(part, dict) else []))
    return found


def _names(entries: object) -> set[str]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry.get("config_name")) for entry in listed if isinstance(entry, dict)}
