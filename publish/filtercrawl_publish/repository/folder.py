"""A folder as a place to publish to: it is replaced as a whole, and keeps every version.

`FOLDER` is a symbolic link to the published version, one of the folders in `.FOLDER.versions` beside it; unchanged
files are hard links, so that a version costs what is new in it. A plain dataset folder can be read the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from filtercrawl.api.errors import ConflictError, DatasetError, NotFoundError, PolicyError, UsageError
from filtercrawl.api.range_file import relative_path
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import atomic_write, write_text
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.repository.base import CommitOperations, RepositoryFile

_TAGS: Final = "tags.json"
# Contents that were sent ahead of a commit, each by its sha256.
_UPLOADS: Final = "uploads"
_CHUNK_BYTES: Final = 1024 * 1024


class FolderRepository:
    """Implements `Repository` in a folder. A commit is named by a hash over its files, 40 hex digits."""

    def __init__(self, folder: str, revision: str | None = None) -> None:
        self.id = folder
        self.revision = revision
        self._folder = Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100 - resolve() would follow the link
        self._versions = self._folder.parent / f".{self._folder.name}.versions"

    @property
    def url(self) -> str:
        if self.revision is None:
            return str(self._folder)
        return str(self._version_folder(self.resolve()))

    def head(self) -> str | None:
        if self._folder.is_symlink():
            return self._folder.readlink().name
        return _commit(self._plain()) if _is_plain(self._folder) else None

    def tags(self) -> dict[str, str]:
        return {name: str(about["commit"]) for name, about in self._tagged().items()}

    def resolve(self, revision: str | None = None) -> str:
        wanted = revision or self.revision
        head, tags = self.head(), self.tags()
        if wanted in (None, "main") and head is not None:
            return head
        if wanted in tags:
            return tags[wanted]
        commits = [path.name for path in self._versions.glob("[0-9a-f]*") if path.is_dir()] + ([head] if head else [])
        found = {commit for commit in commits if wanted and len(wanted) > 6 and commit.startswith(wanted)}
        if len(found) == 1:
            return found.pop()
        raise UsageError(f"{self.id}: has no version {wanted or 'at all'}; versions are {', '.join(tags) or 'none'}")

    def load_location(self, commit: str) -> tuple[str, str | None]:
        return str(self._version_folder(commit)), None

    def title(self, commit: str) -> str:
        about = self._json(commit)
        return str(json.loads(about.read_bytes())["title"]) if about.is_file() else ""

    def files(self, revision: str) -> dict[str, RepositoryFile]:
        place = self._version_folder(self.resolve(revision))
        files = self._plain() if place == self._folder else _listing(place.with_suffix(".json"))
        return {file.path: RepositoryFile(size=file.size, sha256=file.sha256) for file in files}

    def read(self, path: str, revision: str) -> bytes:
        try:
            return (self._version_folder(self.resolve(revision)) / relative_path(path)).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.id}@{revision}: has no file {path!r}") from error

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        place, stated = self._version_folder(self.resolve(revision)), self.files(revision)
        for path in paths:
            target = folder / relative_path(path)
            if path not in stated or not (place / path).is_file():
                raise NotFoundError(f"{self.id}@{revision}: has no file {path!r}")
            if target.is_file() and stated[path].is_file(target):
                continue
            with atomic_write(target, folder) as scratch:
                if _copy(place / path, scratch) != stated[path].sha256:
                    raise DatasetError(f"{self.id}@{revision}: {path} is damaged")

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        """Copy files beside the versions, by their content."""
        with self._writing():
            for file in add.values():
                self._stored(file)
        return frozenset(add)

    def uploaded(self, files: Collection[File]) -> frozenset[str]:
        return frozenset(file.path for file in files if self._has(file))

    def commit(self, operations: CommitOperations, parent: str | None, title: str, body: str) -> str:
        with self._writing():
            head = self.head()
            if head != parent:
                raise ConflictError(f"{self.id}: somebody else published meanwhile; run again to publish on top of it")
            if self._folder.is_dir() and not self._folder.is_symlink() and not any(self._folder.iterdir()):
                self._folder.rmdir()
            if self._folder.exists() and not self._folder.is_symlink():
                raise PolicyError(f"{self.id}: is a folder that was not published; publish to a new one")
            before = {} if head is None else {file.path: file for file in _listing(self._json(head))}
            sources = {path: (self._version_folder(head or "") / path, file) for path, file in before.items()}
            for path in operations.delete:
                sources.pop(path)
            for path, (source, revision) in operations.copy.items():
                commit = self.resolve(revision)
                there = {file.path: file for file in _listing(self._json(commit))}
                sources[path] = (self._version_folder(commit) / source, there[source])
            for path, local in operations.add.items():
                relative_path(path)
                stored, size = self._stored(local)
                sources[path] = (stored, File(path=path, size=size, sha256=stored.name))
            for path, file in operations.uploaded.items():
                relative_path(path)
                if not self._has(file):
                    raise NotFoundError(f"{self.id}: {path}: what was sent ahead is there no more")
                sources[path] = (self._uploaded(file), file)
            files = sorted((File(path=path, size=f.size, sha256=f.sha256) for path, (_, f) in sources.items()),
                           key=lambda file: file.path)  # fmt: skip
            commit = _commit(files)
            if not self._version_folder(commit).is_dir():
                scratch = self._build({path: source for path, (source, _) in sources.items()})
                about = {"title": title, "body": body, "files": [[file.path, file.size, file.sha256] for file in files]}
                write_text(self._json(commit), self._versions, json.dumps(about))
                scratch.rename(self._versions / commit)
                _sync(self._versions)
            self._point(commit)
            shutil.rmtree(self._versions / _UPLOADS, ignore_errors=True)
            return commit

    def tag(self, name: str, commit: str, message: str) -> None:
        with self._writing():
            tags = self._tagged()
            if name in tags and tags[name]["commit"] != commit:
                raise ConflictError(f"{self.id}: the version {name} is another commit; a tag never moves, run again")
            text = json.dumps(tags | {name: {"commit": commit, "message": message}}, indent=1) + "\n"
            write_text(self._versions / _TAGS, self._versions, text)

    def _tagged(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads((self._versions / _TAGS).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self._versions / _TAGS}: cannot be read ({error})") from error
        return {str(name): dict(about) for name, about in found.items()}

    def _version_folder(self, commit: str) -> Path:
        place = self._versions / commit
        return self._folder if _is_plain(self._folder) and not place.is_dir() else place

    def _json(self, commit: str) -> Path:
        return self._versions / f"{commit}.json"

    def _plain(self) -> list[File]:
        """The files of a dataset folder: those that it lists, and those that the list cannot name."""
        place = self._folder
        listed = DatasetFolder(place).files()
        rest = [name for name in (card.PATH, manifest.PATH, manifest.TABLE) if (place / name).is_file()]
        return sorted((*listed, *(_described(place, name) for name in rest)), key=lambda file: file.path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._versions.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._versions / "lock").acquire(timeout=0):
                yield
        except Timeout as error:
            raise ConflictError(f"{self.id}: another process publishes to it; try again when it is done") from error
        except OSError as error:
            raise DatasetError(f"{self.id}: cannot be written ({error.strerror or error})") from error

    def _has(self, file: File) -> bool:
        stored = self._uploaded(file)
        return stored.is_file() and stored.stat().st_size == file.size

    def _uploaded(self, file: File) -> Path:
        return self._versions / _UPLOADS / file.sha256

    def _stored(self, file: Path) -> tuple[Path, int]:
        """Copy a file to where it has its sha256 for a name; return that place and its size."""
        folder = self._versions / _UPLOADS
        folder.mkdir(exist_ok=True)
        scratch = folder / "scratch"
        digest = _copy(file, scratch)
        scratch.chmod(0o444)  # versions share it
        stored = folder / digest
        scratch.replace(stored)
        return stored, stored.stat().st_size

    def _build(self, sources: Mapping[str, Path]) -> Path:
        """Put a version together out of sight."""
        scratch = self._versions / "building"
        shutil.rmtree(scratch, ignore_errors=True)
        for path, source in sources.items():
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            _link(source, scratch / path)
        for folder, _, _ in os.walk(scratch):
            _sync(Path(folder))
        return scratch

    def _point(self, commit: str) -> None:
        """Let the folder be a version, in one step."""
        link = self._versions / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(self._versions.name) / commit)
        link.replace(self._folder)
        _sync(self._folder.parent)


def _is_plain(folder: Path) -> bool:
    """Tell whether a folder is a dataset that was not published there."""
    return not folder.is_symlink() and (folder / manifest.PATH).is_file()


def _commit(files: Iterable[File]) -> str:
    return manifest.root_hash(files)[:40]


def _listing(path: Path) -> list[File]:
    rows = json.loads(path.read_bytes())["files"]
    return [File(path=name, size=size, sha256=sha256) for name, size, sha256 in rows]


def _described(folder: Path, path: str) -> File:
    data = (folder / path).read_bytes()
    return File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _copy(source: Path, target: Path) -> str:
    """Copy a file durably; return the sha256 of what was written."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        while piece := read.read(_CHUNK_BYTES):
            digest.update(piece)
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    return digest.hexdigest()


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a filesystem without such links
        _copy(source, target)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
