"""The source `hub` itself: a listing page by page, and one more request for each repo that is new or has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError, UsageError
from filtercrawl.api.source import Query
from filtercrawl.api.transport import Transport
from filtercrawl.transport import hub
from filtercrawl_plugins.sources.hub.pattern import HubPattern
from filtercrawl_plugins.sources.hub.repo_lister import LIST_FIELDS, RepoLister

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo
    from torch import Tensor, nn


class HubSource:
    """Offers the weights in repos of the Hub: one checkpoint a file or sharded set, named `org/repo/path/in/repo`.

    Repos and files without convolutions, copies of weights in other formats or precisions, and repos that are gated,
    private or disabled are skipped, each with its reason. A repo whose commit the dataset has seen costs no request
    but the listing's. Settings: `endpoint`, another Hub; `gated = true` and `private = true` take such repos in where
    the token allows.
    """

    name = "hub"
    needs_pattern = True

    def canonical(self, pattern: str) -> str:
        """Spell a pattern with its filters in order; raises UsageError."""
        return HubPattern.parse(pattern).text

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """Yield what the pattern asks for; raises UsageError, and NetworkError once all that could be had is out."""
        pattern, settings = HubPattern.parse(query.pattern), _Settings.of(query.settings)
        client = hub.api(transport, settings.endpoint)
        visit = RepoLister(
            client=client,
            transport=transport,
            pattern=pattern,
            included_access=settings.taken_in,
            previous_states=query.previous_states,
            known_repos=frozenset(
                repo_id_of(name) for name, known in query.previous_states.items() if known.outcome != "skipped"
            ),
        )
        troubles = []
        for info in list_matching_repos(client, pattern):
            try:
                yield from visit.offers(info) if not isinstance(info, Skipped) else visit.skip_inaccessible(info)
            except NetworkError as error:
                troubles.append(str(error))
        if troubles:
            more = f" (and {len(troubles) - 1} more repos)" if len(troubles) > 1 else ""
            raise NetworkError(f"the listing is not complete: {troubles[0]}{more}")

    # Building pulls in torch, listing does not.

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build a network of timm, transformers or diffusers on the meta device; raises UnsupportedError."""
        from filtercrawl_plugins.sources.hub import build

        return build.build(checkpoint)

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[Tensor, ...] | None:
        """Return example inputs on the meta device; None where an image of the usual size will do."""
        from filtercrawl_plugins.sources.hub import build

        return build.sample(checkpoint, module)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    endpoint: str | None = None
    taken_in: frozenset[str] = frozenset()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> _Settings:
        unknown = table.keys() - {"endpoint", "gated", "private"}
        if unknown:
            raise UsageError(f"[sources.hub]: unknown key {min(unknown)!r}; known are endpoint, gated, private")
        endpoint = table.get("endpoint")
        if endpoint is not None and not (isinstance(endpoint, str) and endpoint.startswith(("http://", "https://"))):
            raise UsageError(f"[sources.hub] endpoint: {endpoint!r} is no http or https URL")
        flags = {name: table.get(name, False) for name in ("gated", "private")}
        for name, value in flags.items():
            if not isinstance(value, bool):
                raise UsageError(f"[sources.hub] {name}: {value!r} is not true or false")
        return cls(endpoint=endpoint, taken_in=frozenset(name for name, value in flags.items() if value))


def repo_id_of(name: str) -> str:
    """Return the repo in a checkpoint's name."""
    return "/".join(name.split("/")[:2])


def list_matching_repos(client: HfApi, pattern: HubPattern) -> Iterator[ModelInfo | Skipped]:
    """Yield the repos asked for, each once; raises NetworkError."""
    if pattern.repo is not None:
        yield from _one(client, pattern.repo)
        return
    seen: set[str] = set()
    with hub.translate_hub_errors("the listing of the Hub"):
        for info in client.list_models(**pattern.list_arguments(), expand=list(LIST_FIELDS)):
            if pattern.since and info.last_modified and info.last_modified < pattern.since:
                return  # the latest come first
            if info.id not in seen and pattern.matches_repo(info.id):
                seen.add(info.id)
                yield info


def _one(client: HfApi, repo: str) -> Iterator[ModelInfo | Skipped]:
    """Ask for one repo by its name; one that moved comes back under its new one."""
    try:
        with hub.translate_hub_errors(repo):
            info = client.model_info(repo, expand=list(LIST_FIELDS))
    except (AccessDeniedError, NotFoundError) as error:
        yield Skipped(name=repo, reason=str(error).removeprefix(f"{repo}: "))
    else:
        yield info
