"""Look into repos one after the other: what each offers, and what it costs no request to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import CheckpointMetadata, Offer, PreviousState, Skipped
from filtercrawl.api.errors import AccessDeniedError, NotFoundError, UnsafeFileError
from filtercrawl.api.range_file import relative_path
from filtercrawl.api.transport import Transport
from filtercrawl.transport import hub
from filtercrawl_plugins.sources.hub import model_config, weight_files
from filtercrawl_plugins.sources.hub.model_card import checkpoint_metadata
from filtercrawl_plugins.sources.hub.pattern import HubPattern
from filtercrawl_plugins.sources.hub.revision import (
    RepoFile,
    RepoRevision,
    files_from_state,
    make_checkpoint,
    state_for_next_run,
)
from filtercrawl_plugins.sources.hub.weight_files import WeightFiles
from filtercrawl_plugins.sources.shared.untrusted_text import escape_name, is_safe_name

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

# Fields that the Hub itself computes. A card may hold anything, and must not break the listing of all others.
LIST_FIELDS: Final = (
    "sha", "lastModified", "createdAt", "siblings", "tags", "library_name", "pipeline_tag", "gated", "disabled",
    "private", "config",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RepoLister:
    """What looking into repos takes.

    taken_in: `gated` and `private`, where such repos are wanted; known: by name, what the dataset knows; held: the
    repos of which it holds or tried something.
    """

    client: HfApi
    transport: Transport
    pattern: HubPattern
    included_access: frozenset[str]
    previous_states: Mapping[str, PreviousState]
    known_repos: frozenset[str]

    def offers(self, info: ModelInfo) -> Iterator[Offer]:
        """Yield what a listed repo holds; raises NetworkError where it cannot be told."""
        found = weight_files.group_weight_files(safe(info))  # whatever the pattern asks for
        reason = self._closed(info) or self._known_refusal(info) or skip_reason(info, found)
        if reason is not None:
            yield Skipped(name=display_name(info.id), reason=reason, revision=info.sha)
        elif not found:
            # One that held weights before is not skipped: what was in it is gone.
            if info.id not in self.known_repos:
                yield Skipped(name=info.id, reason="no weight files", revision=info.sha)
        else:
            before = self._offers_from_history(info, found if self.pattern.path is None else self._asked(info))
            yield from before if before is not None else self._list_new_revision(info)

    def skip_inaccessible(self, skipped: Skipped) -> Iterator[Offer]:
        """Pass on that a repo cannot be seen; one that was there before is gone, which is not the same as skipped."""
        if skipped.name not in self.known_repos or skipped.reason != hub.MISSING:
            yield skipped

    def _closed(self, info: ModelInfo) -> str | None:
        if info.disabled:
            return "disabled by the Hub"
        if info.private and "private" not in self.included_access:
            return "private; `private = true` in [sources.hub] takes it in"
        if info.gated and "gated" not in self.included_access:
            return "gated; `gated = true` in [sources.hub] takes it in where the token allows"
        return None if info.sha else "empty: no commit yet"

    def _known_refusal(self, info: ModelInfo) -> str | None:
        """A gate that was closed stays so until the next commit, or until the repo is asked for by its name."""
        known = self.previous_states.get(info.id)
        if not info.gated or self.pattern.repo is not None or known is None or known.outcome != "skipped":
            return None
        return known.reason if known.revision == info.sha and known.reason == hub.GATED else None

    def _asked(self, info: ModelInfo) -> list[WeightFiles]:
        paths = safe(info)
        return weight_files.group_weight_files(paths, [path for path in paths if self.pattern.matches_path(path)])

    def _offers_from_history(self, info: ModelInfo, asked: list[WeightFiles]) -> list[Offer] | None:
        """Return the offers of a commit that the dataset has seen; None where the Hub must be asked."""
        place = RepoRevision(endpoint=self.client.endpoint, repo=info.id, commit=str(info.sha))
        offers: list[Offer] = list(unsafe(info))
        for found in asked:
            known = self.previous_states.get(place.name(found))
            blobs = files_from_state(place, found, known)
            if found.copy_of is not None:
                offers.append(Skipped(name=place.name(found), reason=found.copy_of, revision=place.commit))
            elif blobs is not None and known is not None:
                offers.append(self._sized(place, blobs) or make_checkpoint(place, blobs, known.meta))
            elif (reason := self._unchanged_offers(place, known)) is not None:
                offers.append(Skipped(name=place.name(found), reason=reason, revision=place.commit))
            else:
                return None
        return offers

    def _unchanged_offers(self, place: RepoRevision, known: PreviousState | None) -> str | None:
        """Return the reason for which a file of this commit was skipped, if it is one still."""
        if known is None or known.outcome != "skipped" or known.revision != place.commit or known.reason is None:
            return None
        by_size = known.reason.startswith("of ")
        return known.reason if not by_size or known.reason.endswith(self.pattern.size_bounds_suffix) else None

    def _sized(self, place: RepoRevision, blobs: list[RepoFile]) -> Skipped | None:
        reason = self.pattern.size_exclusion_reason(sum(blob.size or 0 for blob in blobs))
        name = f"{place.repo}/{blobs[0].path}"
        return None if reason is None else Skipped(name=name, reason=reason, revision=place.commit)

    def _list_new_revision(self, listed: ModelInfo) -> Iterator[Offer]:
        try:
            info = self._inspect(listed)
        except (AccessDeniedError, NotFoundError) as error:
            reason = str(error).removeprefix(f"{listed.id}: ")
            yield Skipped(name=listed.id, reason=reason, revision=listed.sha)
            return
        if info is None:
            yield Skipped(name=listed.id, reason="what the Hub says of it cannot be read", revision=listed.sha)
            return
        place = RepoRevision(endpoint=self.client.endpoint, repo=listed.id, commit=str(info.sha))
        blobs = {sibling.rfilename: RepoFile.from_sibling(sibling) for sibling in info.siblings or []}
        configs: dict[str, dict[str, Any] | None] = {}
        yield from unsafe(info)
        for found in self._asked(info):
            files = [blobs[path] for path in found.paths]
            if found.copy_of is not None:
                yield Skipped(name=place.name(found), reason=found.copy_of, revision=place.commit)
            elif (skipped := self._sized(place, files)) is not None:
                yield skipped
            else:
                beside = found.config_path
                extra = state_for_next_run(place, files)
                if beside in blobs:
                    if beside not in configs:
                        configs[beside] = self._config(place, found, blobs[beside])
                    extra |= {"config": configs[beside], "config_blob": blobs[beside].git_oid}
                yield self._offer_all(place, files, checkpoint_metadata(info, extra.get("config"), extra))

    def _offer_all(self, place: RepoRevision, files: list[RepoFile], meta: CheckpointMetadata) -> Offer:
        reason = model_config.has_no_convolutions(meta.extra.get("config"))
        if reason is not None:
            return Skipped(name=f"{place.repo}/{files[0].path}", reason=reason, revision=place.commit)
        return make_checkpoint(place, files, meta)

    def _config(self, place: RepoRevision, found: WeightFiles, blob: RepoFile) -> dict[str, Any] | None:
        known = self.previous_states.get(place.name(found))
        if known is not None and blob.git_oid and known.meta.extra.get("config_blob") == blob.git_oid:
            kept: dict[str, Any] | None = known.meta.extra.get("config")
            return kept
        return model_config.fetch_config(self.transport, blob.to_remote_file(place))

    def _inspect(self, listed: ModelInfo) -> ModelInfo | None:
        """Ask for the files and the card; None where a card is such that the Hub's client cannot take it."""
        with hub.translate_hub_errors(listed.id):
            if listed.gated:
                self.client.auth_check(listed.id)
            try:
                return self.client.model_info(listed.id, files_metadata=True)
            except (TypeError, ValueError, KeyError, AttributeError):
                return None


def names(info: ModelInfo) -> list[str]:
    return [sibling.rfilename for sibling in info.siblings or []]


def skip_reason(info: ModelInfo, found: list[WeightFiles]) -> str | None:
    """Say why no file of a repo can hold a convolution, by the config that came with the listing; None where one may.

    The config speaks of the files at the root and of their exports, not of components in folders of their own.
    """
    if not is_safe_name(info.id):
        return "its name is not printable UTF-8"
    return model_config.has_no_convolutions(info.config) if all(each.is_at_root for each in found) else None


def unsafe(info: ModelInfo) -> Iterator[Skipped]:
    """Yield the weights whose path could be taken for something else."""
    for path in names(info):
        if weight_files.has_known_extension(path) and not is_safe(path):
            yield Skipped(
                name=f"{info.id}/{escape_name(path)}", reason="its path is not a plain one", revision=info.sha
            )


def safe(info: ModelInfo) -> list[str]:
    return [path for path in names(info) if is_safe(path)]


def is_safe(path: str) -> bool:
    try:
        relative_path(path)
    except UnsafeFileError:
        return False
    return is_safe_name(path)


def display_name(name: str) -> str:
    return name if is_safe_name(name) else escape_name(name)
