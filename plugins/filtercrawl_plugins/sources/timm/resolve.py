"""Resolve the entries of timm to files: in repositories that the Hub lists, or at plain URLs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, Offer, PreviousState, RemoteFile, Skipped, combined_etag
from filtercrawl.api.errors import NetworkError
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.sources.shared.hub_listing import INDEX_SUFFIX, HubRepoListing, fetch_repo_details, has_access
from filtercrawl_plugins.sources.shared.url_revision import fetch_etag, hash_from_url
from filtercrawl_plugins.sources.timm.registry import TimmEntry

# In the order in which timm looks for them; an index stands for its shards.
_SAFETENSORS: Final = "model.safetensors"
_PICKLE: Final = "pytorch_model.bin"
_FILES: Final = (_SAFETENSORS, _SAFETENSORS + INDEX_SUFFIX, _PICKLE, _PICKLE + INDEX_SUFFIX)


@dataclass(frozen=True, kw_only=True)
class EntryResolver:
    """Resolves entries for one listing.

    Attributes:
        transport: Network access.
        repos: Repositories by id, as the Hub lists them.
        previous_states: What the dataset knows, by the name of a checkpoint.
        gated: Whether the settings include gated repositories.
        categories: Visual category by dataset, from the user's settings.
    """

    transport: Transport
    repos: Mapping[str, HubRepoListing]
    previous_states: Mapping[str, PreviousState]
    gated: bool
    categories: Mapping[str, str]

    def offer(self, entry: TimmEntry) -> Offer | None:
        """Return the checkpoint of an entry, or why it is skipped; None if it existed before and is gone."""
        if entry.repo is None:
            return self._at_url(entry)
        repo, previous = self.repos.get(entry.repo), self.previous_states.get(entry.names[0])
        if repo is not None:
            return self._in_repo(entry, repo, previous)
        if previous is not None and previous.outcome != "skipped":
            return None
        return Skipped(name=entry.names[0], reason=f"the Hub does not list {entry.repo}: it is private or deleted")

    def _in_repo(self, entry: TimmEntry, repo: HubRepoListing, previous: PreviousState | None) -> Offer:
        name, path = entry.names[0], _find_file(entry, repo)
        reason = self._access_reason(repo, previous)
        if reason is not None:
            return Skipped(name=name, reason=reason, revision=repo.commit, restricted=True)
        if path is None:
            reason = f"{repo.id} contains neither {_SAFETENSORS} nor {_PICKLE}"
            return Skipped(name=name, reason=reason, revision=repo.commit)
        files = repo.with_shards(path)
        listed_hash = files[0].sha256 if len(files) == 1 else None
        offer = self._checkpoint(entry, files, listed_hash)
        # The commit is the etag of the files: as long as it is the same, so are their bytes. A new commit may change
        # only the model card: one request for the files' hashes is cheaper than reading the files again.
        if listed_hash is None and previous is not None and previous.etag not in (None, combined_etag(offer)):
            return replace(offer, files=fetch_repo_details(self.transport, repo).with_shards(path))
        return offer

    def _access_reason(self, repo: HubRepoListing, previous: PreviousState | None) -> str | None:
        """Return why a repository is excluded, None if it is accessible and wanted."""
        if repo.disabled:
            return f"{repo.id} is disabled by the Hub"
        if not repo.gated:
            return None
        if not self.gated:
            return f"{repo.id} is gated; set `gated = true` in [sources.timm] to include it if the token has access"
        denied = f"{repo.id} is gated; request access on its page and set a token"
        if (
            previous is not None
            and previous.outcome == "skipped"
            and (previous.reason, previous.revision) == (denied, repo.commit)
        ):
            return denied  # access is checked again after the next commit
        was_read = previous is not None and previous.outcome != "skipped" and previous.etag == repo.commit
        return None if was_read or has_access(self.transport, repo) else denied

    def _at_url(self, entry: TimmEntry) -> Offer:
        revision = hash_from_url(entry.url)
        previous = self.previous_states.get(entry.names[0])
        previous_etag = previous.etag if previous is not None and previous.outcome != "skipped" else None
        try:
            # Asked once: such files never change, and a nightly run should request only listings.
            etag = None if revision else previous_etag or fetch_etag(self.transport, entry.url)
        except NetworkError as error:  # one unavailable server must not end the listing
            return Skipped(name=entry.names[0], reason=str(error))
        file = RemoteFile(url=entry.url, etag=etag, path=entry.url.rpartition("/")[2])
        return self._checkpoint(entry, (file,), revision)

    def _checkpoint(self, entry: TimmEntry, files: tuple[RemoteFile, ...], revision: str | None) -> Checkpoint:
        meta = entry.meta(self.categories)
        return Checkpoint(name=entry.names[0], revision=revision, files=files, aliases=entry.names[1:], meta=meta)


def offer_without_network(
    entry: TimmEntry, previous_states: Mapping[str, PreviousState], categories: Mapping[str, str]
) -> Offer:
    """Return the checkpoint of an entry as far as the installed timm knows it; a known one is offered as it was.

    Args:
        entry: The entry.
        previous_states: What the dataset knows, by the name of a checkpoint.
        categories: Visual category by dataset, from the user's settings.
    """
    name, previous = entry.names[0], previous_states.get(entry.names[0])
    if previous is not None and previous.outcome == "skipped":
        return Skipped(name=name, reason=previous.reason or "", revision=previous.revision)
    if entry.repo is None:
        file = RemoteFile(url=entry.url, path=entry.url.rpartition("/")[2])
    else:
        file = HubRepoListing(id=entry.repo).remote_file(entry.file or _SAFETENSORS)
    revision = hash_from_url(entry.url) if entry.repo is None else None
    if previous is not None:
        file, revision = replace(file, etag=previous.etag), previous.revision
    meta = entry.meta(categories)
    return Checkpoint(name=name, revision=revision, files=(file,), aliases=entry.names[1:], meta=meta)


def _find_file(entry: TimmEntry, repo: HubRepoListing) -> str | None:
    """Return the path of the file that timm would load, None if the repository has none."""
    candidates = (entry.file,) if entry.file else _FILES
    if repo.files is None:
        return candidates[0]
    return next((path for path in candidates if path in repo.files), None)
