"""The Hub's repositories that a zoo names, from listing pages alone: their commit, their files, what bars the way."""

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
# The Hub finds every name that holds the text it is asked for; a letter or two would save nothing.
_SHORTEST_SEARCH: Final = 3


@dataclass(frozen=True, kw_only=True)
class HubRepoListing:
    """One repository of models. commit: None where the listing does not state it.

    files: path -> (bytes, sha256), None for what the listing does not state; the mapping itself is None where the
    listing names no files.
    """

    id: str
    commit: str | None = None
    files: Mapping[str, tuple[int | None, str | None]] | None = None
    gated: bool = False
    disabled: bool = False

    def remote_file(self, path: str) -> RemoteFile:
        """Return a file at the listed commit, which is its etag: while that stands, so do the bytes."""
        size, sha256 = (self.files or {}).get(path, (None, None))
        url = f"{hub_endpoint()}/{self.id}/resolve/{self.commit or 'main'}/{quote(path)}"
        return RemoteFile(url=url, size=size, sha256=sha256, etag=self.commit, path=path)

    def with_shards(self, path: str) -> tuple[RemoteFile, ...]:
        """Return a file, and behind an index the shards beside it: `model-00001-of-00002.safetensors`."""
        stem, _, suffix = path.removesuffix(INDEX_SUFFIX).rpartition(".")
        shard = re.compile(rf"{re.escape(stem)}-\d+-of-\d+\.{re.escape(suffix)}")
        shards = sorted(filter(shard.fullmatch, self.files or ())) if path.endswith(INDEX_SUFFIX) else []
        return (self.remote_file(path), *map(self.remote_file, shards))


def list_repos(transport: Transport, ids: Iterable[str]) -> dict[str, HubRepoListing]:
    """Return those of the repositories that the Hub lists: a listing an organisation, no request a repository.

    What is private, renamed or gone is not among them. Raises NetworkError.
    """
    by_author: dict[str, set[str]] = {}
    for repo_id in ids:
        by_author.setdefault(repo_id.partition("/")[0], set()).add(repo_id)
    found: dict[str, HubRepoListing] = {}
    for author, wanted in sorted(by_author.items()):
        names = [repo_id.partition("/")[2] for repo_id in wanted]
        common = commonprefix(names)  # noqa: RUF071 - by characters, as the Hub searches
        found.update((repo.id, repo) for repo in list_author_repos(transport, author, common) if repo.id in wanted)
    return found


def list_author_repos(transport: Transport, author: str, part: str = "") -> Iterator[HubRepoListing]:
    """Yield the repositories of an organisation whose names hold `part`, or more of them; raises NetworkError."""
    search = part if len(part) >= _SHORTEST_SEARCH else None
    with translate_hub_errors(f"the models of {author}"):
        for info in api(transport).list_models(author=author, search=search, expand=list(_FIELDS)):
            yield _repo(info)


def fetch_repo_details(transport: Transport, repo: HubRepoListing) -> HubRepoListing:
    """Return a repository with the sizes and hashes of its files: one request; as it is where the Hub does not say."""
    try:
        with translate_hub_errors(repo.id):
            return _repo(api(transport).model_info(repo.id, revision=repo.commit, files_metadata=True))
    except NetworkError:
        return repo  # reading the files says what is wrong, of this one alone


def has_access(transport: Transport, repo: HubRepoListing) -> bool:
    """Ask whether a gated repository can be read with the token that is set; raises NetworkError."""
    try:
        with translate_hub_errors(repo.id):
            api(transport).auth_check(repo.id)
    except (AccessDeniedError, NotFoundError):
        return False
    return True


def _repo(info: ModelInfo) -> HubRepoListing:
    siblings = info.siblings
    files = None if siblings is None else {file.rfilename: (file.size, _sha256(file)) for file in siblings}
    return HubRepoListing(
        id=info.id, commit=info.sha, files=files, gated=bool(info.gated), disabled=bool(info.disabled)
    )


def _sha256(file: RepoSibling) -> str | None:
    """Return the hash that the listing states; the Hub leaves it out, some of its mirrors do not."""
    return file.lfs.sha256 if file.lfs else None
