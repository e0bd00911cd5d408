"""A dataset repository on the Hugging Face Hub, or a Space beside one."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from filtercrawl.api.errors import NetworkError, NotFoundError
from filtercrawl.api.range_file import relative_path
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files.atomic import atomic_write
from filtercrawl.dataset.files.parquet import File
from filtercrawl.transport import hub
from filtercrawl.transport.responses import map_http_errors, raise_for_status
from filtercrawl.transport.retry import RetryPolicy
from filtercrawl_publish.repository.base import CommitOperations, RepositoryFile
from filtercrawl_publish.repository.errors import published_meanwhile, tag_exists, unknown_revision
from filtercrawl_publish.repository.hub_commit import add_operation, contains, stored_digests, to_hub_operations
from filtercrawl_publish.repository.listing_cache import ListingCache
from filtercrawl_publish.repository.token import check_token
from filtercrawl_publish.repository.write_retry import http_status, retry_write

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import GitCommitInfo, RepoFile

RepoType = Literal["dataset", "space"]

# The files of a repository that was just created.
_INITIAL_FILES: Final = frozenset({".gitattributes", "README.md"})
_CHUNK_BYTES: Final = 1024 * 1024
# Concurrent downloads.
_MAX_CONCURRENT: Final = 8
# A file that arrived damaged is downloaded again; the transport itself retries failed requests.
_DOWNLOADS: Final = RetryPolicy.with_delays(0.2, 2.0)
# Files per request to the LFS batch endpoint.
_LFS_BATCH: Final = 256
# HTTP status of a commit that refers to content which was never uploaded, or was garbage-collected.
_MISSING_CONTENT_STATUS: Final = 400


class HubRepository:
    """Implements `Repository` with the Hub's own client, over our transport."""

    def __init__(
        self, repo_id: str, transport: Transport, revision: str | None = None, *, repo_type: RepoType = "dataset"
    ) -> None:
        """Open a repository, which need not exist yet; sends no request.

        Args:
            repo_id: `org/name`.
            transport: For all requests.
            revision: A tag or commit to read; None for the head of `main`.
            repo_type: The Hub's word for what it is; a Space is a static one.
        """
        self.id = repo_id
        self.hub_id = repo_id
        self.revision = revision
        self.url = repo_id
        self._transport = transport
        self._repo_type = repo_type
        self._listings = ListingCache()
        self._log: list[GitCommitInfo] = []

    def space(self, space_id: str) -> HubRepository:
        """Return a static Space on the same Hub, which need not exist yet; sends no request."""
        return HubRepository(space_id, self._transport, repo_type="space")

    def is_public(self) -> bool:
        """Return whether everybody can read it without a token."""
        with hub.translate_hub_errors(self.id):
            info = self._api.repo_info(self.id, repo_type=self._repo_type)
        return not info.private and not getattr(info, "gated", False)  # a Space cannot be gated

    @property
    def _api(self) -> HfApi:
        """The client; fetched anew each time because opening another one rebinds its transport."""
        return hub.api(self._transport)

    def check_writable(self) -> None:
        """Every repository can receive a commit; whether the token allows it, `check_token` asks."""

    def check_token(self) -> None:
        check_token(self._transport, self._api, self.id, self._repo_type)

    def clock_error(self) -> timedelta | None:
        return hub.clock_error(self._transport)

    def refs(self) -> tuple[str | None, dict[str, str]]:
        try:
            with hub.translate_hub_errors(self.id):
                refs = self._api.list_repo_refs(self.id, repo_type=self._repo_type)
        except NotFoundError:
            return None, {}
        heads = [branch.target_commit for branch in refs.branches if branch.name == "main"]
        return (heads[0] if heads else None), {tag.name: tag.target_commit for tag in refs.tags}

    def head(self) -> str | None:
        return self.refs()[0]

    def tags(self) -> dict[str, str]:
        return self.refs()[1]

    def resolve(self, revision: str | None = None) -> str:
        wanted = revision or self.revision
        head, tags = self.refs()
        if wanted in (None, "main") and head is not None:
            return head
        if wanted in tags:
            return tags[wanted]
        if wanted and head is not None:
            ids = [commit for commit in self.history("main") if len(wanted) > 6 and commit.startswith(wanted)]
            if len(ids) == 1:
                return ids[0]
        raise unknown_revision(self.id, wanted, tags)

    def load_location(self, commit: str) -> tuple[str, str | None]:
        return self.id, commit

    def title(self, commit: str) -> str:
        commits = self._commits(commit)
        return commits[0].title if commits else ""

    def history(self, commit: str) -> list[str]:
        return [found.commit_id for found in self._commits(commit)]

    def files(self, revision: str) -> Mapping[str, RepositoryFile]:
        return self._listings.get(revision, self._list)

    def read(self, path: str, revision: str) -> bytes:
        return b"".join(self._download_chunks(path, revision))

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        """Download concurrently; each file is compared with the size and digest that the Hub states."""
        files = self.files(revision)
        wanted = list(paths)
        for path in wanted:
            if path not in files:
                raise NotFoundError(f"{self.id}@{revision}: no file {path!r}")
            relative_path(path)
        pool = ThreadPoolExecutor(_MAX_CONCURRENT, "fetch")
        try:
            for _ in pool.map(lambda path: self._download(path, revision, files[path], folder), wanted):
                pass
        finally:
            pool.shutdown(cancel_futures=True)

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        self.create_if_missing()
        if not sys.stderr.isatty():
            disable_progress_bars()
        operations = [add_operation(path, file) for path, file in add.items()]

        def preupload() -> bool:
            self._api.preupload_lfs_files(self.id, operations, repo_type=self._repo_type, free_memory=True)
            return True

        retry_write(f"{self.id}: upload", preupload)
        # The client leaves small files for the commit: their content is not freed.
        return frozenset(operation.path_in_repo for operation in operations if operation.path_or_fileobj == b"")

    def uploaded(self, files: Collection[File]) -> frozenset[str]:
        """Ask the LFS batch endpoint. Xet cannot be asked before the commit: all files are returned then."""
        if hub.uses_xet():
            return frozenset(file.path for file in files)
        stored: set[str] = set()
        candidates = list(files)
        for start in range(0, len(candidates), _LFS_BATCH):
            batch = candidates[start : start + _LFS_BATCH]
            try:
                digests = retry_write(
                    f"{self.id}: look for earlier uploads",
                    partial(stored_digests, self._api, self.id, self._repo_type, batch),
                )
            except NotFoundError:
                break
            stored |= {file.path for file in batch if file.sha256 in digests}
        return frozenset(stored)

    def commit(self, operations: CommitOperations, parent: str | None, title: str, body: str) -> str:
        parent = parent or self._initial_commit()

        def create_commit() -> str:
            return self._api.create_commit(
                self.id,
                to_hub_operations(operations),
                commit_message=title,
                commit_description=body,
                repo_type=self._repo_type,
                parent_commit=parent,
            ).oid

        def existing_commit() -> str | None:
            head = self.head()
            if head == parent or head is None:
                return None
            if contains(self.files(head), operations):
                return head
            raise published_meanwhile(self.id)

        try:
            return retry_write(f"{self.id}: commit", create_commit, existing_commit)
        except NetworkError as error:
            if operations.uploaded and http_status(error) == _MISSING_CONTENT_STATUS:
                raise NotFoundError(f"{self.id}: uploaded content may be gone: {error}") from error
            raise

    def tag(self, name: str, commit: str, message: str) -> None:
        def existing_tag() -> str | None:
            target = self.tags().get(name)
            if target not in (None, commit):
                raise tag_exists(self.id, name)
            return target

        def create_tag() -> str:
            self._api.create_tag(self.id, tag=name, tag_message=message, revision=commit, repo_type=self._repo_type)
            return commit

        retry_write(f"{self.id}: tag {name}", create_tag, existing_tag)

    def _commits(self, revision: str) -> list[GitCommitInfo]:
        """Return a commit and those before it; asked for once, as the history of a commit does not change."""
        if not self._log or self._log[0].commit_id != revision:
            with hub.translate_hub_errors(f"{self.id}@{revision}"):
                self._log = self._api.list_repo_commits(self.id, repo_type=self._repo_type, revision=revision)
        return self._log

    def _list(self, revision: str) -> dict[str, RepositoryFile]:
        from huggingface_hub.hf_api import RepoFile

        with hub.translate_hub_errors(f"{self.id}@{revision}"):
            tree = self._api.list_repo_tree(self.id, repo_type=self._repo_type, revision=revision, recursive=True)
            return {item.path: _repository_file(item) for item in tree if isinstance(item, RepoFile)}

    def create_if_missing(self) -> str:
        """Create the repository if there is none; return its head."""

        def create_repo() -> bool:
            sdk = "static" if self._repo_type == "space" else None
            self._api.create_repo(self.id, repo_type=self._repo_type, space_sdk=sdk, exist_ok=True)
            return True

        head = self.head()
        if head is None:
            retry_write(f"{self.id}: create the repository", create_repo)
            head = self.head()
        if head is None:
            raise NetworkError(f"{self.id}: {hub.MISSING}, although it was just created; run again")
        return head

    def _initial_commit(self) -> str:
        """Return the head of a repository without published versions, created if needed."""
        head = self.create_if_missing()
        if not self.files(head).keys() <= _INITIAL_FILES:
            raise published_meanwhile(self.id)
        return head

    def _download(self, path: str, revision: str, expected: RepositoryFile, folder: Path) -> None:
        target = folder / path
        if target.is_file() and expected.is_file(target):
            return

        def download() -> bool:
            with atomic_write(target, folder) as temporary:
                with temporary.open("wb") as file:
                    for chunk in self._download_chunks(path, revision):
                        file.write(chunk)
                if not expected.is_file(temporary):
                    raise NetworkError(f"{self.id}@{revision}: {path} differs from the size or digest the Hub states")
            return True

        retry_write(f"{self.id}@{revision}: {path}", download, policy=_DOWNLOADS)

    def _download_chunks(self, path: str, revision: str) -> Iterator[bytes]:
        from huggingface_hub import get_token, hf_hub_url

        url = hf_hub_url(self.id, path, repo_type=self._repo_type, revision=revision, endpoint=self._api.endpoint)
        where = f"{self.id}@{revision}: {path}"
        token = get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with map_http_errors(where), self._transport.client.stream("GET", url, headers=headers) as response:
            raise_for_status(response, where)
            yield from response.iter_bytes(_CHUNK_BYTES)


def _repository_file(item: RepoFile) -> RepositoryFile:
    return RepositoryFile(size=item.size, sha256=item.lfs.sha256 if item.lfs else None, oid=item.blob_id)
