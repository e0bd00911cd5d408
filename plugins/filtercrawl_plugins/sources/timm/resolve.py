"""Finds the files of timm's entries: in repositories as the Hub lists them, and at plain URLs."""

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

# In the order in which timm itself looks for them; an index stands for its shards.
_SAFE: Final = "model.safetensors"
_PICKLED: Final = "pytorch_model.bin"
_FILES: Final = (_SAFE, _SAFE + INDEX_SUFFIX, _PICKLED, _PICKLED + INDEX_SUFFIX)


@dataclass(frozen=True, kw_only=True)
class EntryResolver:
    """What looking at entries takes.

    repos: as the Hub lists them, by id. known: by name, what the dataset knows. gated: whether gated repositories are
    wanted. categories: the user's own, dataset -> visual category.
    """

    transport: Transport
    repos: Mapping[str, HubRepoListing]
    previous_states: Mapping[str, PreviousState]
    gated: bool
    categories: Mapping[str, str]

    def offer(self, entry: TimmEntry) -> Offer | None:
        """Return what an entry offers; None for one that was there and is gone."""
        if entry.repo is None:
            return self._at_url(entry)
        repo, known = self.repos.get(entry.repo), self.previous_states.get(entry.names[0])
        if repo is not None:
            return self._in_repo(entry, repo, known)
        if known is not None and known.outcome != "skipped":
            return None
        return Skipped(name=entry.names[0], reason=f"the Hub does not list {entry.repo}: private or gone")

    def _in_repo(self, entry: TimmEntry, repo: HubRepoListing, known: PreviousState | None) -> Offer:
        name, path = entry.names[0], _chosen_file(entry, repo)
        reason = self._closed(repo, known)
        if reason is None and path is None:
            reason = f"{repo.id} holds neither {_SAFE} nor {_PICKLED}"
        if reason is not None or path is None:
            return Skipped(name=name, reason=str(reason), revision=repo.commit)
        files = repo.with_shards(path)
        listed_hash = files[0].sha256 if len(files) == 1 else None
        offer = self._checkpoint(entry, files, listed_hash)
        # The commit is the etag of the files: while it stands, so do their bytes. Where another has come it may be but
        # a page that changed: the files' own hashes say so, for one request instead of a second reading.
        if listed_hash is None and known is not None and known.etag not in (None, combined_etag(offer)):
            return replace(offer, files=fetch_repo_details(self.transport, repo).with_shards(path))
        return offer

    def _closed(self, repo: HubRepoListing, known: PreviousState | None) -> str | None:
        """Say why a repository is not read, None where it may be."""
        if repo.disabled:
            return f"{repo.id} is disabled by the Hub"
        if not repo.gated:
            return None
        if not self.gated:
            return f"{repo.id} is gated; `gated = true` in [sources.timm] takes it in where the token allows"
        denied = f"{repo.id} is gated; ask for access on its page and set a token"
        if known is not None and known.outcome == "skipped" and (known.reason, known.revision) == (denied, repo.commit):
            return denied  # the gate stays as it was until the next commit
        held = known is not None and known.outcome != "skipped" and known.etag == repo.commit
        return None if held or has_access(self.transport, repo) else denied

    def _at_url(self, entry: TimmEntry) -> Offer:
        revision = hash_from_url(entry.url)
        known = self.previous_states.get(entry.names[0])
        remembered = known.etag if known is not None and known.outcome != "skipped" else None
        try:
            # Asked once: a night over a zoo that stands still asks for listings alone, and such files never change.
            tag = None if revision else remembered or fetch_etag(self.transport, entry.url)
        except NetworkError as error:  # one server that is down must not hide all that comes after it in the list
            return Skipped(name=entry.names[0], reason=str(error))
        file = RemoteFile(url=entry.url, etag=tag, path=entry.url.rpartition("/")[2])
        return self._checkpoint(entry, (file,), revision)

    def _checkpoint(self, entry: TimmEntry, files: tuple[RemoteFile, ...], revision: str | None) -> Checkpoint:
        meta = entry.meta(self.categories)
        return Checkpoint(name=entry.names[0], revision=revision, files=files, aliases=entry.names[1:], meta=meta)


def _chosen_file(entry: TimmEntry, repo: HubRepoListing) -> str | None:
    """Return the file that timm would load, None where the repository has none of them."""
    candidates = (entry.file,) if entry.file else _FILES
    if repo.files is None:
        return candidates[0]
    return next((path for path in candidates if path in repo.files), None)
