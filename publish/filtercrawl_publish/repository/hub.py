"""A dataset repo on the Hub, as a place to publish to."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import ConflictError, NetworkError, NotFoundError, UsageError
from filtercrawl.api.range_file import relative_path
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files.atomic import atomic_write
from filtercrawl.dataset.files.parquet import File
from filtercrawl.transport import hub
from filtercrawl.transport.responses import map_http_errors, raise_for_status
from filtercrawl.transport.retry import RetryPolicy
from filtercrawl_publish.repository.base import CommitOperations, RepositoryFile
from filtercrawl_publish.repository.hub_commit import addition, info, to_hub_operations
from filtercrawl_publish.repository.retry import http_status, retry_write

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

# All that a repo holds that was just made.
_NEW: Final = frozenset({".gitattributes", "README.md"})
_CHUNK_BYTES: Final = 1024 * 1024
# Files that are fetched side by side.
_MAX_CONCURRENT: Final = 8
# A file whose hash is not the stated one is downloaded again; the transport itself retries failed requests.
_DOWNLOADS: Final = RetryPolicy.with_delays(0.2, 2.0)
# Contents that are asked for at a time, and the answer to a commit that names one which is not there.
_ASKED: Final = 256
_NO_CONTENT: Final = 400


class HubRepository:
    """Implements `filtercrawl_publish.repository.base.Repository`."""

    def __init__(self, repo_id: str, transport: Transport, revision: str | None = None) -> None:
        self.id = repo_id
        self.revision = revision
        self.url = repo_id
        self._transport = transport

    @property
    def _api(self) -> HfApi:
        """Over this transport also where another client of the Hub was opened meanwhile."""
        return hub.api(self._transport)

    def head(self) -> str | None:
        return self._refs()[0]

    def tags(self) -> dict[str, str]:
        return self._refs()[1]

    def resolve(self, revision: str | None = None) -> str:
        wanted = revision or self.revision
        head, tags = self._refs()
        if wanted in (None, "main") and head is not None:
            return head
        if wanted in tags:
            return tags[wanted]
        if wanted and head is not None:
            with hub.translate_hub_errors(f"{self.id}@{wanted}"):
                commits = self._api.list_repo_commits(self.id, repo_type="dataset", revision="main")
            found = [commit.commit_id for commit in commits if len(wanted) > 6 and commit.commit_id.startswith(wanted)]
            if len(found) == 1:
                return found[0]
        raise UsageError(f"{self.id}: has no version {wanted or 'at all'}; versions are {', '.join(tags) or 'none'}")

    def load_location(self, commit: str) -> tuple[str, str | None]:
        return self.id, commit

    def title(self, commit: str) -> str:
        with hub.translate_hub_errors(f"{self.id}@{commit}"):
            commits = self._api.list_repo_commits(self.id, repo_type="dataset", revision=commit)
        return commits[0].title if commits else ""

    def files(self, revision: str) -> dict[str, RepositoryFile]:
        from huggingface_hub.hf_api import RepoFile

        with hub.translate_hub_errors(f"{self.id}@{revision}"):
            tree = self._api.list_repo_tree(self.id, repo_type="dataset", revision=revision, recursive=True)
            return {item.path: _entry(item) for item in tree if isinstance(item, RepoFile)}

    def read(self, path: str, revision: str) -> bytes:
        return b"".join(self._download_chunks(path, revision))

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        """The files are held against the size and hash that the repo states."""
        stated = self.files(revision)
        wanted = list(paths)
        for path in wanted:
            if path not in stated:
                raise NotFoundError(f"{self.id}@{revision}: has no file {path!r}")
            relative_path(path)
        pool = ThreadPoolExecutor(_MAX_CONCURRENT, "fetch")
        try:
            for _ in pool.map(lambda path: self._download(path, revision, stated[path], folder), wanted):
                pass
        finally:
            pool.shutdown(cancel_futures=True)

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        self._make()
        if not sys.stderr.isatty():
            disable_progress_bars()
        operations = [addition(path, file) for path, file in add.items()]

        def act() -> bool:
            self._api.preupload_lfs_files(self.id, operations, repo_type="dataset", free_memory=True)
            return True

        retry_write(f"{self.id}: upload", act)
        # A small file goes with the commit, and is not freed.
        return frozenset(operation.path_in_repo for operation in operations if operation.path_or_fileobj == b"")

    def uploaded(self, files: Collection[File]) -> frozenset[str]:
        """With Xet nobody can ask for a sha256 before it is committed: there, the commit tells."""
        if hub.uses_xet():
            return frozenset(file.path for file in files)
        found: set[str] = set()
        asked = list(files)
        for start in range(0, len(asked), _ASKED):
            batch = asked[start : start + _ASKED]
            try:
                there = retry_write(f"{self.id}: ask for what was sent", partial(self._there, batch))
            except NotFoundError:
                break
            found |= {file.path for file in batch if file.sha256 in there}
        return frozenset(found)

    def commit(self, operations: CommitOperations, parent: str | None, title: str, body: str) -> str:
        parent = parent or self._fresh()

        def act() -> str:
            return self._api.create_commit(
                self.id,
                to_hub_operations(operations),
                commit_message=title,
                commit_description=body,
                repo_type="dataset",
                parent_commit=parent,
            ).oid

        def landed() -> str | None:
            head = self.head()
            if head == parent or head is None:
                return None
            if self._holds(head, operations):
                return head
            raise ConflictError(f"{self.id}: somebody else published meanwhile; run again to publish on top of it")

        try:
            return retry_write(f"{self.id}: commit", act, landed)
        except NetworkError as error:
            if operations.uploaded and http_status(error) == _NO_CONTENT:
                raise NotFoundError(f"{self.id}: what was sent ahead may be there no more: {error}") from error
            raise

    def tag(self, name: str, commit: str, message: str) -> None:
        def there() -> str | None:
            found = self.tags().get(name)
            if found not in (None, commit):
                raise ConflictError(f"{self.id}: the version {name} is another commit; a tag never moves, run again")
            return found

        def act() -> str:
            self._api.create_tag(self.id, tag=name, tag_message=message, revision=commit, repo_type="dataset")
            return commit

        retry_write(f"{self.id}: tag {name}", act, there)

    def _refs(self) -> tuple[str | None, dict[str, str]]:
        try:
            with hub.translate_hub_errors(self.id):
                refs = self._api.list_repo_refs(self.id, repo_type="dataset")
        except NotFoundError:
            return None, {}
        heads = [branch.target_commit for branch in refs.branches if branch.name == "main"]
        return (heads[0] if heads else None), {tag.name: tag.target_commit for tag in refs.tags}

    def _make(self) -> str:
        """Make the repo where there is none; return its head."""

        def act() -> bool:
            self._api.create_repo(self.id, repo_type="dataset", exist_ok=True)
            return True

        head = self.head()
        if head is None:
            retry_write(f"{self.id}: make the repo", act)
            head = self.head()
        if head is None:
            raise NetworkError(f"{self.id}: {hub.MISSING}, though it was just made; try again")
        return head

    def _fresh(self) -> str:
        """Return the head of a repo that nobody has published to."""
        head = self._make()
        if not self.files(head).keys() <= _NEW:
            raise ConflictError(f"{self.id}: somebody else published the first version meanwhile; run again")
        return head

    def _holds(self, commit: str, operations: CommitOperations) -> bool:
        """Tell whether a commit has what the operations were to make."""
        found = self.files(commit)
        if any(path in found for path in operations.delete):
            return False
        if not {*operations.add, *operations.uploaded, *operations.copy} <= found.keys():
            return False
        if any(found[path].sha256 != file.sha256 for path, file in operations.uploaded.items()):
            return False
        return all(found[path].is_file(file) for path, file in operations.add.items())

    def _there(self, files: Collection[File]) -> set[str]:
        """Return the sha256 of the contents that the Hub wants no upload of."""
        from huggingface_hub.lfs import post_lfs_batch_info

        api = self._api
        objects, _, _ = post_lfs_batch_info(
            [info(file) for file in files], token=None, repo_type="dataset", repo_id=self.id, endpoint=api.endpoint
        )
        return {str(found["oid"]) for found in objects if not found.get("actions")}

    def _download(self, path: str, revision: str, stated: RepositoryFile, folder: Path) -> None:
        target = folder / path
        if target.is_file() and stated.is_file(target):
            return

        def act() -> bool:
            with atomic_write(target, folder) as scratch:
                with scratch.open("wb") as file:
                    for piece in self._download_chunks(path, revision):
                        file.write(piece)
                if not stated.is_file(scratch):
                    raise NetworkError(f"{self.id}@{revision}: {path} is not what the repo says it is")
            return True

        retry_write(f"{self.id}@{revision}: {path}", act, policy=_DOWNLOADS)

    def _download_chunks(self, path: str, revision: str) -> Iterator[bytes]:
        from huggingface_hub import get_token, hf_hub_url

        url = hf_hub_url(self.id, path, repo_type="dataset", revision=revision, endpoint=self._api.endpoint)
        where = f"{self.id}@{revision}: {path}"
        token = get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with map_http_errors(where), self._transport.client.stream("GET", url, headers=headers) as answer:
            raise_for_status(answer, where)
            yield from answer.iter_bytes(_CHUNK_BYTES)


def _entry(item: RepoFile) -> RepositoryFile:
    return RepositoryFile(size=item.size, sha256=item.lfs.sha256 if item.lfs else None, oid=item.blob_id)
