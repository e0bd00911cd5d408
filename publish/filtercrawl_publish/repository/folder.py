"""A repository in a folder.

`FOLDER` is a symbolic link to the latest version, a folder in `.FOLDER.versions` next to it. A new version appears by
replacing the link, so readers see either the old or the new one. Unchanged files are hard links: a version needs disk
space only for what is new. A dataset folder that was never published can be read through the same interface.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from filtercrawl.api.errors import ConflictError, DatasetError, NotFoundError, PolicyError
from filtercrawl.api.range_file import relative_path
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import atomic_write, may_write, sync_to_disk, write_text
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl_publish.repository.base import CommitOperations, RepositoryFile
from filtercrawl_publish.repository.digests import file_info
from filtercrawl_publish.repository.errors import published_meanwhile, tag_exists, unknown_revision
from filtercrawl_publish.repository.linked_files import copy_file, link_file
from filtercrawl_publish.repository.listing_cache import ListingCache
from filtercrawl_publish.repository.unfinished_commit import begin_commit, end_commit, remove_unfinished

_TAGS: Final = "tags.json"
# Content uploaded before its commit, one file per sha256.
_UPLOADS: Final = "uploads"


class FolderRepository:
    """Implements `Repository`; the id of a commit is the first 40 hex digits of the root hash over its files."""

    def __init__(self, folder: str, revision: str | None = None) -> None:
        """Open a folder, which need not exist yet.

        Args:
            folder: Its path as the user wrote it; used in messages.
            revision: A tag or commit to read; None for the latest version.
        """
        self.id = folder
        self.hub_id: str | None = None
        self.revision = revision
        self._folder = Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100 - resolve() would follow the link
        self._versions = self._folder.parent / f".{self._folder.name}.versions"
        self._listings = ListingCache()

    @property
    def url(self) -> str:
        if self.revision is None:
            return str(self._folder)
        return str(self._version_folder(self.resolve()))

    def check_writable(self) -> None:
        folder = self._folder
        if folder.is_symlink():
            free = folder.readlink().parent in (Path(self._versions.name), self._versions)
        else:
            free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        if not free:
            raise PolicyError(f"{self.id}: exists and holds no versions; it is not replaced: publish to a new folder")
        parent = next(above for above in folder.absolute().parents if above.exists())
        if not may_write(parent):
            raise DatasetError(f"{self.id}: cannot be written (no permission for {parent}); publish to another folder")

    def check_token(self) -> None:
        """A folder needs no token; `check_writable` says whether it can be written."""

    def clock_error(self) -> None:
        return None

    def refs(self) -> tuple[str | None, dict[str, str]]:
        return self.head(), self.tags()

    def head(self) -> str | None:
        if self._folder.is_symlink():
            return self._folder.readlink().name
        return _commit_id(self._unpublished_files()) if _is_unpublished(self._folder) else None

    def tags(self) -> dict[str, str]:
        return {name: str(tag["commit"]) for name, tag in self._read_tags().items()}

    def resolve(self, revision: str | None = None) -> str:
        wanted = revision or self.revision
        head, tags = self.head(), self.tags()
        if wanted in (None, "main") and head is not None:
            return head
        if wanted in tags:
            return tags[wanted]
        commits = [path.name for path in self._versions.glob("[0-9a-f]*") if path.is_dir()] + ([head] if head else [])
        matches = {commit for commit in commits if wanted and len(wanted) > 6 and commit.startswith(wanted)}
        if len(matches) == 1:
            return matches.pop()
        raise unknown_revision(self.id, wanted, tags)

    def load_location(self, commit: str) -> tuple[str, str | None]:
        return str(self._version_folder(commit)), None

    def title(self, commit: str) -> str:
        path = self._commit_file(commit)
        return str(json.loads(path.read_bytes())["title"]) if path.is_file() else ""

    def history(self, commit: str) -> list[str]:
        return [commit]

    def files(self, revision: str) -> Mapping[str, RepositoryFile]:
        version = self._version_folder(self.resolve(revision))
        if version == self._folder:
            return _by_path(self._unpublished_files())
        return self._listings.get(version.name, lambda commit: _by_path(_read_commit_files(self._commit_file(commit))))

    def read(self, path: str, revision: str) -> bytes:
        try:
            return (self._version_folder(self.resolve(revision)) / relative_path(path)).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.id}@{revision}: no file {path!r}") from error

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        version, files = self._version_folder(self.resolve(revision)), self.files(revision)
        for path in paths:
            target = folder / relative_path(path)
            if path not in files or not (version / path).is_file():
                raise NotFoundError(f"{self.id}@{revision}: no file {path!r}")
            if target.is_file() and files[path].is_file(target):
                continue
            with atomic_write(target, folder) as temporary:
                if copy_file(version / path, temporary) != files[path].sha256:
                    raise DatasetError(f"{self.id}@{revision}: {path} is damaged; its SHA-256 does not match")

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        """Copy the files next to the versions, named by their SHA-256."""
        with self._write_lock():
            for file in add.values():
                self._store_upload(file)
        return frozenset(add)

    def uploaded(self, files: Collection[File]) -> frozenset[str]:
        return frozenset(file.path for file in files if self._is_uploaded(file))

    def commit(self, operations: CommitOperations, parent: str | None, title: str, body: str) -> str:
        """Build the version in a staging folder, rename it into place, then replace the link.

        A kill leaves the old version visible; the next commit removes what was left of the one that nobody saw.
        """
        with self._write_lock():
            head = self.head()
            if head != parent:
                raise published_meanwhile(self.id)
            self.check_writable()
            if self._folder.is_dir() and not self._folder.is_symlink():
                self._folder.rmdir()
            sources = self._commit_sources(operations, head)
            files = sorted(
                (File(path=path, size=file.size, sha256=file.sha256) for path, (_, file) in sources.items()),
                key=lambda file: file.path,
            )
            commit = _commit_id(files)
            remove_unfinished(self._versions, {commit, head, *self.tags().values()})
            if not self._version_folder(commit).is_dir():
                begin_commit(self._versions, commit)
                staging = self._build({path: source for path, (source, _) in sources.items()})
                listed = [[file.path, file.size, file.sha256] for file in files]
                content = json.dumps({"title": title, "body": body, "files": listed})
                write_text(self._commit_file(commit), self._versions, content)
                staging.rename(self._versions / commit)
                sync_to_disk(self._versions)
            self._set_head(commit)
            end_commit(self._versions)
            shutil.rmtree(self._versions / _UPLOADS, ignore_errors=True)
            return commit

    def tag(self, name: str, commit: str, message: str) -> None:
        with self._write_lock():
            tags = self._read_tags()
            if name in tags and tags[name]["commit"] != commit:
                raise tag_exists(self.id, name)
            text = json.dumps(tags | {name: {"commit": commit, "message": message}}, indent=1) + "\n"
            write_text(self._versions / _TAGS, self._versions, text)

    def _commit_sources(self, operations: CommitOperations, head: str | None) -> dict[str, tuple[Path, File]]:
        """Return for each path of the new version the local file to link, and its size and digest."""
        parent_files = [] if head is None else _read_commit_files(self._commit_file(head))
        sources = {file.path: (self._version_folder(head or "") / file.path, file) for file in parent_files}
        for path in operations.delete:
            sources.pop(path)
        for path, (source, revision) in operations.copy.items():
            commit = self.resolve(revision)
            files = {file.path: file for file in _read_commit_files(self._commit_file(commit))}
            sources[path] = (self._version_folder(commit) / source, files[source])
        for path, local in operations.add.items():
            relative_path(path)
            stored, size = self._store_upload(local)
            sources[path] = (stored, File(path=path, size=size, sha256=stored.name))
        for path, file in operations.uploaded.items():
            relative_path(path)
            if not self._is_uploaded(file):
                raise NotFoundError(f"{self.id}: {path}: the uploaded content is gone")
            sources[path] = (self._upload_path(file), file)
        return sources

    def _read_tags(self) -> dict[str, dict[str, str]]:
        try:
            tags = json.loads((self._versions / _TAGS).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self._versions / _TAGS}: cannot be read ({error})") from error
        return {str(name): dict(tag) for name, tag in tags.items()}

    def _version_folder(self, commit: str) -> Path:
        version = self._versions / commit
        return self._folder if _is_unpublished(self._folder) and not version.is_dir() else version

    def _commit_file(self, commit: str) -> Path:
        return self._versions / f"{commit}.json"

    def _unpublished_files(self) -> list[File]:
        """Return the files of a dataset folder: those in its file list, and those that the list cannot contain."""
        folder = self._folder
        listed = DatasetFolder(folder).files()
        rest = [name for name in (card.PATH, manifest.PATH, manifest.RUNS) if (folder / name).is_file()]
        rest += [path.relative_to(folder).as_posix() for path in files_of(folder, "files")]
        return sorted((*listed, *(file_info(folder, name) for name in rest)), key=lambda file: file.path)

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        self._versions.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._versions / "lock").acquire(timeout=0):
                yield
        except Timeout as error:
            raise ConflictError(f"{self.id}: another process is publishing to it; run again later") from error
        except OSError as error:
            raise DatasetError(f"{self.id}: cannot be written ({error.strerror or error})") from error

    def _is_uploaded(self, file: File) -> bool:
        path = self._upload_path(file)
        return path.is_file() and path.stat().st_size == file.size

    def _upload_path(self, file: File) -> Path:
        return self._versions / _UPLOADS / file.sha256

    def _store_upload(self, file: Path) -> tuple[Path, int]:
        """Copy a file to the path that is named by its SHA-256; return that path and the size in bytes."""
        folder = self._versions / _UPLOADS
        folder.mkdir(exist_ok=True)
        temporary = folder / "scratch"
        digest = copy_file(file, temporary)
        temporary.chmod(0o444)  # versions share the file through hard links
        stored = folder / digest
        temporary.replace(stored)
        return stored, stored.stat().st_size

    def _build(self, sources: Mapping[str, Path]) -> Path:
        """Link the files of a version into a staging folder and sync it to disk."""
        staging = self._versions / "building"
        shutil.rmtree(staging, ignore_errors=True)
        for path, source in sources.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            link_file(source, staging / path)
        for folder, _, _ in os.walk(staging):
            sync_to_disk(Path(folder))
        return staging

    def _set_head(self, commit: str) -> None:
        """Replace the link atomically."""
        link = self._versions / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(self._versions.name) / commit)
        link.replace(self._folder)
        sync_to_disk(self._folder.parent)


def _is_unpublished(folder: Path) -> bool:
    """Return whether this is a plain dataset folder and not the link to a version."""
    return not folder.is_symlink() and (folder / manifest.PATH).is_file()


def _commit_id(files: Iterable[File]) -> str:
    return manifest.root_hash(files)[:40]


def _read_commit_files(path: Path) -> list[File]:
    rows = json.loads(path.read_bytes())["files"]
    return [File(path=name, size=size, sha256=sha256) for name, size, sha256 in rows]


def _by_path(files: Iterable[File]) -> dict[str, RepositoryFile]:
    return {file.path: RepositoryFile(size=file.size, sha256=file.sha256) for file in files}
