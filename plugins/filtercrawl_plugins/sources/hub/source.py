"""The source `hub`: a paginated listing, and one more request for each repository that is new or has changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.api.source import Query
from filtercrawl.api.transport import Transport
from filtercrawl.transport import hub
from filtercrawl_plugins.sources.hub.pattern import HubPattern
from filtercrawl_plugins.sources.hub.repo_lister import LIST_FIELDS, RepoLister
from filtercrawl_plugins.sources.shared.query import read_flag, read_url

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo
    from torch import nn

    from filtercrawl_plugins.sources.hub.example_inputs import Proposal


class HubSource:
    """Offers the weights in repositories of the Hub: one checkpoint per file or sharded set, `org/repo/path/in/repo`.

    Skipped, each with its reason: repositories and files without convolutions, copies of the same weights in other
    formats or precisions, and repositories that are gated, private or disabled. A repository whose commit the dataset
    already knows costs no request besides the listing.

    Settings in `[sources.hub]`: `endpoint` (URL of another Hub), `gated = true` and `private = true` (include such
    repositories if the token has access).
    """

    name = "hub"
    setting_names = ("endpoint", "gated", "private")
    needs_pattern = True

    def canonical(self, pattern: str) -> str:
        """Return a pattern with its filters in sorted order; raises UsageError."""
        return HubPattern.parse(pattern).text

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """Yield the checkpoints that match.

        Raises:
            UsageError: The pattern or a setting is invalid.
            NetworkError: A repository could not be inspected; raised after all others have been yielded.
        """
        pattern, settings = HubPattern.parse(query.pattern), _Settings.from_query(query)
        client = hub.api(transport, settings.endpoint)
        lister = RepoLister(
            client=client,
            transport=transport,
            pattern=pattern,
            included_access=settings.included_access,
            previous_states=query.previous_states,
            suffixes=query.weight_suffixes(),
            known_repos=frozenset(
                repo_id_of(name) for name, known in query.previous_states.items() if known.outcome != "skipped"
            ),
        )
        errors = []
        for info in list_matching_repos(client, pattern):
            try:
                yield from lister.offers(info) if not isinstance(info, Skipped) else lister.skip_inaccessible(info)
            except NetworkError as error:
                errors.append(str(error))
        if errors:
            more = f" (and {len(errors) - 1} more repositories)" if len(errors) > 1 else ""
            raise NetworkError(f"the listing is not complete: {errors[0]}{more}")

    # `build` imports torch, which listing does not need.

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build a network of timm, transformers or diffusers on the meta device; raises UnsupportedError."""
        from filtercrawl_plugins.sources.hub import build

        return build.build(checkpoint)

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> list[Proposal] | None:
        """Return calls to try, None if the default image is suitable."""
        from filtercrawl_plugins.sources.hub import build

        return build.sample(checkpoint, module)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    endpoint: str | None = None
    included_access: frozenset[str] = frozenset()

    @classmethod
    def from_query(cls, query: Query) -> _Settings:
        included_access = frozenset(key for key in ("gated", "private") if read_flag("hub", query, key))
        return cls(endpoint=read_url("hub", query, "endpoint"), included_access=included_access)


def repo_id_of(name: str) -> str:
    """Return the repository id, `ORG/REPO`, in the name of a checkpoint."""
    return "/".join(name.split("/")[:2])


def list_matching_repos(client: HfApi, pattern: HubPattern) -> Iterator[ModelInfo | Skipped]:
    """Yield the repositories that a pattern selects, each once; raises NetworkError."""
    if pattern.repo is not None:
        yield from _fetch_repo(client, pattern.repo)
        return
    seen: set[str] = set()
    with hub.translate_hub_errors("the listing of the Hub"):
        for info in client.list_models(**pattern.list_arguments(), expand=list(LIST_FIELDS)):
            if pattern.since and info.last_modified and info.last_modified < pattern.since:
                return  # sorted by last modification, the latest first
            if info.id not in seen and pattern.matches_repo(info.id):
                seen.add(info.id)
                yield info


def _fetch_repo(client: HfApi, repo: str) -> Iterator[ModelInfo | Skipped]:
    """Yield one repository by its id; one that has moved is returned under its new id."""
    try:
        with hub.translate_hub_errors(repo):
            info = client.model_info(repo, expand=list(LIST_FIELDS))
    except (AccessDeniedError, NotFoundError) as error:
        reason, restricted = str(error).removeprefix(f"{repo}: "), isinstance(error, AccessDeniedError)
        yield Skipped(name=repo, reason=reason, restricted=restricted)
    else:
        yield info
