"""Turn listed repositories into offers; what the listing or the previous run already states costs no request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import CheckpointMetadata, Offer, PreviousState, Skipped
from filtercrawl.api.errors import AccessDeniedError, NotFoundError, UnsafeFileError
from filtercrawl.api.range_file import relative_path
from filtercrawl.api.transport import Transport
from filtercrawl.api.untrusted_names import escape_name, is_safe_name, safe_name
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

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

# Fields that the Hub computes. The model card is not among them: one invalid card would break the whole listing.
LIST_FIELDS: Final = (
    "sha", "lastModified", "createdAt", "siblings", "tags", "library_name", "pipeline_tag", "gated", "disabled",
    "private", "config",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RepoLister:
    """Inspects repositories for one listing.

    Attributes:
        client: Client of the Hub.
        transport: Network access for files.
        pattern: What is selected.
        included_access: `gated` and `private`, if the settings include such repositories.
        previous_states: What the dataset knows, by the name of a checkpoint or repository.
        known_repos: Repositories of which the dataset has or has tried a checkpoint.
        suffixes: Endings of the names of weight files that readers read.
    """

    client: HfApi
    transport: Transport
    pattern: HubPattern
    included_access: frozenset[str]
    previous_states: Mapping[str, PreviousState]
    known_repos: frozenset[str]
    suffixes: Collection[str]

    def offers(self, info: ModelInfo) -> Iterator[Offer]:
        """Yield the checkpoints of a listed repository; raises NetworkError if the Hub cannot be reached."""
        paths = safe_paths(info)
        weights = weight_files.group_weight_files(
            paths, None, self.pattern.path, self.suffixes
        )  # regardless of the pattern
        no_access = self._access_reason(info) or self._previous_gate_reason(info)
        reason = no_access or skip_reason(info, weights)
        if reason is not None:
            restricted = no_access is not None and bool(info.sha)
            yield Skipped(name=safe_name(info.id), reason=reason, revision=info.sha, restricted=restricted)
        elif not weights:
            # A repository that had weights before is not skipped: its checkpoints are gone.
            if info.id not in self.known_repos:
                yield Skipped(name=info.id, reason=no_weights_reason(paths, self.suffixes), revision=info.sha)
        else:
            selected = weights if self.pattern.path is None else self._select_weights(info)
            offers = self._offers_from_previous_run(info, selected)
            yield from offers if offers is not None else self._offers_from_hub(info)

    def skip_inaccessible(self, skipped: Skipped) -> Iterator[Offer]:
        """Yield the skip of an inaccessible repository; one that existed before is gone, which is not the same."""
        if skipped.name not in self.known_repos or skipped.reason != hub.MISSING:
            yield skipped

    def _access_reason(self, info: ModelInfo) -> str | None:
        """Return why a repository is not accessible or not wanted, None if it is."""
        if info.disabled:
            return "disabled by the Hub"
        if info.private and "private" not in self.included_access:
            return "private; set `private = true` in [sources.hub] to include it"
        if info.gated and "gated" not in self.included_access:
            return "gated; set `gated = true` in [sources.hub] to include it if the token has access"
        return None if info.sha else "empty: no commit yet"

    def _previous_gate_reason(self, info: ModelInfo) -> str | None:
        """Return the reason of a denied access; it is asked again after the next commit or for a single repository."""
        previous = self.previous_states.get(info.id)
        if not info.gated or self.pattern.repo is not None or previous is None or previous.outcome != "skipped":
            return None
        return previous.reason if previous.revision == info.sha and previous.reason == hub.GATED else None

    def _select_weights(self, info: ModelInfo) -> list[WeightFiles]:
        paths = safe_paths(info)
        selected = [path for path in paths if self.pattern.matches_path(path)]
        return weight_files.group_weight_files(paths, selected, self.pattern.path, self.suffixes)

    def _offers_from_previous_run(self, info: ModelInfo, selected: list[WeightFiles]) -> list[Offer] | None:
        """Return the offers of a commit that the previous run saw, None if the Hub must be asked."""
        repo_revision = RepoRevision(endpoint=self.client.endpoint, repo=info.id, commit=str(info.sha))
        offers: list[Offer] = list(skip_unsafe_paths(info, self.suffixes))
        for weights in selected:
            previous = self.previous_states.get(repo_revision.name(weights))
            files = files_from_state(repo_revision, weights, previous)
            if weights.copy_of is not None:
                offers.append(
                    Skipped(name=repo_revision.name(weights), reason=weights.copy_of, revision=repo_revision.commit)
                )
            elif files is not None and previous is not None:
                offers.append(
                    self._exclude_by_size(repo_revision, files) or make_checkpoint(repo_revision, files, previous.meta)
                )
            elif (reason := self._previous_skip_reason(repo_revision, previous)) is not None:
                offers.append(Skipped(name=repo_revision.name(weights), reason=reason, revision=repo_revision.commit))
            else:
                return None
        return offers

    def _previous_skip_reason(self, repo_revision: RepoRevision, previous: PreviousState | None) -> str | None:
        """Return why a file of this commit was skipped, None if it was not or the reason no longer applies."""
        if previous is None or previous.outcome != "skipped" or previous.revision != repo_revision.commit:
            return None
        if previous.reason is None:
            return None
        by_size = previous.reason.startswith("of ")
        return previous.reason if not by_size or previous.reason.endswith(self.pattern.size_bounds_suffix) else None

    def _exclude_by_size(self, repo_revision: RepoRevision, files: list[RepoFile]) -> Skipped | None:
        reason = self.pattern.size_exclusion_reason(sum(file.size or 0 for file in files))
        name = f"{repo_revision.repo}/{files[0].path}"
        return None if reason is None else Skipped(name=name, reason=reason, revision=repo_revision.commit)

    def _offers_from_hub(self, listed: ModelInfo) -> Iterator[Offer]:
        try:
            info = self._fetch_details(listed)
        except (AccessDeniedError, NotFoundError) as error:
            reason, restricted = str(error).removeprefix(f"{listed.id}: "), isinstance(error, AccessDeniedError)
            yield Skipped(name=listed.id, reason=reason, revision=listed.sha, restricted=restricted)
            return
        if info is None:
            yield Skipped(name=listed.id, reason="the Hub's description of it is invalid", revision=listed.sha)
            return
        repo_revision = RepoRevision(endpoint=self.client.endpoint, repo=listed.id, commit=str(info.sha))
        files_by_path = {sibling.rfilename: RepoFile.from_sibling(sibling) for sibling in info.siblings or []}
        configs: dict[str, dict[str, Any] | None] = {}
        yield from skip_unsafe_paths(info, self.suffixes)
        for weights in self._select_weights(info):
            files = [files_by_path[path] for path in weights.paths]
            if weights.copy_of is not None:
                yield Skipped(name=repo_revision.name(weights), reason=weights.copy_of, revision=repo_revision.commit)
            elif (skipped := self._exclude_by_size(repo_revision, files)) is not None:
                yield skipped
            else:
                config_path = weights.config_path
                extra = state_for_next_run(repo_revision, files)
                if config_path in files_by_path:
                    config_file = files_by_path[config_path]
                    if config_path not in configs:
                        configs[config_path] = self._load_config(repo_revision, weights, config_file)
                    extra |= {"config": configs[config_path], "config_blob": config_file.git_oid}
                yield self._offer(repo_revision, files, checkpoint_metadata(info, extra.get("config"), extra))

    def _offer(self, repo_revision: RepoRevision, files: list[RepoFile], meta: CheckpointMetadata) -> Offer:
        reason = model_config.has_no_convolutions(meta.extra.get("config"))
        if reason is not None:
            return Skipped(name=f"{repo_revision.repo}/{files[0].path}", reason=reason, revision=repo_revision.commit)
        return make_checkpoint(repo_revision, files, meta)

    def _load_config(self, repo_revision: RepoRevision, weights: WeightFiles, file: RepoFile) -> dict[str, Any] | None:
        """Return the config from the previous run if the file is unchanged, else fetch it."""
        previous = self.previous_states.get(repo_revision.name(weights))
        if previous is not None and file.git_oid and previous.meta.extra.get("config_blob") == file.git_oid:
            config: dict[str, Any] | None = previous.meta.extra.get("config")
            return config
        return model_config.fetch_config(self.transport, file.to_remote_file(repo_revision))

    def _fetch_details(self, listed: ModelInfo) -> ModelInfo | None:
        """Fetch files and model card (one request); None if the Hub's client cannot parse the card."""
        with hub.translate_hub_errors(listed.id):
            if listed.gated:
                self.client.auth_check(listed.id)
            try:
                return self.client.model_info(listed.id, files_metadata=True)
            except (TypeError, ValueError, KeyError, AttributeError):
                return None


def sibling_paths(info: ModelInfo) -> list[str]:
    """Return the paths of all files of a repository."""
    return [sibling.rfilename for sibling in info.siblings or []]


def skip_reason(info: ModelInfo, weights: list[WeightFiles]) -> str | None:
    """Return why no file of a repository can contain a convolution, None if one may.

    The config in the listing describes the files at the root and their exports, but not components in other folders.
    """
    if not is_safe_name(info.id):
        return "its name is not printable UTF-8"
    return model_config.has_no_convolutions(info.config) if all(group.is_at_root for group in weights) else None


def no_weights_reason(paths: list[str], suffixes: Collection[str]) -> str:
    """Return why a repository has no checkpoint: it has no weights, or only some of formats that no reader reads."""
    formats = weight_files.formats_without_reader(paths, suffixes)
    return f"no weight files in a format that is read, only {', '.join(formats)}" if formats else "no weight files"


def skip_unsafe_paths(info: ModelInfo, suffixes: Collection[str]) -> Iterator[Skipped]:
    """Yield a skip for each weight file whose path is not a plain relative path of printable text."""
    for path in sibling_paths(info):
        if weight_files.is_named_as_weights(path, suffixes) and not is_safe_path(path):
            yield Skipped(
                name=f"{info.id}/{escape_name(path)}", reason="its path is not a plain relative path", revision=info.sha
            )


def safe_paths(info: ModelInfo) -> list[str]:
    """Return the paths that `is_safe_path` accepts."""
    return [path for path in sibling_paths(info) if is_safe_path(path)]


def is_safe_path(path: str) -> bool:
    """Return whether a path is relative, stays in the repository, and is printable text."""
    try:
        relative_path(path)
    except UnsafeFileError:
        return False
    return is_safe_name(path)
