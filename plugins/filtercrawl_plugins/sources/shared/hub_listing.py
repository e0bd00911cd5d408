"""Repositories on the Hub as its listings describe them: commit, sibling files, and whether access is restricted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING, Final, Literal, get_args
from urllib.parse import quote

from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.api.transport import Transport
from filtercrawl.config import hub_endpoint
from filtercrawl.transport.hub import api, translate_hub_errors

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

INDEX_SUFFIX: Final = ".index.json"
Field = Literal["sha", "siblings", "gated", "disabled"]
_FIELDS: Final[tuple[Field, ...]] = get_args(Field)
# The Hub matches substrings; a shorter search term would match nearly everything.
_MIN_SEARCH_LENGTH: Final = 3


@dataclass(frozen=True, kw_only=True)
class HubRepoListing:
    """A model repository.

    Attributes:
        id: `ORG/NAME`.
        commit: Commit of the main branch; None if the listing does not state it.
        files: (size in bytes, sha256) by path, None for what the listing does not state. None as a whole if the
            listing names no files.
        gated: Whether access must be requested.
        disabled: Whether the Hub has disabled it.
    """

    id: str
    commit: str | None = None
    files: Mapping[str, tuple[int | None, str | None]] | None = None
    gated: bool = False
    disabled: bool = False

    def remote_file(self, path: str) -> RemoteFile:
        """Return a file at the listed commit. The commit is its etag: the same commit means the same bytes."""
        size, sha256 = (self.files or {}).get(path, (None, None))
        url = f"{hub_endpoint()}/{self.id}/resolve/{self.commit or 'main'}/{quote(path)}"
        return RemoteFile(url=url, size=size, sha256=sha256, etag=self.commit, path=path)

    def with_shards(self, path: str) -> tuple[RemoteFile, ...]:
        """Return a file, followed by its shards (`model-00001-of-00002.safetensors`) if it is an index."""
        stem, _, suffix = path.removesuffix(INDEX_SUFFIX).rpartition(".")
        shard_name = re.compile(rf"{re.escape(stem)}-\d+-of-\d+\.{re.escape(suffix)}")
        shards = sorted(filter(shard_name.fullmatch, self.files or ())) if path.endswith(INDEX_SUFFIX) else []
        return (self.remote_file(path), *map(self.remote_file, shards))


def list_repos(transport: Transport, ids: Iterable[str]) -> dict[str, HubRepoListing]:
    """List repositories by id, with one listing per organization instead of one request per repository.

    Returns:
        Repositories by id; those that are private, renamed or deleted are missing.

    Raises:
        NetworkError: The Hub cannot be reached.
    """
    by_author: dict[str, set[str]] = {}
    for repo_id in ids:
        by_author.setdefault(repo_id.partition("/")[0], set()).add(repo_id)
    listed: dict[str, HubRepoListing] = {}
    for author, wanted in sorted(by_author.items()):
        names = [repo_id.partition("/")[2] for repo_id in wanted]
        common = commonprefix(names)  # noqa: RUF071 - of characters, which is what the Hub searches for
        listed.update((repo.id, repo) for repo in list_author_repos(transport, author, common) if repo.id in wanted)
    return listed


def list_author_repos(transport: Transport, author: str, name_part: str = "") -> Iterator[HubRepoListing]:
    """Yield at least the repositories of an organization whose names contain `name_part`; raises NetworkError."""
    search = name_part if len(name_part) >= _MIN_SEARCH_LENGTH else None
    with translate_hub_errors(f"the models of {author}"):
        for info in api(transport).list_models(author=author, search=search, expand=list(_FIELDS)):
            yield _to_listing(info)


def fetch_repo_details(transport: Transport, repo: HubRepoListing) -> HubRepoListing:
    """Return a repository with sizes and hashes of its files (one request), or unchanged if the request fails."""
    try:
        with translate_hub_errors(repo.id):
            return _to_listing(api(transport).model_info(repo.id, revision=repo.commit, files_metadata=True))
    except NetworkError:
        return repo  # reading its files will report the problem, for this checkpoint alone


def has_access(transport: Transport, repo: HubRepoListing) -> bool:
    """Return whether the configured token has access to a gated repository (one request); raises NetworkError."""
    try:
        with translate_hub_errors(repo.id):
            api(transport).auth_check(repo.id)
    except (AccessDeniedError, NotFoundError):
        return False
    return True


def _to_listing(info: ModelInfo) -> HubRepoListing:
    siblings = info.siblings
    files = None if siblings is None else {file.rfilename: (file.size, _sha256(file)) for file in siblings}
    return HubRepoListing(
        id=info.id, commit=info.sha, files=files, gated=bool(info.gated), disabled=bool(info.disabled)
    )


def _sha256(file: RepoSibling) -> str | None:
    """Return the sha256 of an LFS file if the listing states it; the Hub does not, some mirrors do."""
    return file.lfs.sha256 if file.lfs else None
